"""What every call cost and who it belongs to: the journal, the usage table, prices, reports and budget events.

Usage records and turns enter through the worker's `Journal` (a file, no database on the hot path) and are
carried into PostgreSQL by the `JournalDrain`, each exactly once. Sums leave as `/admin/v1/usage`, as what a
key has spent in a budget's period, and as one event row for every threshold a key passes.
"""
