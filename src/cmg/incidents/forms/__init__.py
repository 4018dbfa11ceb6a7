"""Incidents as people send and see them: bodies are read field by field, answers are plain values.

JSON enters; clean values, or an error that names the field, leave.
"""
