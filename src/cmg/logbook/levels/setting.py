"""Setting levels: bounded in number and, where one wants it, in time."""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from cmg.kit.clock import Clock
from cmg.kit.errors import InvalidRequest, NotFound
from cmg.logbook.levels.level_store import LevelStore, SetLevel
from cmg.logbook.models import SEVERITIES
from cmg.logbook.ports import Trail
from cmg.storage.changes import announce
from cmg.storage.database import Database
from cmg.telemetry.lines.levels import Level, write_levels

TOPIC = "log_levels"  # of the change feed: every machine writes its file anew
_NAME = re.compile(r"[A-Za-z_][\w.-]{0,199}")
_MOST = 100
_FOR = re.compile(r"(\d{1,5})(s|m|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class LogLevels:
    """`file` is where the processes of this machine look."""

    def __init__(self, database: Database, file: Path, trail: Trail, clock: Clock) -> None:
        self._database, self._file, self._trail, self._clock = database, file, trail, clock
        self._store = LevelStore(database)

    async def list(self) -> list[SetLevel]:
        """The levels that differ from the settings'."""
        return await self._store.every(self._clock.now())

    async def set(self, values: Mapping[str, Any], by: str) -> SetLevel:
        """Set the level of a `logger` (`root`: of all), `for` so long (`15m`; left out: until it is changed).

        Raises `InvalidRequest`.
        """
        logger, level = str(values.get("logger") or ""), str(values.get("level") or "").lower()
        if not _NAME.fullmatch(logger):
            raise InvalidRequest("`logger` is a logger's name, as cmg.memory, or root for all", param="logger")
        if level not in SEVERITIES:
            raise InvalidRequest(f"`level` is one of {', '.join(SEVERITIES)}", param="level")
        now, span = self._clock.now(), _span(values.get("for"))
        one = SetLevel(logger=logger, level=level, until=None if span is None else now + span, set_by=by, set_at=now)
        async with self._database.transaction() as conn:
            await self._store.set(conn, one)
            if await self._store.count(conn) > _MOST:
                raise InvalidRequest(f"at most {_MOST} loggers have a level of their own", param="logger")
            until = one.until and one.until.isoformat()
            await self._trail.record(conn, by, "logs.level", logger, {"level": level, "until": until})
            await announce(conn, TOPIC, [logger], now)
        return one

    async def reset(self, logger: str, by: str) -> None:
        """Give a logger the settings' level again. Raises `NotFound`."""
        async with self._database.transaction() as conn:
            if "\0" in logger or not await self._store.reset(conn, logger):
                raise NotFound(f"the logger {logger[:200]!r} has no level of its own")
            await self._trail.record(conn, by, "logs.level", logger, {"level": None})
            await announce(conn, TOPIC, [logger], self._clock.now())

    async def changed(self, _loggers: Sequence[str]) -> None:
        """Tell the processes of this machine. Raises `DatabaseAway`."""
        await self.load()

    async def load(self) -> None:
        """The same at the start, and when changes may have been missed."""
        levels = await self.list()
        ends = {one.logger: None if one.until is None else one.until.timestamp() for one in levels}
        write_levels(self._file, {one.logger: Level(one.level, ends[one.logger]) for one in levels})


def _span(told: object) -> timedelta | None:
    if told in (None, ""):
        return None
    found = _FOR.fullmatch(str(told))
    if found is None or int(found[1]) == 0:
        raise InvalidRequest("`for` is how long, as 15m, 2h, 7d", param="for")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
