"""What people see of the queue, and do with jobs that failed for good."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import asyncpg

from cmg.jobs import store
from cmg.kit.clock import Clock, rfc3339
from cmg.kit.errors import Conflict, InvalidRequest, NotFound
from cmg.kit.parameters.texts import without_nul
from cmg.storage.database import Connection, Database

LIMIT_MOST = 500
_SCHEDULES_MOST = 500
_STATES = {"waiting": "queued", "running": "picked", "held": "failed"}
_TOLD = {row: state for state, row in _STATES.items()}

# Adds to the audit trail in the caller's transaction: (connection, action, job's id, its details).
Note = Callable[[Connection, str, str, Mapping[str, Any]], Awaitable[None]]


class JobDesk:
    """One per process. Raises `DatabaseAway`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    async def page(self, asked: Mapping[str, str | None]) -> dict[str, Any]:
        """Jobs, newest first, and the cursor of the next page. Raises `InvalidRequest` naming the parameter."""
        state = asked.get("state")
        if state is not None and state not in _STATES:
            raise InvalidRequest(f"`state` is one of {', '.join(_STATES)}", param="state")
        name = without_nul("name", asked.get("name"))
        limit = _whole("limit", asked.get("limit"), LIMIT_MOST) or 100
        before = _whole("cursor", asked.get("cursor"), 2**63 - 1)
        row_state = None if state is None else _STATES[state]
        rows = await store.page(self._database, row_state, name, before, limit)
        following = str(rows[-1]["id"]) if len(rows) == limit else None
        return {"items": [_view(row) for row in rows], "next": following}

    async def schedules(self) -> dict[str, Any]:
        """What runs by the clock."""
        rows = await store.schedules(self._database, _SCHEDULES_MOST)
        items = [
            {
                "name": row["entrypoint"],
                "every": row["expression"],
                "last_run": _time(row["last_run"]),
                "next_run": _time(row["next_run"]),
            }
            for row in rows
        ]
        return {"items": items, "next": None}

    async def retry(self, text: str, note: Note) -> None:
        """A held job waits again. Raises `NotFound`, `Conflict` when another of its kind waits already."""
        job_id = _id(text)
        try:
            async with self._database.transaction() as connection:
                name = await store.retry(connection, job_id, self._clock.now())
                if name is not None:
                    await note(connection, "job.retry", str(job_id), {"name": name})
        except asyncpg.UniqueViolationError:
            name = None
        if name is None:
            if any(job["id"] == job_id for job in await store.held(self._database, LIMIT_MOST)):
                raise Conflict("another job of its kind waits or runs already", code="job_waits")
            raise NotFound(f"no job {job_id} is held", code="unknown_job")

    async def drop(self, text: str, note: Note) -> None:
        """A held job goes for good. Raises `NotFound`."""
        job_id = _id(text)
        async with self._database.transaction() as connection:
            name = await store.drop(connection, job_id)
            if name is None:
                raise NotFound(f"no job {job_id} is held", code="unknown_job")
            await note(connection, "job.delete", str(job_id), {"name": name})


def _view(row: Any) -> dict[str, Any]:
    return {
        "id": str(row["id"]),
        "name": row["entrypoint"],
        "state": _TOLD.get(row["status"], row["status"]),
        "attempts": row["attempts"],
        "created_at": _time(row["created"]),
        "updated_at": _time(row["updated"]),
        "runs_after": _time(row["execute_after"]),
    }


def _time(moment: Any) -> str | None:
    return None if moment is None else rfc3339(moment.timestamp())


def _whole(name: str, text: str | None, most: int) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20 and 1 <= int(text) <= most):
        raise InvalidRequest(f"`{name}` is a whole number from 1 to {most}", param=name)
    return int(text)


def _id(text: str) -> int:
    found = _whole("id", text, 2**63 - 1)
    assert found is not None, "a path holds its words"
    return found
