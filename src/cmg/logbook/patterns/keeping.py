"""Gives every stored line its pattern, and counts them in the transaction that stores the lines."""

import threading
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from cmg.kit.clock import Clock, rfc3339
from cmg.kit.errors import InvalidRequest
from cmg.kit.parameters.pages import page_size
from cmg.logbook.models import LEVELS, Line
from cmg.logbook.patterns.mining import Miner
from cmg.logbook.patterns.pattern_store import Added, PatternStore
from cmg.logbook.wanted import Place, cursor_of, moment, place, severity, text
from cmg.storage.database import Connection
from cmg.telemetry.instruments import Instruments

MOST = 20_000
_SAMPLE_MAX = 1000
_DAYS = 90
_LIMIT_MAX = 500


class Patterns:
    """One per process that stores lines. `mine` may run in any thread."""

    def __init__(self, store: PatternStore, clock: Clock, instruments: Instruments) -> None:
        self._store, self._clock, self._instruments = store, clock, instruments
        self._miner = Miner(MOST)
        self._loaded = False
        self._turn = threading.Lock()

    async def load(self) -> None:
        """Learn what was mined before, once; without it every pattern would be new again. Raises `DatabaseAway`."""
        if not self._loaded:
            for template in await self._store.known(MOST):
                self._miner.learn(template)
            self._loaded = True

    def mine(self, lines: Sequence[Line]) -> None:
        """Give each line the number of its pattern."""
        with self._turn:
            for line in lines:
                template = self._miner.mine((line.workspace_id or "", line.logger), line.message)
                line.pattern_no = None if template is None else template.number

    async def count(self, conn: Connection, lines: Sequence[Line]) -> None:
        """Add lines to their patterns' counts."""
        added: dict[int, Added] = {}
        for line in lines:
            template = None if line.pattern_no is None else self._miner.by_number.get(line.pattern_no)
            if template is None:
                continue
            one = added.get(template.number)
            if one is None:
                one = Added(template, line.severity, line.message[:_SAMPLE_MAX], line.at, line.at, hours={})
                added[template.number] = one
            one.lines += 1
            one.severity = max(one.severity, line.severity)
            one.first_at, one.last_at = min(one.first_at, line.at), max(one.last_at, line.at)
            hour = line.at.replace(minute=0, second=0, microsecond=0)
            one.hours[hour] = one.hours.get(hour, 0) + 1
        if added:
            await self._store.add(conn, list(added.values()))
        self._tell_new(added.values())

    async def page(self, values: Mapping[str, Any], workspace_id: str | None) -> dict[str, Any]:
        """Patterns of lines since `since` (a day ago), those of most lines first. Raises `InvalidRequest`."""
        now = self._clock.now()
        since = moment("since", values.get("since"), now) or now - timedelta(days=1)
        since = since.replace(minute=0, second=0, microsecond=0)
        behind, limit = place(values.get("cursor")), page_size(values.get("limit"), _LIMIT_MAX)
        filters = (since, workspace_id, severity(values.get("level")), text("logger", values.get("logger")))
        after = (None, None) if behind is None else (behind.at_us, behind.line_no)
        rows = await self._store.page((*filters, _flag(values.get("new")), *after), limit)
        last = Place(rows[-1]["lines"], rows[-1]["pattern_no"]) if len(rows) == limit else None
        items = [_shown(row, new=row["first_at"] >= since) for row in rows]
        return {"items": items, "next": None if last is None else cursor_of(last)}

    async def purge(self) -> int:
        """Forget patterns without lines for 90 days."""
        return await self._store.purge(self._clock.now() - timedelta(days=_DAYS))

    def _tell_new(self, added: Any) -> None:
        for one in added:
            if one.template.fresh:
                one.template.fresh = False
                level = LEVELS.get(one.severity, "info")
                self._instruments.series("cmg_log_patterns_new_total", level).inc()


def _shown(row: Mapping[str, Any], *, new: bool) -> dict[str, Any]:
    return {
        "pattern": str(row["pattern_no"]),
        "workspace": row["workspace_id"],
        "logger": row["logger"],
        "template": row["template"],
        "level": LEVELS.get(row["severity"], "info"),
        "sample": row["sample"],
        "first_seen": rfc3339(row["first_at"].timestamp()),
        "last_seen": rfc3339(row["last_at"].timestamp()),
        "lines": row["lines"],
        "lines_ever": row["total"],
        "new": new,
    }


def _flag(told: object) -> bool:
    if told in (None, "", "false"):
        return False
    if told != "true":
        raise InvalidRequest("`new` is true or false", param="new")
    return True
