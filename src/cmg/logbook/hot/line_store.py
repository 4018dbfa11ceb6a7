"""The lines in PostgreSQL; the only caller of this sub-room's SQL."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import orjson

from cmg.kit.clock import Clock
from cmg.logbook.models import Line, replaced
from cmg.storage.database import Connection, Database
from cmg.storage.named_sql import load
from cmg.storage.retention import ensure_partitions

TABLE = "log_lines"
_COLUMNS = (
    "at", "severity", "logger", "service", "message", "fields",
    "workspace_id", "request_id", "trace_id", "user_hash", "pattern_no",
)  # fmt: skip
_FORGOTTEN = timedelta(days=7)
_WRITE_S = 30.0
_SEARCH_S = 10.0
_RARE = 10_000  # lines that hold the words that are asked for
_AT_ONCE = 500  # lines of one transaction that are changed


Beside = Callable[[Connection, Sequence[Line]], Awaitable[None]]


async def _nothing(_conn: Connection, _lines: Sequence[Line]) -> None:
    """Where nobody needs to know of what is stored."""


class Overtaken(Exception):
    """Another reader has moved a file's offset meanwhile; nothing may be stored on the old one."""


class LineStore:
    """Writes and reads lines. `beside` runs in the transaction that stores lines. Raises `DatabaseAway`."""

    def __init__(self, database: Database, clock: Clock, beside: Beside = _nothing) -> None:
        self._database, self._clock, self._sql = database, clock, load("cmg.logbook.hot")
        self._beside = beside

    async def ensure_days(self) -> None:
        """Make the partitions of today and the two days to come."""
        async with self._database.transaction(_WRITE_S) as conn:
            await ensure_partitions(conn, TABLE, period="day", now=self._clock.now())

    async def write(self, lines: Sequence[Line]) -> int:
        """Store lines by themselves; returns how many of them the database refused."""
        async with self._database.transaction(_WRITE_S) as conn:
            refused = await self._copy(conn, lines)
            await self._beside(conn, lines)
            return refused

    async def write_segment(self, segment: str, begin: int, end: int, lines: Sequence[Line]) -> int:
        """Store the lines of a part of a spool's file and move its offset, both or neither; returns as `write`.

        Raises `Overtaken`.
        """
        async with self._database.transaction(_WRITE_S) as conn:
            tag = await conn.execute(self._sql["move_offset"], segment, begin, end, self._clock.now())
            if tag != "UPDATE 1":
                raise Overtaken
            refused = await self._copy(conn, lines)
            await self._beside(conn, lines)
            return refused

    async def _copy(self, conn: Connection, lines: Sequence[Line]) -> int:
        """Store what can be stored, halving down to the lines that cannot: they must not hold up the others."""
        if not lines:
            return 0
        try:
            async with conn.transaction():
                await conn.copy_records_to_table(TABLE, records=[_row(line) for line in lines], columns=_COLUMNS)
        except (asyncpg.DataError, asyncpg.ProgramLimitExceededError, ValueError, OverflowError):
            if len(lines) == 1:
                return 1
            half = len(lines) // 2
            return await self._copy(conn, lines[:half]) + await self._copy(conn, lines[half:])
        return 0

    async def replace_user(self, workspace_id: str, who: tuple[str, str | None, str]) -> int:
        """Take a user out of their workspace's lines; returns how many lines were changed.

        `who`: their pseudonym, their id (None: not to be looked for in texts), what stands there from now on.
        """
        mark, named, fresh = who
        count = behind = 0
        while True:
            async with self._database.transaction(_WRITE_S) as conn:
                told = (workspace_id, mark, named, behind, _AT_ONCE)
                lines = [_line(row) for row in await conn.fetch(self._sql["lines_of_user"], *told)]
                for line in lines:
                    clean = line if named is None else replaced(line, named, fresh)
                    user = fresh if line.user_hash == mark else line.user_hash
                    words = (clean.message, orjson.dumps(clean.fields).decode(), user)
                    await conn.execute(self._sql["replace_line"], workspace_id, line.at, line.line_no, *words)
            count += len(lines)
            if len(lines) < _AT_ONCE:
                return count
            behind = lines[-1].line_no

    async def offset(self, segment: str) -> int:
        """How far a file of a spool is stored; 0 for a new one."""
        async with self._database.transaction() as conn:
            await conn.execute(self._sql["meet_segment"], segment, self._clock.now())
            return int(await conn.fetchval(self._sql["read_offset"], segment))

    async def forget(self, segment: str) -> None:
        """A file is gone."""
        await self._database.execute(self._sql["forget_segment"], segment)

    async def purge_offsets(self) -> None:
        """Forget files that were not heard of for a week."""
        await self._database.execute(self._sql["purge_offsets"], self._clock.now() - _FORGOTTEN)

    async def page(self, bounds: tuple[datetime, datetime, int], filters: tuple[Any, ...], limit: int) -> list[Line]:
        """Lines newest first; `bounds`: from, until, and the number below which lines of that last moment are wanted.

        `filters`: workspace, severity, logger, request, trace, service, pattern, words; None for any.
        """
        *_, request_id, trace_id, _, _, words = filters
        if words is not None and request_id is None and trace_id is None:
            found = await self._page_by_words(bounds, filters, limit)
            if found is not None:
                return found
        rows = await self._database.fetch(self._sql["page"], *bounds, *filters, limit, timeout_s=_SEARCH_S)
        return [_line(row) for row in rows]

    async def _page_by_words(
        self, bounds: tuple[datetime, datetime, int], filters: tuple[Any, ...], limit: int
    ) -> list[Line] | None:
        """The page of lines with rare words; None when they are common: walking back in time finds those sooner.

        PostgreSQL would choose by itself, but it takes a filter on words for cheap, and a page for full after a few
        lines: a word of one line in 300 within one workspace took it half a second among two million lines.
        """
        told = (*bounds, *filters, limit, _RARE + 1)
        rows = await self._database.fetch(self._sql["page_by_words"], *told, timeout_s=_SEARCH_S)
        if rows[0]["candidates"] > _RARE:
            return None
        return [_line(row) for row in rows if row["at"] is not None]

    async def newer(self, since: datetime, above: int, filters: tuple[Any, ...], limit: int) -> list[Line]:
        """Lines with numbers above one, in their order; `filters` as for a page."""
        rows = await self._database.fetch(self._sql["newer"], since, above, *filters, limit, timeout_s=_SEARCH_S)
        return [_line(row) for row in rows]

    async def newest_number(self) -> int:
        """The number that lines have reached."""
        return int(await self._database.fetchval(self._sql["newest_number"]))


def _row(line: Line) -> tuple[Any, ...]:
    fields = orjson.dumps(line.fields, default=str).decode() if line.fields else None
    words = (line.at, line.severity, line.logger, line.service, line.message, fields)
    return (*words, line.workspace_id, line.request_id, line.trace_id, line.user_hash, line.pattern_no)


def _line(row: Any) -> Line:
    told = dict(row)
    told.pop("candidates", None)
    told["fields"] = orjson.loads(told["fields"]) if told["fields"] else {}
    return Line(**told)
