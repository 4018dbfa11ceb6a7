"""Limits and budgets over several machines that share a Redis, and each machine's own share while it is away.

The same demands, grants and refusals as on one machine; state leaves the process only through the scripts here.
"""
