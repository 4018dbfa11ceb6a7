"""Patterns in the database; the only caller of this sub-room's SQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from cmg.logbook.patterns.mining import Scope, Template
from cmg.storage.database import Connection, Database
from cmg.storage.named_sql import load
from cmg.storage.retention import purge_batch


class Added(msgspec.Struct):
    """What a batch of lines adds to one pattern."""

    template: Template
    severity: int
    sample: str
    first_at: datetime
    last_at: datetime
    lines: int = 0
    hours: dict[datetime, int] = {}


class PatternStore:
    """Raises `DatabaseAway`."""

    def __init__(self, database: Database) -> None:
        self._database, self._sql = database, load("cmg.logbook.patterns")

    async def known(self, limit: int) -> list[Template]:
        """Patterns that were seen lately."""
        rows = await self._database.fetch(self._sql["known"], limit, timeout_s=30)
        return [Template(row["pattern_no"], _scope(row), row["template"].split(" ")) for row in rows]

    async def add(self, conn: Connection, added: Sequence[Added]) -> None:
        """Count a batch in the caller's transaction. In one order, so that two machines cannot hold each other up."""
        ordered = sorted(added, key=lambda one: one.template.number)
        columns: list[list[Any]] = [list(column) for column in zip(*map(_columns, ordered), strict=True)]
        await conn.execute(self._sql["count_lines"], *columns)
        hours = [(one.template.number, hour, count) for one in ordered for hour, count in sorted(one.hours.items())]
        await conn.execute(self._sql["count_hours"], *(list(column) for column in zip(*hours, strict=True)))

    async def page(self, filters: tuple[Any, ...], limit: int) -> list[dict[str, Any]]:
        """Patterns, those of most lines first; `filters`: since, workspace, severity, logger, new, and behind which."""
        return [dict(row) for row in await self._database.fetch(self._sql["page"], *filters, limit, timeout_s=10)]

    async def purge(self, before: datetime) -> int:
        """Delete patterns, and counts of hours, that are older than a moment."""
        gone = await purge_batch(self._database, self._sql["purge_patterns"], before)
        return gone + await purge_batch(self._database, self._sql["purge_hours"], before)


def _columns(one: Added) -> tuple[Any, ...]:
    scope, template = one.template.scope, one.template
    words = (template.number, scope[0] or None, scope[1], template.text, one.severity, one.sample)
    return (*words, one.first_at, one.last_at, one.lines)


def _scope(row: Any) -> Scope:
    return row["workspace_id"] or "", row["logger"]
