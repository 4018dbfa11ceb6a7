"""A search over the tiers, newest lines first."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from cmg.kit.clock import Clock
from cmg.logbook.hot.line_store import LineStore
from cmg.logbook.models import Line, record_of
from cmg.logbook.wanted import Place, Wanted, cursor_of, read

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIRST = 2**63 - 1


class Page(msgspec.Struct, frozen=True):
    """Lines by their ECS names, newest first; `next` is the cursor of the following page."""

    items: list[dict[str, Any]]
    next: str | None


class Search:
    """Finds lines. `days`: how long lines are kept at all."""

    def __init__(self, store: LineStore, clock: Clock, days: int) -> None:
        self._store, self._clock, self._days = store, clock, days

    async def page(self, values: Mapping[str, Any], workspace_id: str | None) -> Page:
        """A page of what these parameters ask for. Raises `InvalidRequest`, `DatabaseAway`."""
        wanted = read(values, workspace_id, self._clock.now(), timedelta(days=self._days))
        found = await self._hot(wanted)
        last = found[-1] if len(found) >= wanted.limit else None
        return Page([record_of(line) for line in found], None if last is None else cursor_of(place_of(last)))

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
