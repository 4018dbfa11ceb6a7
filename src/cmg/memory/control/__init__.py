"""What a person or an operator may do with what is remembered: list, show, delete, export and erase it.

Owners and ids of a workspace come in; stored items, threads, JSON lines and receipts go out. Nothing of a person stays
behind an erasure, and what is on its way or comes back with a backup meets a tombstone.
"""
