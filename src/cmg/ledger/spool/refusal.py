"""Records that cannot be stored: recognised, set aside as files, counted. They never block the queue."""

import contextlib
from pathlib import Path

import asyncpg

from cmg.ledger.spool.folder import Taken
from cmg.storage.database import DatabaseAway
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.logs import get_logger

MAX_FILES = 1000
# SQLSTATE classes that speak of the data and not of the server: cardinality violation, data exception, integrity
# violation, program limit exceeded (a value too long for an index).
_DATA_CLASSES = ("21", "22", "23", "54")
_log = get_logger("cmg.ledger.refusal")


def is_poison(error: Exception) -> bool:
    """Whether trying again can never help: the payload itself is what the sink or the table refuses.

    Everything that may pass (connection, locks, disk, a missing table while a release rolls out) is not poison.
    """
    if isinstance(error, (DatabaseAway, OSError, TimeoutError)):
        return False
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "").startswith(_DATA_CLASSES)
    if isinstance(error, asyncpg.InterfaceError):
        return isinstance(error, ValueError)  # asyncpg's own DataError: a value that does not fit its type
    return True


class Refusals:
    """The folder `spool/refused/`: `<worker>-<position>-<place>.<kind>` holds a payload, `.why` beside it the error.

    At most 1,000 payloads are kept, the newest; all are counted and logged.
    """

    def __init__(self, folder: Path, instruments: Instruments) -> None:
        self._folder, self._instruments = folder, instruments
        self._kept: dict[str, list[str]] = {}

    def keep(self, taken: Taken, reason: str) -> None:
        """Write the payload to its file before the batch commits; the same record always has the same file."""
        kind = "".join(letter if letter.isalnum() else "_" for letter in taken.kind)[:40]
        name = f"{taken.worker.hex}-{taken.position}-{taken.place}.{kind}"
        self._folder.mkdir(exist_ok=True, mode=0o700)
        (self._folder / name).write_bytes(taken.payload)
        (self._folder / f"{name}.why").write_text(reason)
        self._kept.setdefault(taken.kind, []).append(name)

    def rolled_back(self) -> None:
        """The batch will come again: what was kept for it is not counted yet."""
        self._kept = {}

    def settle(self) -> None:
        """The batch is committed: count and log what it set aside, and delete the oldest of too many."""
        if not self._kept:
            return
        for kind, names in self._kept.items():
            self._instruments.series("cmg_journal_records_refused_total", kind).inc(len(names))
            _log.error("journal records were set aside", kind=kind, count=len(names), first=names[0])
        self._kept = {}
        payloads = sorted(path for path in self._folder.iterdir() if path.suffix != ".why")  # ids sort by time
        for path in payloads[:-MAX_FILES]:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
                path.with_name(f"{path.name}.why").unlink()
