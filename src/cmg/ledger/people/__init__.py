"""The people whom the ledger and its journals name, and how they go from it.

A user's id and a pseudonym come in; rows keep what they cost and lose whose they were, set-aside records are deleted.
"""
