"""The processes of this machine: gateways with their journals, and those that memory needs."""

import os
import resource
from collections.abc import Awaitable, Callable, Mapping, Sequence

from cmg.health.looking import Look, Probe
from cmg.health.models import Component, Level, Reading
from cmg.kit.clock import Clock

_STARTING_S = 20.0  # a process may take so long until it answers
_UNDRAINED_S = 10.0  # a journal is drained within a second as long as the database is there
Answering = Callable[[], Mapping[str, bool]]
Waiting = Callable[[], tuple[int, float]]
"""Bytes that wait for the database, and for how long the oldest of them has."""


def gateway_probe(
    answering: Answering, expected: Sequence[str], waiting: Waiting, journal_bytes: int, clock: Clock
) -> Probe:
    """`answering` tells of each process whether it does; `journal_bytes` may wait before new calls get 503."""
    component = Component(name="gateway", worst=Level.CRITICAL)
    since = clock.monotonic() + _STARTING_S

    def look(answering: Answering, since: float) -> Look:
        async def looking() -> Sequence[Reading]:
            found = answering()
            starting = clock.monotonic() < since
            lost = [name for name in expected if not found.get(name, starting)]
            return [*_processes(expected, lost), *_journal(*waiting(), journal_bytes)]

        return looking

    return Probe(component, look(answering, since), (look(dict, float("-inf")),))


def _processes(expected: Sequence[str], lost: Sequence[str]) -> list[Reading]:
    each = Level.CRITICAL if len(lost) == len(expected) else Level.DEGRADED
    return [
        Reading(
            measurement="answers",
            level=each if name in lost else Level.HEALTHY,
            value=name not in lost,
            output="the process does not answer" if name in lost else "",
            part=name,
        )
        for name in expected
    ]


def _journal(size: int, age_s: float, most: int) -> list[Reading]:
    full, late = size >= most, age_s > _UNDRAINED_S
    return [
        Reading(
            measurement="undrained",
            level=Level.UNHEALTHY if full else Level.HEALTHY,
            value=size,
            unit="bytes",
            output="the journal is full: new calls are refused" if full else "",
        ),
        Reading(
            measurement="undrainedAge",
            level=Level.DEGRADED if late else Level.HEALTHY,
            value=round(age_s, 1),
            unit="s",
            output="usage and turns wait for the database" if late else "",
        ),
    ]


def memory_probe(
    answering: Answering, expected: Sequence[str], embedder: Callable[[], Awaitable[None]] | None, clock: Clock
) -> Probe:
    """What recall needs beside the database: the processes that make notes, and the embedder."""
    since = clock.monotonic() + _STARTING_S

    def look(answering: Answering, since: float) -> Look:
        async def looking() -> Sequence[Reading]:
            found = answering()
            starting = clock.monotonic() < since
            lost = [name for name in expected if not found.get(name, starting)]
            told = "the process that makes notes does not answer: its calls go without memory"
            level = Level.UNHEALTHY if len(lost) == len(expected) else Level.DEGRADED
            readings = [
                Reading(
                    measurement="answers",
                    level=level if name in lost else Level.HEALTHY,
                    value=name not in lost,
                    output=told if name in lost else "",
                    part=name,
                )
                for name in expected
            ]
            return readings if embedder is None else [*readings, await _embeds(embedder)]

        return looking

    decoys = (look(dict, float("-inf")),) if expected else ()
    return Probe(Component(name="memory"), look(answering, since), decoys)


async def _embeds(embedder: Callable[[], Awaitable[None]]) -> Reading:
    try:
        await embedder()
    except Exception as error:  # noqa: BLE001  whatever keeps it from answering is the finding
        told = f"the embedder does not answer: {error}; memory is searched by words alone"
        return Reading(measurement="embedder", level=Level.DEGRADED, value=False, output=told)
    return Reading(measurement="embedder", value=True)


def own_probe(clock: Clock) -> Probe:
    """This process: how long it runs, and the most memory it ever took."""
    started, me = clock.monotonic(), f"pid {os.getpid()}"

    async def look() -> Sequence[Reading]:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        uptime = round(clock.monotonic() - started, 1)
        return [
            Reading(measurement="uptime", value=uptime, unit="s", part=me),
            Reading(measurement="memoryPeak", value=peak, unit="bytes", part=me),
        ]

    return Probe(Component(name="process"), look)
