"""What is found out before an incident may be closed: its impact, and whether the service works again.

An incident enters; figures of the ledger, and checks with their outcome, leave.
"""
