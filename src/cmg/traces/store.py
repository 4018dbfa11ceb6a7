"""Kept traces in the database. The only caller of this room's SQL."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from cmg.config import TraceSettings
from cmg.storage.database import Database
from cmg.storage.named_sql import load
from cmg.storage.retention import purge_batch
from cmg.telemetry.tracing.record import TraceRecord
from cmg.traces.people import digest
from cmg.traces.rows import row_of

PARTS_MOST = 100  # of one trace: a caller may put any number of requests into it
_SQL = load("cmg.traces")
_WRITE_S = 10.0


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which traces a list holds. `after`: the last one of the page before, with its duration."""

    workspace: str | None
    since: datetime
    until: datetime
    failed: bool | None = None
    model: str | None = None
    min_ms: float = 0.0
    slowest: bool = False
    after: tuple[UUID, float] | None = None
    limit: int = 100


class TraceStore:
    """Raises `DatabaseAway`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, records: Sequence[TraceRecord]) -> None:
        """Keep records; one that is there already is left as it is."""
        columns = zip(*map(row_of, records), strict=True)
        await self._database.execute(_SQL["add_traces"], *map(list, columns), timeout_s=_WRITE_S)

    async def page(self, wanted: Wanted) -> list[Any]:
        """Rows without their bodies, in the order that is wanted."""
        id_, duration_ms = wanted.after or (None, 0.0)
        filters = (wanted.workspace, wanted.since, wanted.until, wanted.failed, wanted.model, wanted.min_ms, id_)
        if wanted.slowest:
            return await self._database.fetch(_SQL["slowest_traces"], *filters, duration_ms, wanted.limit)
        return await self._database.fetch(_SQL["list_traces"], *filters, wanted.limit)

    async def parts(self, workspace: str | None, id_: UUID) -> list[Any]:
        """Every row of a trace that the workspace may see, oldest first; `id_` is the trace's or a request's."""
        return await self._database.fetch(_SQL["trace_parts"], workspace, id_, PARTS_MOST)

    async def erase(self, workspace_id: str, user: str) -> int:
        """Delete the traces of calls that named a user; returns how many."""
        tag = await self._database.execute(_SQL["erase_traces"], workspace_id, digest(workspace_id, "user", user))
        return int(tag.rpartition(" ")[2])

    async def purge(self, settings: TraceSettings, now: datetime) -> int:
        """Delete what is older than it may be, and what is more than there may be; returns how many."""
        before = now - timedelta(hours=settings.keep_hours)
        newest = await self._database.fetchval(_SQL["oldest_to_keep"], settings.keep_most)
        if newest is not None:
            before = max(before, newest + timedelta(microseconds=1))
        return await purge_batch(self._database, _SQL["purge_traces"], before)
