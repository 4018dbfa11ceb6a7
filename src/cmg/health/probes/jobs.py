"""The job queue, and the workers: a job is put into the queue and must be done within the look."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from cmg.health.looking import Look, Probe
from cmg.health.models import WORKERS, Component, Level, Reading
from cmg.jobs.backlog import Backlog

TRIAL = "health.trial"  # the job; it does nothing
_PATIENCE_S = 4.0  # less than the deadline of a look, so that the reading says what is wrong
_POLL_S = 0.05
_LATE_S = 60.0
_VERY_LATE_S = 900.0


class WorkersStalled(Exception):
    """Nobody did the job."""


class Queue(Protocol):
    """What is asked of the jobs."""

    async def backlog(self) -> Backlog:
        """What waits, runs, and is held."""
        ...

    async def put(self, name: str) -> int | None:
        """Enqueue a job without payload; None while the one before still waits."""
        ...

    async def waits(self, job_id: int) -> bool:
        """Whether it is not done yet."""
        ...


class _Idle:
    """A queue that nobody works on."""

    async def backlog(self) -> Backlog:
        return Backlog(due=1, oldest_s=10 * _VERY_LATE_S, running=0, held=0, overdue=("nothing",))

    async def put(self, _name: str) -> int | None:
        return 0

    async def waits(self, _job_id: int) -> bool:
        return True


def queue_probe(queue: Queue) -> Probe:
    """Depth and age of what waits."""
    return Probe(Component(name="jobs"), _depth(queue), (_depth(_Idle()),))


def workers_probe(queue: Queue | None) -> Probe:
    """The process of the background work; with a queue, that a job is done in time too."""
    if queue is None:
        return Probe(Component(name=WORKERS), _loop)
    return Probe(Component(name=WORKERS), _trial(queue, _PATIENCE_S), (_trial(_Idle(), _POLL_S),))


def _depth(queue: Queue) -> Look:
    async def look() -> Sequence[Reading]:
        """Raises `DatabaseAway`."""
        found = await queue.backlog()
        held = "jobs failed for good and wait for somebody to look at them" if found.held else ""
        return [
            Reading(measurement="due", value=found.due, unit="jobs"),
            _oldest(found.oldest_s),
            Reading(measurement="running", value=found.running, unit="jobs"),
            Reading(measurement="held", value=found.held, unit="jobs", output=held),
            _overdue(found.overdue),
        ]

    return look


def _oldest(age_s: float) -> Reading:
    level = Level.HEALTHY
    if age_s > _LATE_S:
        level = Level.UNHEALTHY if age_s > _VERY_LATE_S else Level.DEGRADED
    told = f"a job has waited for {age_s:.0f} s" if level else ""
    return Reading(measurement="oldestAge", level=level, value=round(age_s, 1), unit="s", output=told)


def _overdue(names: Sequence[str]) -> Reading:
    told = f"run for longer than they may: {', '.join(names)}" if names else ""
    level = Level.DEGRADED if names else Level.HEALTHY
    return Reading(measurement="overdue", level=level, value=len(names), unit="jobs", output=told)


def _trial(queue: Queue, patience_s: float) -> Look:
    async def look() -> Sequence[Reading]:
        """Raises `WorkersStalled`, `DatabaseAway`."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        job = await queue.put(TRIAL)
        if job is None:
            raise WorkersStalled("a job of the look before is still not done")
        while await queue.waits(job):
            if loop.time() - started > patience_s:
                raise WorkersStalled(f"a job was not done within {patience_s:g} s")
            await asyncio.sleep(_POLL_S)
        took = Reading(measurement="trialTime", value=round((loop.time() - started) * 1000, 1), unit="ms")
        return [took, *await _loop()]

    return look


async def _loop() -> Sequence[Reading]:
    """How late this process' event loop is: work that blocks it holds up everything else."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    await asyncio.sleep(_POLL_S)
    late_s = loop.time() - started - _POLL_S
    slow = late_s > 1.0
    told = f"the background process is {late_s:.1f} s late" if slow else ""
    level = Level.DEGRADED if slow else Level.HEALTHY
    return [Reading(measurement="loopDelay", level=level, value=round(late_s * 1000, 1), unit="ms", output=told)]
