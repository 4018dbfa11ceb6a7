"""What is known of files and holds in the database, and days of lines on their way out of it; this sub-room's SQL."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec
import orjson

from cmg.kit.clock import Clock
from cmg.logbook.models import Line
from cmg.storage.database import Connection, Database
from cmg.storage.named_sql import load
from cmg.storage.retention import drop_old

_LOCK = 0x636D6715
_TABLE = "log_lines"
_MOVE_S = 60.0


class StoredFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of lines, all of one day; `first…` to `last…` is the run of lines in it."""

    file_id: UUID
    day: date
    state: str
    tier: str
    name: str
    first_at: datetime | None
    first_no: int | None
    last_at: datetime | None
    last_no: int | None
    severity: int
    lines: int
    bytes: int


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """A legal hold over a time; `until` None: all time to come."""

    hold_id: UUID
    workspace_id: str | None
    reason: str
    since: datetime
    until: datetime | None
    placed_by: str
    placed_at: datetime
    released_by: str | None = None
    released_at: datetime | None = None


class FileStore:
    """Raises `DatabaseAway`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock, self._sql = database, clock, load("cmg.logbook.cold")

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[bool]:
        """Whether no other process moves days; none begins to before the block ends."""
        conn = await self._database.dedicated()
        try:
            yield bool(await conn.fetchval(self._sql["lock_moves"], _LOCK, timeout=_MOVE_S))
        finally:
            conn.terminate()

    async def oldest_line(self) -> datetime | None:
        """The time of the oldest line in the database."""
        found: datetime | None = await self._database.fetchval(self._sql["oldest_line"], timeout_s=_MOVE_S)
        return found

    async def newest_number(self) -> int:
        """The number that lines have reached."""
        return int(await self._database.fetchval(self._sql["newest_number"]))

    async def lines_of_day(
        self, bounds: tuple[datetime, datetime], behind: tuple[datetime, int], newest: int, limit: int
    ) -> list[Line]:
        """The next lines of a day behind a place, up to a number, in order."""
        rows = await self._database.fetch(self._sql["lines_of_day"], *bounds, *behind, newest, limit, timeout_s=_MOVE_S)
        return [line_of(row) for row in rows]

    async def begin(self, file_id: UUID, day: date, name: str) -> None:
        """A file is about to be written."""
        await self._database.execute(self._sql["begin_file"], file_id, day, name, self._clock.now())

    async def written(self, file_id: UUID, run: tuple[Line, Line], severity: int, lines: int, size: int) -> None:
        """A file is complete; `run` is its first and its last line."""
        ends = (run[0].at, run[0].line_no, run[1].at, run[1].line_no)
        await self._database.execute(
            self._sql["file_written"], file_id, *ends, severity, lines, size, self._clock.now()
        )

    async def of_day(self, day: date) -> list[StoredFile]:
        """The files of a day whose move has not ended."""
        return [_file(row) for row in await self._database.fetch(self._sql["files_of_day"], day)]

    async def finish_day(self, day: date, bounds: tuple[datetime, datetime], newest: int) -> bool:
        """Let the day's lines be in its files only; False when lines came in meanwhile, and nothing has changed."""
        async with self._database.transaction(_MOVE_S) as conn:
            await conn.execute(self._sql["hold_writers_up"])
            if await conn.fetchval(self._sql["late_lines"], *bounds, newest):
                return False
            await drop_old(conn, _TABLE, before=bounds[1])
            await conn.execute(self._sql["delete_lines_of_day"], *bounds)
            await conn.execute(self._sql["day_ready"], day, self._clock.now())
            return True

    async def ready(
        self, tiers: Sequence[str], since: datetime, until: datetime, severity: int, limit: int
    ) -> list[StoredFile]:
        """Files that may hold lines of a time, the newest first."""
        rows = await self._database.fetch(self._sql["ready_files"], list(tiers), since, until, severity, limit)
        return [_file(row) for row in rows]

    async def to_archive(self, before: date, limit: int) -> list[StoredFile]:
        """Cold files of days before one."""
        return [_file(row) for row in await self._database.fetch(self._sql["to_archive"], before, limit)]

    async def archived(self, file_id: UUID, name: str) -> None:
        """A file is in the archive now."""
        await self._database.execute(self._sql["archived"], file_id, name, self._clock.now())

    async def expire(self, before: date, limit: int) -> int:
        """Doom files of days before one that no hold covers; returns how many."""
        tag = await self._database.execute(self._sql["expire"], before, self._clock.now(), limit)
        return int(tag.rpartition(" ")[2])

    async def doom(self, file_ids: Sequence[UUID]) -> None:
        """These files are to be deleted."""
        await self._database.execute(self._sql["doom"], list(file_ids), self._clock.now())

    async def doomed(self, before: datetime, limit: int) -> list[StoredFile]:
        """Files that were doomed before a moment."""
        return [_file(row) for row in await self._database.fetch(self._sql["doomed"], before, limit)]

    async def forget(self, file_id: UUID) -> None:
        """A file is deleted."""
        await self._database.execute(self._sql["forget_file"], file_id)

    async def replace(self, old: StoredFile, name: str, size: int) -> bool:
        """A file was written anew under another name; False when somebody else has changed it meanwhile."""
        tag = await self._database.execute(
            self._sql["replace_file"], old.file_id, name, old.lines, size, self._clock.now(), old.name
        )
        return tag == "UPDATE 1"

    async def sums(self) -> dict[str, dict[str, int]]:
        """Files, lines and bytes by tier."""
        rows = await self._database.fetch(self._sql["sums"])
        return {row["tier"]: {name: row[name] for name in ("files", "lines", "bytes")} for row in rows}

    async def place_hold(self, conn: Connection, hold: Hold) -> None:
        """Add a hold in the caller's transaction."""
        told = (hold.hold_id, hold.workspace_id, hold.reason, hold.since, hold.until)
        await conn.execute(self._sql["place_hold"], *told, hold.placed_by, hold.placed_at)

    async def release_hold(self, conn: Connection, hold_id: UUID, by: str) -> bool:
        """End a hold in the caller's transaction; False when there is none that holds."""
        return str(await conn.execute(self._sql["release_hold"], hold_id, by, self._clock.now())) == "UPDATE 1"

    async def holds(self, limit: int) -> list[Hold]:
        """Every hold, the newest first."""
        return [Hold(**dict(row)) for row in await self._database.fetch(self._sql["holds"], limit)]


def line_of(row: Any) -> Line:
    """A line from its row."""
    told = dict(row)
    told["fields"] = orjson.loads(told["fields"]) if told["fields"] else {}
    return Line(**told)


def _file(row: Any) -> StoredFile:
    told = dict(row)
    told["file_id"] = UUID(int=told["file_id"].int)
    return StoredFile(**told)
