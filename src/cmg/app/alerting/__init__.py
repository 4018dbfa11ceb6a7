"""Builds what evaluates rules and tells people of alerts, for the monitor and the command line."""
