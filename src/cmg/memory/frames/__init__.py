"""How processes of one machine ask each other: frames on unix sockets, with deadlines and bounds."""
