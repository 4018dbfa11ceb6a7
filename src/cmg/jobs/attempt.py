"""One attempt of one job: counted, bounded in time, tried again later when it fails, put back when we shut down."""

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import msgspec
from pgqueuer.core.executors import AbstractEntrypointExecutor
from pgqueuer.domain.errors import RetryRequested
from pgqueuer.domain.models import Context, Job
from structlog.contextvars import bound_contextvars

from cmg.jobs import store
from cmg.kit.clock import Clock
from cmg.storage.database import Database
from cmg.storage.errors import DatabaseAway
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.tracing import names
from cmg.telemetry.tracing.trace import enter, leave
from cmg.telemetry.tracing.tracer import Ended, Tracer

JobHandler = Callable[[Any], Awaitable[object]]

OUTCOMES = ("done", "retried", "held")
_STARTS_MAX = 3
_DELAY_MAX_S = 300.0
_AWAY_DELAY_S = 5.0
_log = logging.getLogger(__name__)


class JobKillsProcess(Exception):
    """The same attempt was begun several times and never came to an end."""


@dataclasses.dataclass(frozen=True)
class JobKind:
    """What is registered under a name. `attempts` counts the first one; `timeout_s` is for one attempt."""

    name: str
    handler: JobHandler
    every: str | None
    attempts: int
    timeout_s: float


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """What every attempt needs; `running` holds the tasks of attempts under way."""

    database: Database
    clock: Clock
    instruments: Instruments
    tracer: Tracer
    running: set["asyncio.Task[Any]"]


@dataclasses.dataclass
class AttemptExecutor(AbstractEntrypointExecutor):
    """How pgqueuer runs a job of one kind."""

    kind: JobKind
    surroundings: Surroundings

    async def execute(self, job: Job, context: Context) -> None:  # noqa: ARG002 - pgqueuer's signature
        """Run one attempt. `RetryRequested` puts the job back; any other error holds it for good."""
        task = asyncio.current_task()
        assert task is not None
        self.surroundings.running.add(task)
        started, tracer = self.surroundings.clock.monotonic(), self.surroundings.tracer
        outcome, trace = "done", tracer.start({}, started)
        token = enter(trace)
        try:
            with bound_contextvars(**{"cmg.job": self.kind.name, "cmg.job_id": int(job.id)}):  # of its log lines
                await self._counted(job)
        except RetryRequested:
            outcome = "retried"
            raise
        except BaseException:
            outcome = "held"
            raise
        finally:
            self.surroundings.running.discard(task)
            leave(token)
            ended = self.surroundings.clock.monotonic()
            name, elapsed_s = self.kind.name, ended - started
            trace.failed, trace.facts = outcome != "done", {names.OUTCOME: outcome, names.ATTEMPTS: job.attempts + 1}
            tracer.finish(trace, Ended("job", name), ended)
            self.surroundings.instruments.series("cmg_jobs_total", name, outcome).inc()
            self.surroundings.instruments.series("cmg_job_duration_seconds", name).observe(elapsed_s)

    async def _counted(self, job: Job) -> None:
        try:
            starts = await store.begin(self.surroundings.database, job.id, job.attempts, self.surroundings.clock.now())
            if starts <= _STARTS_MAX:
                async with asyncio.timeout(self.kind.timeout_s):
                    await self.kind.handler(None if job.payload is None else msgspec.json.decode(job.payload))
        except asyncio.CancelledError as error:
            # pgqueuer deletes a cancelled job. We only cancel at shutdown: somebody else shall do it.
            await self._ended(job)
            raise RetryRequested(delay=timedelta(0), reason="the process is shutting down") from error
        except DatabaseAway as error:
            # No fault of the job: it is never held for that.
            raise RetryRequested(delay=timedelta(seconds=_AWAY_DELAY_S), reason=str(error)) from error
        except Exception as error:
            await self._ended(job)
            raise self._verdict(job, error) from error
        await self._ended(job)
        if starts > _STARTS_MAX:
            raise JobKillsProcess(f"job {job.id} ({self.kind.name}) was begun {starts - 1} times and never ended")

    def _verdict(self, job: Job, error: Exception) -> Exception:
        if job.attempts + 1 >= self.kind.attempts:
            return error
        delay_s = min(2.0**job.attempts, _DELAY_MAX_S)
        return RetryRequested(delay=timedelta(seconds=delay_s), reason=f"{type(error).__name__}: {error}")

    async def _ended(self, job: Job) -> None:
        try:
            await store.end(self.surroundings.database, job.id)
        except DatabaseAway:
            _log.warning("the end of job %s could not be noted; a purge removes its count", job.id)
