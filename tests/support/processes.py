"""Reading the process table: descendants of a process, their command lines, whether they are alive."""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def parents() -> dict[int, int]:
    """Process → its parent, of every process that is not a zombie."""
    table = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if fields[0] != "Z":
            table[int(stat.parent.name)] = int(fields[1])
    return table


def descendants(pid: int) -> list[int]:
    """Every process below `pid`, nearest first."""
    table = parents()
    family, front = [], [pid]
    while front:
        front = [child for child, parent in table.items() if parent in front]
        family += front
    return family


def command_line(pid: int) -> str:
    """The command line with blanks between its words; empty when the process is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal; a process that is gone already is fine."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def wait_until(condition: Callable[[], T], timeout_s: float, what: str) -> T:
    """Poll until `condition` gives something true and return it; after `timeout_s` fail, naming `what`.

    The pauses grow a little: what takes seconds is not made longer by being asked for all the time.
    """
    deadline, pause_s = time.monotonic() + timeout_s, 0.02
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {what}")
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.2, 0.15)
