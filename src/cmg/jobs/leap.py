"""Whether the wall clock was put far ahead while this process ran: what is deleted by its age then was not old."""

from collections.abc import Callable
from typing import Any

from cmg.jobs.attempt import JobHandler
from cmg.kit.clock import Clock, since_boot
from cmg.telemetry.logs import get_logger

MOST_S = 3600.0  # what a correction may be: at worst so much goes early
BELIEVED_S = 86400.0  # a clock that is wrong is seen within a day
_log = get_logger("cmg.jobs.leap")


class Leap:
    """Compares the wall clock with one that nobody sets. A clock that is ahead is believed after a day, or by a start.

    What was put back deletes nothing early, and is waited for by nobody.
    """

    def __init__(self, clock: Clock, steady: Callable[[], float] = since_boot) -> None:
        self._clock, self._steady = clock, steady
        self._believed = self._difference()
        self._noticed: float | None = None

    def holds(self) -> bool:
        """Whether what is old by the clock may not be."""
        ahead = self._difference() - self._believed
        if ahead <= MOST_S:
            self._noticed = None
            if ahead >= -MOST_S:  # it drifts; one that was put back may be put right again
                self._believed += ahead
            return False
        now = self._steady()
        if self._noticed is None:
            self._noticed = now
            _log.error(
                "the clock was put ahead: nothing is deleted by its age until it is put back, or for a day",
                ahead_s=round(ahead),
                advice="if the clock is right, restart the service",
            )
        if now - self._noticed < BELIEVED_S:
            return True
        _log.warning("a clock that was put ahead a day ago is believed", ahead_s=round(ahead))
        self._believed, self._noticed = self._believed + ahead, None
        return False

    def guarded(self, handler: JobHandler) -> JobHandler:
        """A job that does nothing while this holds."""

        async def handle(payload: Any) -> None:
            if not self.holds():
                await handler(payload)

        return handle

    def _difference(self) -> float:
        return self._clock.time() - self._steady()
