"""The database: does it answer, can it be written, are its connections used up, is it slow?"""

from collections.abc import Sequence

from cmg.health.looking import Look, Probe
from cmg.health.models import Component, Level, Reading
from cmg.health.store import HealthStore
from cmg.kit.clock import Clock

_SLOW_TRIP_S = 0.5
_SLOW_STATEMENT_S = 20.0
_NEARLY_ALL = 0.9


def probe(store: HealthStore, nowhere: HealthStore, machine: str, clock: Clock, *, needed: bool) -> Probe:
    """`nowhere` is the store of a database that does not exist; `needed`: this machine can do nothing without it."""
    worst = Level.UNHEALTHY if needed else Level.DEGRADED
    component = Component(name="database", kind="datastore", worst=worst)
    return Probe(component, _look(store, machine, clock), (_look(nowhere, machine, clock),))


def _look(store: HealthStore, machine: str, clock: Clock) -> Look:
    async def look() -> Sequence[Reading]:
        """Raises `DatabaseAway`."""
        trip_s = await store.ping()
        return [
            Reading(measurement="availability", value=True),
            _trip(trip_s),
            await _written(store, machine, clock),
            _pool(*store.pool_use()),
            *await _busy(store),
        ]

    return look


def _trip(trip_s: float) -> Reading:
    level, told = Level.HEALTHY, ""
    if trip_s > _SLOW_TRIP_S:
        level, told = Level.DEGRADED, f"one round trip took {trip_s:.1f} s"
    return Reading(measurement="responseTime", level=level, value=round(trip_s * 1000, 2), unit="ms", output=told)


async def _written(store: HealthStore, machine: str, clock: Clock) -> Reading:
    try:
        await store.beat(machine, clock.now())
    except Exception as error:  # noqa: BLE001  whatever keeps a row from being written is the finding
        told = f"it answers, but a row cannot be written: {error}"
        return Reading(measurement="writes", level=Level.UNHEALTHY, value=False, output=told)
    return Reading(measurement="writes", value=True)


def _pool(used: int, most: int) -> Reading:
    level, told = Level.HEALTHY, ""
    if used >= most:
        level, told = Level.DEGRADED, f"all {most} connections of the background process are in use"
    return Reading(measurement="poolConnections", level=level, value=used, unit="connections", output=told)


async def _busy(store: HealthStore) -> list[Reading]:
    seen = await store.activity(_SLOW_STATEMENT_S)
    full = seen.connections >= _NEARLY_ALL * seen.most
    return [
        Reading(
            measurement="serverConnections",
            level=Level.DEGRADED if full else Level.HEALTHY,
            value=seen.connections,
            unit="connections",
            output=f"{seen.connections} of {seen.most} connections are in use" if full else "",
        ),
        Reading(
            measurement="slowStatements",
            level=Level.DEGRADED if seen.slow else Level.HEALTHY,
            value=seen.slow,
            unit="statements",
            output=f"{seen.slow} statements have run for more than {_SLOW_STATEMENT_S:g} s" if seen.slow else "",
        ),
        Reading(
            measurement="blockedStatements",
            level=Level.DEGRADED if seen.blocked else Level.HEALTHY,
            value=seen.blocked,
            unit="statements",
            output=f"{seen.blocked} statements wait for locks" if seen.blocked else "",
        ),
    ]
