"""One look of one probe, with a deadline that holds whatever the probe does."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import msgspec

from cmg.health.models import Component, Level, Reading, worst
from cmg.telemetry.logs import redact

Look = Callable[[], Awaitable[Sequence[Reading]]]
_CANCEL_S = 0.05
_OUTPUT_MAX = 1000


@dataclass(frozen=True)
class Probe:
    """How a component is looked at.

    `decoys` are the same looks at things that are known to be bad: a look that finds nothing wrong with its decoy lies.
    """

    component: Component
    look: Look
    decoys: tuple[Look, ...] = ()


@dataclass(frozen=True)
class Seen:
    """What came of a look; `left` is its task when it did not even end after it was cancelled."""

    level: Level
    readings: tuple[Reading, ...]
    left: "asyncio.Task[Sequence[Reading]] | None" = None


async def seen(look: Look, deadline_s: float) -> Seen:
    """Look once; an error is UNHEALTHY, and so is no answer within the deadline."""
    task = asyncio.ensure_future(_whatever(look))
    try:
        await asyncio.wait({task}, timeout=deadline_s)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_CANCEL_S)
        task.add_done_callback(_heard)
        found = (_failure(f"no answer within {deadline_s:g} s"),)
        return Seen(Level.UNHEALTHY, found, None if task.done() else task)
    if task.cancelled():
        return Seen(Level.UNHEALTHY, (_failure("the look was cancelled"),))
    error = task.exception()
    if error is not None:
        return Seen(Level.UNHEALTHY, (_failure(redact(str(error)) or type(error).__name__),))
    readings = tuple(_clean(reading) for reading in task.result())
    return Seen(worst(readings), readings)


async def _whatever(look: Look) -> Sequence[Reading]:
    return await look()


def _failure(output: str) -> Reading:
    return _clean(Reading(measurement="availability", level=Level.UNHEALTHY, output=output))


def _clean(reading: Reading) -> Reading:
    """What is wrong is often told in somebody else's words: without what neither a file nor the database takes."""
    output = reading.output[:_OUTPUT_MAX].encode("utf-8", "replace").decode().replace("\0", "")
    return reading if output == reading.output else msgspec.structs.replace(reading, output=output)


def _heard(task: "asyncio.Task[Sequence[Reading]]") -> None:
    """An error that comes too late has been told as a missed deadline already."""
    if not task.cancelled():
        task.exception()
