"""The reader's side of a machine's spool of lines: which files there are, and the whole lines behind a position."""

import contextlib
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from cmg.telemetry.lines.spool import LOCK, SUFFIX

PIECE = 512 * 1024


@dataclass(frozen=True)
class Piece:
    """Whole lines of a file, and the position behind them. `damaged`: bytes that will never be a whole line."""

    lines: list[bytes]
    end: int
    damaged: int = 0


def segments(folder: Path) -> list[Path]:
    """Every file of the spool, each writer's in their order."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def finished(segment: Path, among: list[Path]) -> bool:
    """Whether nothing more comes into a file: its writer has begun a later one, or is gone. Ask before reading it."""
    writer = segment.name.partition("-")[0]
    later = any(one.name > segment.name and one.name.startswith(writer) for one in among)
    return later or _is_free(segment.with_name(f"{writer}{LOCK}"))


def read(segment: Path, position: int, most_lines: int, *, over: bool) -> Piece:
    """The next lines of a file; `over`: it was finished before this call, so what is left without an end is torn."""
    with segment.open("rb", buffering=0) as file:
        data = os.pread(file.fileno(), PIECE, position)
    end = data.rfind(b"\n") + 1
    if end == 0:
        lost = len(data) if over or len(data) == PIECE else 0
        return Piece([], position + lost, lost)
    lines = data[:end].split(b"\n")[:-1]
    if len(lines) > most_lines:
        lines = lines[:most_lines]
        end = sum(len(line) + 1 for line in lines)
    return Piece([line for line in lines if line], position + end)


def remove(segment: Path) -> None:
    """Delete a file that is stored."""
    segment.unlink(missing_ok=True)


def tidy(folder: Path) -> None:
    """Delete the locks of writers that are gone and have left no file."""
    writers = {segment.name.partition("-")[0] for segment in segments(folder)}
    for lock in folder.glob(f"*{LOCK}"):
        if lock.stem not in writers and _is_free(lock):
            with contextlib.suppress(FileNotFoundError):
                lock.unlink()


def _is_free(lock: Path) -> bool:
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)
