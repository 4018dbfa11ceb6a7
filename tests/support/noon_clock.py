"""A clock that goes as the machine's, but began at noon: no day, week or month ends while a test looks on."""

import time
from datetime import UTC, datetime

from cmg.kit.clock import SystemClock
from support.manual_clock import START

_AHEAD_S = START - time.time()


class NoonClock(SystemClock):
    """One for all: it was noon on 24 November 2026 when this process loaded it."""

    def time(self) -> float:
        """Seconds since the Unix epoch."""
        return time.time() + _AHEAD_S

    def now(self) -> datetime:
        """The same as `time`, as an aware UTC datetime."""
        return datetime.fromtimestamp(self.time(), UTC)
