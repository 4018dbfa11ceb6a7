"""Secrets that have to be stored and used again, encrypted under the master key of the settings or of the data dir.

What is sealed stands in the database and in backups and opens nothing there. Several keys may be told: the first seals,
all open.
"""
