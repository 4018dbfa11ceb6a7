"""The room's SQL: counts of starts, depths, and what is purged."""

from datetime import datetime
from typing import Any

from cmg.storage import named_sql
from cmg.storage.database import Connection, Database

_SQL = named_sql.load("cmg.jobs")
_BATCH = 5000
_PURGED_BY_AGE = ("purge_job_log", "purge_job_statistics", "purge_held_jobs", "purge_job_starts")


async def begin(database: Database, job_id: int, attempt: int, at: datetime) -> int:
    """Count a start; returns how often this attempt was begun."""
    return int(await database.fetchval(_SQL["begin_job"], job_id, attempt, at))


async def end(database: Database, job_id: int) -> None:
    """The attempt came to an end."""
    await database.execute(_SQL["end_job"], job_id)


async def keep_schedule(connection: Connection, name: str, expression: str) -> None:
    """Drop the rows of earlier cron lines of a job."""
    await connection.execute(_SQL["drop_other_schedules"], name, expression)


async def depths(database: Database) -> dict[str, int]:
    """Status (`queued`, `picked`, `failed`) → number of jobs."""
    return {row["status"]: row["jobs"] for row in await database.fetch(_SQL["job_depths"])}


async def backlog(database: Database, now: datetime) -> tuple[int, datetime | None, int, int]:
    """Jobs that are due, since when the oldest of them is, jobs that run, jobs that are held."""
    row = await database.fetchrow(_SQL["job_backlog"], now)
    return row["due"], row["due_since"], row["running"], row["held"]


async def running(database: Database, limit: int) -> list[tuple[str, datetime]]:
    """Name of a running job and when it began, oldest first."""
    rows = await database.fetch(_SQL["running_jobs"], limit)
    return [(row["entrypoint"], row["began_at"]) for row in rows]


async def waits(database: Database, job_id: int) -> bool:
    """Whether it waits or runs."""
    return bool(await database.fetchval(_SQL["job_waits"], job_id))


async def held(database: Database, limit: int) -> list[dict[str, Any]]:
    """Jobs that failed for good: id, entrypoint, attempts, created, updated."""
    return [dict(row) for row in await database.fetch(_SQL["held_jobs"], limit)]


async def purge(database: Database, log_before: datetime, held_before: datetime) -> int:
    """Delete what is old, in batches; returns the number of rows."""
    deleted = 0
    for name in _PURGED_BY_AGE:
        before = held_before if name == "purge_held_jobs" else log_before
        count = _BATCH
        while count == _BATCH:
            tag = await database.execute(_SQL[name], before, _BATCH, timeout_s=30)
            count = int(tag.rsplit(" ", 1)[1])
            deleted += count
    return deleted


async def page(database: Database, status: str | None, name: str | None, before: int | None, limit: int) -> list[Any]:
    """Rows of the queue, newest first. Raises `DatabaseAway`."""
    return await database.fetch(_SQL["list_jobs"], status, name, before, limit)


async def schedules(database: Database, limit: int) -> list[Any]:
    """Rows of what runs by the clock. Raises `DatabaseAway`."""
    return await database.fetch(_SQL["job_schedules"], limit)


async def retry(connection: Connection, job_id: int, now: datetime) -> str | None:
    """Have a held job wait again; its name, None when it is not held or another of its key waits."""
    found: str | None = await connection.fetchval(_SQL["retry_job"], job_id, now)
    return found


async def drop(connection: Connection, job_id: int) -> str | None:
    """Delete a held job; its name, None when it is not held."""
    found: str | None = await connection.fetchval(_SQL["drop_job"], job_id)
    return found
