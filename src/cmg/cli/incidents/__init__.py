"""The commands of incidents: words enter, and what the room of incidents gives is printed."""
