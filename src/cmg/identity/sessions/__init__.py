"""Signing in, and the sessions that follow: in the database, so that each can be listed, ended, and ends by itself.

Passwords, codes and cookies enter; a `Caller` leaves for every request whose cookie is good. Guessing is slowed down
per account and per address, whether the account exists or not.
"""
