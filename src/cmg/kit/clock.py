"""Time as a dependency: every room takes a `Clock`, so that timers can be tested in simulated time."""

import asyncio
import functools
import time as machine
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol
from zoneinfo import available_timezones


class Clock(Protocol):
    """What a room may ask about time."""

    def time(self) -> float:
        """Seconds since the Unix epoch, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back; only differences mean anything."""
        ...

    def now(self) -> datetime:
        """The same moment as `time()`, as an aware UTC datetime."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after that many seconds of this clock."""
        ...


class SystemClock:
    """The machine's clock."""

    # The functions themselves: a call asks for the time some thirty times, a stream twice for each piece.
    time = staticmethod(machine.time)
    monotonic = staticmethod(machine.monotonic)

    def now(self) -> datetime:
        """The present moment, aware, UTC."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Sleep on the event loop."""
        await asyncio.sleep(seconds)


_ALSO_ASLEEP = getattr(machine, "CLOCK_BOOTTIME", machine.CLOCK_MONOTONIC)  # on macOS the latter counts sleep itself


def since_boot() -> float:
    """As `monotonic`, but the time that the machine slept counts too, as it does for the wall clock."""
    return machine.clock_gettime(_ALSO_ASLEEP)


def at(epoch_s: float) -> datetime:
    """The aware UTC datetime of seconds since the epoch."""
    return datetime.fromtimestamp(epoch_s, UTC)


def http_moment(text: str) -> float | None:
    """Seconds since the epoch of a date in a header, as `Sun, 06 Nov 1994 08:49:37 GMT`; None for anything else."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def rfc3339(epoch_s: float) -> str:
    """`2026-11-23T20:27:28.123Z`: how every time is written in answers and files."""
    return at(epoch_s).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@functools.cache
def time_zones() -> frozenset[str]:
    """The names of every IANA time zone of this machine, looked for once: it takes 12 ms or more."""
    return frozenset(available_timezones())
