"""One module for each kind of channel: a message and an address enter, a receipt or a reason leaves."""
