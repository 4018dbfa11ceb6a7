"""Levels in the database; the only caller of this sub-room's SQL."""

from datetime import datetime
from typing import Any

import msgspec

from cmg.storage.database import Connection, Database
from cmg.storage.named_sql import load


class SetLevel(msgspec.Struct, frozen=True, kw_only=True):
    """A logger's level, until when it holds (None: until it is changed), and who set it when."""

    logger: str
    level: str
    until: datetime | None
    set_by: str
    set_at: datetime


class LevelStore:
    """Raises `DatabaseAway`."""

    def __init__(self, database: Database) -> None:
        self._database, self._sql = database, load("cmg.logbook.levels")

    async def every(self, now: datetime) -> list[SetLevel]:
        """What holds now."""
        return [SetLevel(**dict(row)) for row in await self._database.fetch(self._sql["every_level"], now)]

    async def count(self, conn: Connection) -> int:
        """How many loggers have a level of their own."""
        return int(await conn.fetchval(self._sql["count_levels"]))

    async def set(self, conn: Connection, one: SetLevel) -> None:
        """Set a level in the caller's transaction."""
        await conn.execute(self._sql["purge_levels"], one.set_at)
        told: tuple[Any, ...] = (one.logger, one.level, one.until, one.set_by, one.set_at)
        await conn.execute(self._sql["set_level"], *told)

    async def reset(self, conn: Connection, logger: str) -> bool:
        """Take a level back in the caller's transaction; False when there was none."""
        return str(await conn.execute(self._sql["reset_level"], logger)) == "DELETE 1"
