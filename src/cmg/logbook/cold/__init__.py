"""The tiers of files: days that left PostgreSQL, as compressed JSON lines with an index, local or in an object store.

Whole days of lines enter; what leaves are lines of a search that read only the blocks that may hold them.
"""
