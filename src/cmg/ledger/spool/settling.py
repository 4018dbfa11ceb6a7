"""Waiting until what this machine's journals hold now is stored."""

import contextlib
from pathlib import Path
from struct import Struct

from cmg.kit.clock import Clock
from cmg.ledger.spool.folder import segments_end
from cmg.ledger.spool.progress import NAME

_LOOK_S = 0.02
_WORD = Struct("=Q")


async def settled(spool: Path, clock: Clock, timeout_s: float) -> bool:
    """True once the drain is past everything that stood in the journals when this was called."""
    deadline = clock.monotonic() + timeout_s
    waiting = _standing(spool)
    while waiting := {folder: end for folder, end in waiting.items() if not _drained(folder, end)}:
        if clock.monotonic() >= deadline:
            return False
        await clock.sleep(_LOOK_S)
    return True


def _standing(spool: Path) -> dict[Path, int]:
    """Where each worker's journal ends now."""
    return {file.parent: segments_end(file.parent) for file in spool.glob(f"*/{NAME}")}


def _drained(folder: Path, end: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        data = (folder / NAME).read_bytes()
        return len(data) >= _WORD.size and int(_WORD.unpack_from(data)[0]) >= end
    return True  # the folder is removed when all of it is committed
