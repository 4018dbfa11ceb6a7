"""The queue as rooms see it: register a handler, enqueue in a transaction, run, stop within a limit."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, cast

import asyncpg
import msgspec
from croniter import croniter  # type: ignore[import-untyped]  # without types
from pgqueuer import PgQueuer
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.core.executors import EntrypointExecutorParameters
from pgqueuer.domain.errors import DuplicateJobError, FailingListenerError
from pgqueuer.domain.models import Schedule

from cmg.config import TraceSettings
from cmg.jobs import store
from cmg.jobs.attempt import OUTCOMES, AttemptExecutor, JobHandler, JobKind, Surroundings
from cmg.jobs.backlog import Backlog
from cmg.kit.clock import Clock
from cmg.storage.database import Connection, Database
from cmg.storage.errors import DatabaseAway
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.tracing.tracer import Tracer

__all__ = ["JobHandler", "Jobs"]

_HEARTBEAT = timedelta(seconds=10)  # a killed worker's job is picked again after about this and the next line together
_DEQUEUE = timedelta(seconds=5)
_BATCH = 10
_CONCURRENT = 20
_BACKOFF_MAX_S = 30.0
_DEPTH_S = 15.0
_CANCEL_S = 5.0
_HELD_DAYS = 30
_STATUSES = ("queued", "picked", "failed")
_OVERDUE_S = 30.0  # beyond its limit, a job should have been ended
_RUNNING_MAX = 100
_log = logging.getLogger(__name__)


class Jobs:
    """Background work of this process and, through the same tables, of every other one.

    A job is run at least once: a killed worker's is picked again after about 15 s. It is tried `attempts` times with
    growing pauses, then held (`held()`); one that kills its process three times is held too.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        instruments: Instruments,
        *,
        log_days: int = 7,
        tracer: Tracer | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._instruments = instruments
        self._log_days = log_days
        self._kinds: dict[str, JobKind] = {}
        self.depths: dict[str, int] = {}  # jobs by status (queued, picked, failed), counted every 15 s
        tracer = tracer or Tracer(TraceSettings(), None, clock, instruments)
        self._surroundings = Surroundings(database, clock, instruments, tracer, set())
        self._queuer: PgQueuer | None = None
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[Any] | None = None
        self.register("jobs.purge", self.purge, every="17 * * * *")

    def register(
        self, name: str, handler: JobHandler, *, every: str | None = None, attempts: int = 5, timeout_s: float = 300
    ) -> None:
        """Run `handler(payload)` for jobs of this name; `every` is a cron line (UTC) for one without payload.

        A tick is enqueued once over all processes, and left out while the job of the last one still waits or runs.
        """
        if name in self._kinds:
            raise ValueError(f"a job named {name!r} is registered already")
        if every is not None and not croniter.is_valid(every):
            raise ValueError(f"job {name!r}: {every!r} is not a cron line")
        self._kinds[name] = JobKind(name, handler, every, attempts, timeout_s)
        for outcome in OUTCOMES:
            self._instruments.series("cmg_jobs_total", name, outcome)  # from 0 on: else the first one is no increase

    async def enqueue(
        self, connection: Connection, name: str, payload: Any = None, *, delay_s: float = 0, unique: str | None = None
    ) -> int | None:
        """Add a job inside the caller's transaction and return its id; `payload` is anything JSON can say.

        With `unique`, no second job of that key is added while one waits or runs: the answer is then None.
        """
        queries = Queries(AsyncpgDriver(cast("asyncpg.Connection", connection)))
        later = timedelta(seconds=delay_s)
        encoded = None if payload is None else msgspec.json.encode(payload)
        try:
            async with connection.transaction():
                ids = await queries.enqueue(name, encoded, execute_after=later, dedupe_key=unique)
        except DuplicateJobError:
            return None
        return int(ids[0])

    async def put(self, name: str) -> int | None:
        """Enqueue a job without payload in a transaction of its own; None while the last one of it waits or runs."""
        async with self._database.transaction() as connection:
            return await self.enqueue(connection, name, unique=name)

    async def waits(self, job_id: int) -> bool:
        """Whether a job waits or runs, here or elsewhere. Raises `DatabaseAway`."""
        return await store.waits(self._database, job_id)

    async def backlog(self) -> Backlog:
        """How the queue stands now. Raises `DatabaseAway`."""
        now = self._clock.now()
        due, since, running, held = await store.backlog(self._database, now)
        begun = await store.running(self._database, _RUNNING_MAX)
        overdue = [name for name, at in begun if (now - at).total_seconds() > self._limit_s(name) + _OVERDUE_S]
        oldest_s = 0.0 if since is None else (now - since).total_seconds()
        return Backlog(due, oldest_s, running, held, tuple(sorted(set(overdue))))

    async def held(self, limit: int = 100) -> list[dict[str, Any]]:
        """Jobs that failed for good: id, entrypoint, attempts, created, updated."""
        return await store.held(self._database, limit)

    async def run(self) -> None:
        """Work until `stop`; goes on by itself when the database comes back."""
        self._task = asyncio.current_task()
        depths = asyncio.create_task(self._show_depths())
        pause_s = 1.0
        try:
            while not self._stopping.is_set():
                started = self._clock.monotonic()
                await self._run_once()
                pause_s = (
                    1.0 if self._clock.monotonic() - started > _BACKOFF_MAX_S else min(pause_s * 2, _BACKOFF_MAX_S)
                )
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await self._stopping.wait()
        finally:
            depths.cancel()
            await asyncio.gather(depths, return_exceptions=True)

    async def stop(self, deadline_s: float) -> None:
        """Take no more jobs; after `deadline_s` put those still running back into the queue."""
        self._stopping.set()
        if self._queuer is not None:
            self._queuer.shutdown.set()
        if self._task is None or self._task.done():
            return
        await asyncio.wait({self._task}, timeout=deadline_s)
        for task in list(self._surroundings.running):
            task.cancel()
        await asyncio.wait({self._task}, timeout=_CANCEL_S)
        if not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=_CANCEL_S)

    def _limit_s(self, name: str) -> float:
        kind = self._kinds.get(name)
        return float("inf") if kind is None else kind.timeout_s  # another release's job

    async def _run_once(self) -> None:
        """One life of pgqueuer's manager, on connections of its own; ends when they are lost."""
        try:
            async with asyncpg.create_pool(self._database.dsn, min_size=0, max_size=4, command_timeout=30) as pool:
                queuer = self._build(pool)
                async with pool.acquire() as connection:
                    for kind in self._kinds.values():
                        if kind.every is not None:
                            await store.keep_schedule(connection, kind.name, kind.every)
                self._queuer = queuer
                if not self._stopping.is_set():
                    await queuer.run(
                        dequeue_timeout=_DEQUEUE,
                        batch_size=_BATCH,
                        max_concurrent_tasks=_CONCURRENT,
                        heartbeat_timeout=_HEARTBEAT,
                        shutdown_on_listener_failure=True,
                    )
        except Exception as error:  # noqa: BLE001 - whatever ends the manager, it is begun anew after a pause
            if not self._stopping.is_set():
                _log.warning("the job queue was interrupted, it goes on in a moment: %r", error)
        finally:
            self._queuer = None

    def _build(self, pool: asyncpg.Pool) -> PgQueuer:
        queuer = PgQueuer.from_asyncpg_pool(pool)
        queuer.qm.listener_healthy = _twice(queuer.qm.listener_healthy)  # type: ignore[method-assign,assignment]
        for kind in self._kinds.values():
            parameters = EntrypointExecutorParameters(concurrency_limit=0, func=_unused, on_failure="hold")
            queuer.qm.register_executor(kind.name, AttemptExecutor(parameters, kind, self._surroundings))
            if kind.every is not None:
                queuer.schedule(kind.name, kind.every)(self._tick)
        return queuer

    async def _tick(self, schedule: Schedule) -> None:
        async with self._database.transaction() as connection:
            await self.enqueue(connection, schedule.entrypoint, unique=f"tick:{schedule.entrypoint}")

    async def purge(self, _payload: Any = None) -> None:
        """Delete old lines of the queue's log and counts, and held jobs nobody looked at; runs hourly by itself."""
        now = self._clock.now()
        await store.purge(self._database, now - timedelta(days=self._log_days), now - timedelta(days=_HELD_DAYS))

    async def _show_depths(self) -> None:
        while True:
            try:
                self.depths = await store.depths(self._database)
                for status in _STATUSES:
                    self._instruments.series("cmg_jobs_waiting", status).set(self.depths.get(status, 0))
                _, since, *_ = await store.backlog(self._database, self._clock.now())
                waited_s = 0.0 if since is None else (self._clock.now() - since).total_seconds()
                self._instruments.series("cmg_jobs_oldest_age_seconds").set(waited_s)
                busy = len(self._surroundings.running) / _CONCURRENT
                self._instruments.series("cmg_jobs_busy_ratio").set(busy)
            except (DatabaseAway, asyncpg.PostgresError):
                pass  # the last figures stay until the database is back
            await asyncio.sleep(_DEPTH_S)


def _twice(probe: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """The manager's probe of its own listening, made once more before it counts as failed.

    The manager begins to probe before it listens: a first probe that is quicker is never heard, and would end it.
    """

    async def probe_twice(timeout: timedelta) -> Any:  # noqa: ASYNC109 - the name that pgqueuer calls it by
        try:
            return await probe(timeout=timeout / 2)
        except FailingListenerError:
            return await probe(timeout=timeout / 2)

    return probe_twice


async def _unused(_job: Any) -> None:
    """Entrypoint that pgqueuer wants to see; `AttemptExecutor` calls the handler itself."""
