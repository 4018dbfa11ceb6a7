"""The memory explorer: users, threads, items with all that is known of them, search, export and erasure."""
