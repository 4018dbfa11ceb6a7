"""What is said of an incident: texts filled from it by template, sent to channels, and shown on the status page.

An incident, a kind and an audience enter; a message and what became of it leave.
"""
