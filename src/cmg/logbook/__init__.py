"""Stored logs: every line of the service, and what collectors send, kept for years and found in a moment.

Lines enter from the spools of the machine's processes and by OTLP; what leaves are pages of a search, a live tail,
patterns of messages, and files for the years in which a line is only rarely looked at.
"""
