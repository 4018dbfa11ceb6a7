"""The health of health: known-good and known-bad looks go through the same judgement, and every probe sees its decoy.

A judge that passes everything, one whose deadline does not hold, and a probe that finds nothing wrong with what is
known to be bad are caught by it. That the prober lives at all, a reader sees by the age of its report.
"""

import asyncio
from collections.abc import Sequence

from cmg.health.looking import Look, Probe, seen
from cmg.health.models import PROBER, Component, Level, Reading
from cmg.telemetry.instruments import Instruments

_DEADLINE_S = 3.0
_HUNG_S = 0.1


async def _good() -> Sequence[Reading]:
    return [Reading(measurement="known", value=True)]


async def _bad() -> Sequence[Reading]:
    raise ConnectionError("known to be bad")


async def _poor() -> Sequence[Reading]:
    return [Reading(measurement="known", level=Level.CRITICAL, value=False)]


async def _hung() -> Sequence[Reading]:
    await asyncio.Event().wait()
    return [Reading(measurement="known", value=True)]


_KNOWN: tuple[tuple[str, Look, Level, float], ...] = (
    ("known-good", _good, Level.HEALTHY, _DEADLINE_S),
    ("known-bad", _bad, Level.UNHEALTHY, _DEADLINE_S),
    ("known-critical", _poor, Level.CRITICAL, _DEADLINE_S),
    ("known-hung", _hung, Level.UNHEALTHY, _HUNG_S),
)


def canary(probes: Sequence[Probe], instruments: Instruments) -> Probe:
    """The probe of the probes."""

    async def look() -> Sequence[Reading]:
        known = await asyncio.gather(*(_known(*one) for one in _KNOWN))
        decoys = await asyncio.gather(
            *(_decoy(probe.component.name, decoy) for probe in probes for decoy in probe.decoys)
        )
        readings = [*known, *decoys]
        for reading in readings:
            lies = int(reading.level > 0)  # from 0 on: else the first one is no increase that an alert sees
            instruments.series("cmg_health_canary_failures_total", reading.part).inc(lies)
        return readings

    return Probe(Component(name=PROBER), look)


async def _known(name: str, look: Look, expected: Level, deadline_s: float) -> Reading:
    found = await seen(look, deadline_s)
    if found.level == expected:
        return Reading(measurement="canary", value=found.level.name, part=name)
    told = f"what is known to be {expected.name} was found {found.level.name}"
    return Reading(measurement="canary", level=Level.UNHEALTHY, value=found.level.name, output=told, part=name)


async def _decoy(name: str, look: Look) -> Reading:
    found = await seen(look, _DEADLINE_S)
    if found.level >= Level.UNHEALTHY:
        return Reading(measurement="canary", value=found.level.name, part=name)
    told = f"the probe of {name} lies: it found something known to be bad {found.level.name}"
    return Reading(measurement="canary", level=Level.UNHEALTHY, value=found.level.name, output=told, part=name)
