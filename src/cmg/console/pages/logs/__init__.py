"""Stored log lines: searching and following them, and the patterns of their messages."""
