"""The way of a line out of the process: a bounded queue, and a thread that writes to the spool and to standard error.

A terminal gets lines that people can read.

Whoever logs formats the line and puts it into the queue (10 µs together); nothing they do waits for a disk or a pipe.
What finds no room is dropped and counted.
"""

import collections
import contextlib
import logging
import os
import select
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol

from cmg.telemetry.disk import DiskGuard
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.lines.terminal import readable

QUEUED_LINES, QUEUED_BYTES = 50_000, 32 * 2**20
GATHER_S = 0.01  # lines of this time go out together
TICK_S = 1.0
_CLOSE_S = 2.0
_TELL_S = 10.0  # between two lines about dropped lines, which may be dropped too
_AT_ONCE = 256 * 1024
_PIPE = 4096  # a pipe that is ready takes this much without waiting (PIPE_BUF)
_PATIENCE_S = 0.2  # for a reader of standard error, once a batch

Dropped = Callable[[dict[str, int]], None]


class Lines(Protocol):
    """Where whole lines are put, as a `Spool`."""

    def append(self, lines: bytes) -> bool:
        """Take them; False when there is no room. Raises `OSError`."""
        ...

    def close(self) -> None:
        """Let go."""
        ...


class LineWriter(logging.Handler):
    """A handler whose `emit` never waits and never raises. `stream` is a file descriptor, or -1 for none."""

    def __init__(self, spool: Lines | None, stream: int = 2, shedder: DiskGuard | None = None) -> None:
        super().__init__()
        self._spool, self._stream, self._shedder = spool, stream, shedder
        self._to_people = stream >= 0 and os.isatty(stream)
        self._queue: collections.deque[bytes] = collections.deque()
        self._bytes = 0
        self._dropped: dict[str, int] = {}
        self._untold: dict[str, int] = {}
        self._unlogged: dict[str, int] = {}
        self._logged_at = -_TELL_S
        self._written = 0
        self._instruments: Instruments | None = None
        self._ticks: list[Callable[[], None]] = []
        self._cut = False  # the last thing that standard error got was half a line
        self._wake, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="cmg-log-lines", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def report_to(self, instruments: Instruments) -> None:
        """Count what was written and dropped, so far and from now on, in these instruments."""
        self._instruments = instruments

    def every_second(self, work: Callable[[], None]) -> None:
        """Call this in the writing thread about once a second; it must be quick."""
        self._ticks.append(work)

    def emit(self, record: logging.LogRecord) -> None:
        """Format the record and queue it."""
        try:
            line = self.format(record).encode("utf-8", "replace") + b"\n"
        except Exception:  # noqa: BLE001  a line that cannot be made must not harm whoever logs: it is counted
            self._drop("unformatted")
            return
        if len(self._queue) >= QUEUED_LINES or self._bytes >= QUEUED_BYTES:
            self._drop("queue")
            return
        self._bytes += len(line)
        self._queue.append(line)
        if not self._wake.is_set():
            self._wake.set()

    def close(self) -> None:
        """Write what is queued, for two seconds at most."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(_CLOSE_S)
        super().close()

    def _drop(self, reason: str, lines: int = 1) -> None:
        self._dropped[reason] = self._dropped.get(reason, 0) + lines

    def _run(self) -> None:
        while True:
            woken = self._wake.wait(TICK_S)
            if woken and not self._stop.wait(GATHER_S):
                self._wake.clear()
            self._write_queued()
            self._tick()
            if self._stop.is_set() and not self._queue:
                break
        if self._spool is not None:
            self._spool.close()

    def _write_queued(self) -> None:
        while self._queue:
            batch, size = [], 0
            with contextlib.suppress(IndexError):
                while size < _AT_ONCE:
                    batch.append(self._queue.popleft())
                    size += len(batch[-1])
            self._bytes -= size
            data = b"".join(batch)
            self._store(data, len(batch))
            self._show(data, len(batch))

    def _store(self, data: bytes, lines: int) -> None:
        if self._spool is None:
            return
        if self._shedder is not None and self._shedder.sheds("logs"):
            self._drop("disk", lines)
            return
        try:
            if self._spool.append(data):
                self._written += lines
            else:
                self._drop("spool", lines)
        except OSError:
            self._drop("spool", lines)

    def _show(self, data: bytes, lines: int) -> None:
        """To standard error in pieces that a ready pipe takes whole; a reader who does not read loses lines."""
        if self._stream < 0:
            return
        if self._to_people:
            data = readable(data)
        if self._cut:
            data = b"\n" + data
        place = 0
        try:
            while place < len(data):
                if not select.select((), (self._stream,), (), _PATIENCE_S)[1]:
                    self._drop("stderr", max(1, data.count(b"\n", place)))
                    break
                place += os.write(self._stream, data[place : place + _PIPE])
        except (OSError, ValueError):
            self._drop("stderr", lines)
        self._cut = place < len(data) and not data[:place].endswith(b"\n") and place > 0

    def _tick(self) -> None:
        for work in self._ticks:
            try:
                work()
            except Exception as error:  # noqa: BLE001  the thread must live: the failure itself is logged
                logging.getLogger(__name__).warning("work beside the log lines failed: %r", error)
        dropped, self._dropped = self._dropped, {}
        for reason, lines in dropped.items():
            self._untold[reason] = self._untold.get(reason, 0) + lines
            self._unlogged[reason] = self._unlogged.get(reason, 0) + lines
        if self._instruments is not None:
            self._count(self._instruments)
        if self._unlogged.keys() - {"stderr"} and monotonic() - self._logged_at >= _TELL_S:
            told, self._unlogged, self._logged_at = self._unlogged, {}, monotonic()
            logging.getLogger(__name__).error("log lines were dropped: %s", _told(told))

    def _count(self, instruments: Instruments) -> None:
        for reason, lines in self._untold.items():
            instruments.series("cmg_log_lines_dropped_total", reason).inc(lines)
        self._untold = {}
        written, self._written = self._written, 0
        instruments.series("cmg_log_lines_written_total").inc(written)
        if self._shedder is not None:
            instruments.series("cmg_disk_shedding_ratio", "logs").set(self._shedder.sheds("logs"))


def _told(dropped: dict[str, int]) -> str:
    return ", ".join(f"{lines} ({reason})" for reason, lines in sorted(dropped.items()))


def writer() -> LineWriter | None:
    """The writer of this process, if its lines go through one."""
    handlers: list[Any] = logging.getLogger().handlers
    return next((one for one in handlers if isinstance(one, LineWriter)), None)
