"""How long a component was at which level: a read port on the history, for reports and status pages."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

import msgspec

from cmg.health.models import UNKNOWN, Level, Transition
from cmg.health.store import HealthStore
from cmg.kit.clock import Clock

_UP = (Level.HEALTHY.name, Level.DEGRADED.name)
_HEARD_S = 120.0  # a machine that was heard of within this is alive now


class Uptime(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds by level over all machines; `ratio` is the share of HEALTHY and DEGRADED, None when nobody looked.

    Time in which nobody looked counts neither way.
    """

    component: str
    days: int
    seconds: dict[str, float]
    ratio: float | None


class UptimeReports:
    """Reads the history in the database."""

    def __init__(self, store: HealthStore, clock: Clock) -> None:
        self._store, self._clock = store, clock

    async def of(self, component: str, days: int) -> Uptime:
        """The last `days` days of a component (`service` is the whole). Raises `DatabaseAway`."""
        now = self._clock.now()
        since = now - timedelta(days=days)
        moved, beats = await self._store.of(component, since), await self._store.beats()
        seconds = spent(moved, beats, since.timestamp(), now.timestamp())
        observed = sum(seconds.values())
        up = sum(seconds.get(level, 0.0) for level in _UP)
        return Uptime(component=component, days=days, seconds=seconds, ratio=up / observed if observed else None)


def spent(transitions: Sequence[Transition], beats: Mapping[str, float], since: float, now: float) -> dict[str, float]:
    """Seconds at each level between two moments, of transitions oldest first.

    A level holds until the next one of its machine; the last one as long as the machine was heard of.
    """
    seconds: dict[str, float] = {}
    last: dict[str, Transition] = {}

    def count(one: Transition, until: float) -> None:
        span = until - max(one.at, since)
        if one.after != UNKNOWN and span > 0:
            seconds[one.after] = seconds.get(one.after, 0.0) + span

    for one in transitions:
        if (before := last.get(one.machine)) is not None:
            count(before, one.at)
        last[one.machine] = one
    for machine, one in last.items():
        heard = beats.get(machine, one.at)
        count(one, now if now - heard <= _HEARD_S else heard)
    return seconds
