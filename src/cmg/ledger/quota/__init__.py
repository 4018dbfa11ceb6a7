"""Limits and budgets that hold under parallel calls: a call asks before it goes upstream and settles after it.

A `Demand` (key, estimated tokens and cost) enters; a `Grant` leaves, or `RateLimited`/`BudgetExceeded`, which
consume nothing. State lives in a memory-mapped file shared by one machine's workers, or in Redis.
"""
