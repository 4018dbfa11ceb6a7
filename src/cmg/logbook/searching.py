"""A search over the tiers, newest lines first: the database, then the files of the days before."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from cmg.kit.clock import Clock
from cmg.kit.errors import InvalidRequest
from cmg.logbook.cold.reading import FileSearch, Found
from cmg.logbook.hot.line_store import LineStore
from cmg.logbook.models import Line, record_of
from cmg.logbook.wanted import Place, Wanted, cursor_of, read

HOT, COLD, ARCHIVE = "hot", "cold", "archive"
TIERS = (HOT, COLD, ARCHIVE)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIRST = 2**63 - 1


class Page(msgspec.Struct, frozen=True):
    """Lines by their ECS names, newest first; `next` is the cursor of the following page.

    A page may hold fewer lines than there are, even none, and still have a next one: then it took long to look.
    """

    items: list[dict[str, Any]]
    next: str | None


class Search:
    """Finds lines. `days`: how long lines are kept before the archive."""

    def __init__(self, store: LineStore, files: FileSearch, clock: Clock, days: int) -> None:
        self._store, self._files, self._clock, self._days = store, files, clock, days

    async def page(self, values: Mapping[str, Any], workspace_id: str | None) -> Page:
        """A page of what these parameters ask for. Raises `InvalidRequest`, `DatabaseAway`."""
        tiers = _tiers(values.get("tiers"))
        days = 36_500 if ARCHIVE in tiers else self._days
        wanted = read(values, workspace_id, self._clock.now(), timedelta(days=days))
        found = await self._found(wanted, tiers)
        rest = found.rest
        if rest is None and len(found.lines) >= wanted.limit:
            rest = place_of(found.lines[-1])
        return Page([record_of(line) for line in found.lines], None if rest is None else cursor_of(rest))

    async def _found(self, wanted: Wanted, tiers: Sequence[str]) -> Found:
        # The database first: a day that is moved meanwhile is then found twice and never missed.
        lines = await self._hot(wanted) if HOT in tiers else []
        tiers = [tier for tier in tiers if tier != HOT]
        if len(lines) >= wanted.limit or not tiers:
            return Found(lines)
        older = await self._files.page(wanted, tiers)
        if older.rest is not None:
            lines = [line for line in lines if place_of(line).at_us > older.rest.at_us]
        there = {line.line_no for line in lines}
        lines += [line for line in older.lines if line.line_no not in there]
        lines.sort(key=lambda line: (line.at, line.line_no), reverse=True)
        return Found(lines[: wanted.limit], older.rest if len(lines) <= wanted.limit else None)

    async def _hot(self, wanted: Wanted) -> list[Line]:
        until, number = wanted.until, _FIRST
        if wanted.after is not None:
            after = _EPOCH + wanted.after.at_us * _MICROSECOND
            if after <= until:
                until, number = after, wanted.after.line_no
        return await self._store.page((wanted.since, until, number), wanted.filters(), wanted.limit)


def place_of(line: Line) -> Place:
    """Where a line stands in the order of a search."""
    return Place((line.at - _EPOCH) // _MICROSECOND, line.line_no)


def _tiers(told: str | None) -> tuple[str, ...]:
    if not told:
        return (HOT, COLD)
    tiers = tuple(dict.fromkeys(part.strip() for part in told.split(",")))
    unknown = [tier for tier in tiers if tier not in TIERS]
    if unknown:
        raise InvalidRequest(f"`tiers` takes {', '.join(TIERS)}, several separated by commas", param="tiers")
    return tiers
