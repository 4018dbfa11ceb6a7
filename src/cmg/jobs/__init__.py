"""Background work that survives its process: a queue and schedules on PostgreSQL.

In come jobs, enqueued inside the transaction they belong to, and cron lines; out go calls of registered handlers, at
least once each, so handlers are idempotent. What fails for good is held for somebody to look at, never dropped.
"""
