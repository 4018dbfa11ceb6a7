"""Reads memories in a process that journals nothing."""

from dataclasses import dataclass
from pathlib import Path

from cmg.kit.ids import uuid7_hex


@dataclass(frozen=True)
class Onlooker:
    """The place in the spool of a process that reads memories and journals nothing."""

    spool: Path

    @property
    def folder(self) -> Path:
        """A worker's folder that nobody makes."""
        return self.spool / uuid7_hex()
