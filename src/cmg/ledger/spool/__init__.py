"""How the journal lies on disk: frames in segment files, the drain's progress, the wake-up pipe, the refused records.

The `Journal` writes through it and the `JournalDrain` reads through it; both may be killed at any byte.
What enters are groups of (kind, payload) pairs, what leaves are the same pairs in the same order.
"""
