"""How much work waits."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Backlog:
    """Jobs that are due and how long the oldest of them has been, and those that run, are held, or should have ended.

    `overdue` names the last.
    """

    due: int
    oldest_s: float
    running: int
    held: int
    overdue: tuple[str, ...]
