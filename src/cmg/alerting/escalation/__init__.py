"""What happens to a group of alerts as time goes by, and when people act on it: pure functions of a world."""
