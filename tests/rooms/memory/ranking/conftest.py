"""The desk of the vectors' tests: turns on the real database, embedded by static vectors."""

from rooms.memory.vectors.conftest import desk

__all__ = ["desk"]
