"""Calls of the ledger: the list, and one with its trace and its log lines."""
