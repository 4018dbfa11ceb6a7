"""The time series: are our own metrics still scraped, or does the Prometheus that keeps them answer?"""

from collections.abc import Awaitable, Callable, Sequence

from cmg.health.looking import Look, Probe
from cmg.health.models import Component, Level, Reading
from cmg.kit.clock import Clock

_MISSED = 2.0  # scrapes
_STARTING = 3.0  # intervals from the start until the first scrape must be there


class NothingScraped(Exception):
    """There was never a scrape."""


def freshness_probe(newest: Callable[[], float | None], interval_s: float, clock: Clock) -> Probe:
    """`newest` gives the epoch second of our newest own scrape, None before the first."""
    began = clock.time()
    component = Component(name="timeseries")
    return Probe(component, _look(newest, interval_s, began, clock), (_look(lambda: 0.0, interval_s, 0.0, clock),))


def _look(newest: Callable[[], float | None], interval_s: float, began: float, clock: Clock) -> Look:
    async def look() -> Sequence[Reading]:
        """Raises `NothingScraped`."""
        last, now = newest(), clock.time()
        if last is None:
            if now - began > _STARTING * interval_s:
                raise NothingScraped(f"nothing was scraped in {now - began:.0f} s since the start")
            return [Reading(measurement="age", output="the first scrape is still to come")]
        age_s = now - last
        stale = age_s > _MISSED * interval_s
        told = f"the newest samples are {age_s:.0f} s old; a scrape comes every {interval_s:g} s" if stale else ""
        level = Level.UNHEALTHY if stale else Level.HEALTHY
        return [Reading(measurement="age", level=level, value=round(age_s, 1), unit="s", output=told)]

    return look


def remote_probe(ask: Callable[[], Awaitable[tuple[int, bytes]]]) -> Probe:
    """`ask` sends the simplest query to the Prometheus of the settings and gives its status."""

    async def look() -> Sequence[Reading]:
        status, _ = await ask()
        if status == 200:
            return [Reading(measurement="status", value=status)]
        told = f"Prometheus answers {status}"
        return [Reading(measurement="status", level=Level.UNHEALTHY, value=status, output=told)]

    return Probe(Component(name="timeseries", kind="system"), look)
