"""Which traces are kept, decided at their end: every error, everything slow, and a share of the rest.

Source: the idea of tail sampling; a reservoir of one a second makes a quiet service keep everything.
"""

import random

from cmg.config import TraceSettings
from cmg.telemetry.tracing.trace import Trace


class Tail:
    """The decisions of one process. Times are monotonic seconds."""

    def __init__(self, settings: TraceSettings, chance: random.Random | None = None) -> None:
        self._settings = settings
        self._chance = chance or random.Random()  # noqa: S311 -- a sample, nothing secret
        self._request_s = settings.slow_request_ms / 1000
        self._answer_s = settings.slow_call_ms / 1000
        self._own_s = settings.slow_gateway_ms / 1000
        self._quiet = _Allowance(settings.per_second)
        self._asked = _Allowance(settings.asked_per_second)

    def decide(self, trace: Trace, now: float) -> str:
        """Why the trace is kept: error, slow, asked, share; empty when it is not (yet)."""
        if not trace.reason:
            trace.reason = self._worth(trace, now) or self._chosen(trace, now)
        return trace.reason

    def _worth(self, trace: Trace, now: float) -> str:
        if trace.failed:
            return "error"
        if trace.answer_s is None:
            return "slow" if now - trace.started >= self._request_s else ""
        return "slow" if trace.answer_s >= self._answer_s or trace.own_s >= self._own_s else ""

    def _chosen(self, trace: Trace, now: float) -> str:
        """A caller's sampled flag is a wish with a bound; without one it is chance, and a caller may forbid that."""
        if trace.tried or trace.asked is False:
            return ""
        trace.tried = True
        if trace.asked and self._asked.take(now):
            return "asked"
        share = self._settings.share
        return "share" if self._quiet.take(now) or (share and self._chance.random() < share) else ""


class _Allowance:
    """So many a second, and never more saved up than that."""

    def __init__(self, per_second: float) -> None:
        self._per_second, self._most = per_second, max(per_second, 1.0) if per_second else 0.0
        self._left, self._at = self._most, 0.0

    def take(self, now: float) -> bool:
        """Whether one more is allowed now."""
        if now > self._at:
            self._left = min(self._most, self._left + (now - self._at) * self._per_second)
            self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
