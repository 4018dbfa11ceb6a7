"""Whether the service works again: a call through the gateway, its health, and its figures beside those of before."""

from datetime import timedelta
from typing import Any

import msgspec

from cmg.incidents.closing.impact import rate
from cmg.incidents.models import Incident
from cmg.incidents.ports import ProbeFailed, Prober
from cmg.kit.clock import Clock
from cmg.ledger.reports.store import Window, window
from cmg.storage.database import Database

NOW = timedelta(minutes=10)  # what is called now
BEFORE = timedelta(hours=1)  # before the trouble began
FEWEST_CALLS = 20  # fewer tell nothing of a rate
_RATE_FLOOR = 0.01
_LATENCY_SLACK_MS = 250.0
_WORSE = 1.5


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One check. `outcome`: passed, failed, or skipped where there was nothing to judge by."""

    name: str
    outcome: str
    told: str
    details: dict[str, Any] = {}


class Checks:
    """Runs the checks of an incident."""

    def __init__(self, database: Database, prober: Prober, clock: Clock) -> None:
        self._database, self._prober, self._clock = database, prober, clock

    async def run(self, incident: Incident) -> list[Check]:
        """All of them; one that cannot be made has failed. Raises `DatabaseAway`."""
        now = self._clock.now()
        functional = [await self._call(), await self._health()]
        present = await window(self._database, now - NOW, now)
        before = await window(self._database, incident.started_at - BEFORE, incident.started_at)
        return [*functional, error_rate(present, before), latency(present, before)]

    async def _call(self) -> Check:
        try:
            took_s = await self._prober.chat()
        except ProbeFailed as error:
            return Check(name="call", outcome="failed", told=f"a call of sim/echo through the gateway failed: {error}")
        told = f"a call of sim/echo through the gateway was answered in {took_s * 1000:.0f} ms"
        return Check(name="call", outcome="passed", told=told, details={"took_s": round(took_s, 4)})

    async def _health(self) -> Check:
        try:
            level = await self._prober.level()
        except ProbeFailed as error:
            return Check(name="health", outcome="failed", told=f"the level of health cannot be read: {error}")
        outcome = "passed" if level in ("HEALTHY", "DEGRADED") else "failed"
        return Check(name="health", outcome=outcome, told=f"the level of health is {level}", details={"level": level})


def error_rate(present: Window, before: Window) -> Check:
    """Not more than half again as many calls fail as before the trouble, or one in a hundred."""
    now, then = rate(present), rate(before)
    details = {"now": now, "before": then, "calls": present.calls, "calls_before": before.calls}
    if present.calls < FEWEST_CALLS or now is None:
        return _too_few("error_rate", present, details)
    most = max(_RATE_FLOOR, _WORSE * (then or 0.0))
    told = f"{now:.2%} of the calls of the last 10 minutes failed; at most {most:.2%} may"
    return Check(name="error_rate", outcome="passed" if now <= most else "failed", told=told, details=details)


def latency(present: Window, before: Window) -> Check:
    """The slowest twentieth is not half again as slow as before, or a quarter of a second slower."""
    now, then = present.latency_ms_p95, before.latency_ms_p95
    details = {"now": now, "before": then, "calls": present.calls, "calls_before": before.calls}
    if present.calls < FEWEST_CALLS or before.calls < FEWEST_CALLS or now is None or then is None:
        return _too_few("latency", present if present.calls < FEWEST_CALLS else before, details)
    most = max(_WORSE * then, then + _LATENCY_SLACK_MS)
    told = f"95 % of the calls took at most {now:.0f} ms; {most:.0f} ms are allowed"
    return Check(name="latency", outcome="passed" if now <= most else "failed", told=told, details=details)


def failed(checks: list[Check]) -> list[Check]:
    """Those that keep an incident from being closed."""
    return [check for check in checks if check.outcome == "failed"]


def _too_few(name: str, figures: Window, details: dict[str, Any]) -> Check:
    told = f"{figures.calls} calls are too few to judge by; {FEWEST_CALLS} are needed"
    return Check(name=name, outcome="skipped", told=told, details=details)
