"""Accounts of people: who there is, with which role in which workspace, and what proves that it is them.

Forms of administrators and of the people themselves enter; changes leave with their audit entry and security event.
Passwords, tokens and codes are kept as hashes; what signs a person in is shown once, to whom it is meant for.
"""
