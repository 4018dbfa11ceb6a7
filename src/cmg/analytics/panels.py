"""The figures of one panel, for whoever draws it."""

import asyncio
import math
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

import msgspec

from cmg.analytics import store
from cmg.analytics.models import Event, Line, Look, Picture, Value, matcher
from cmg.catalogue.dashboards.models import Dashboard, Panel, Promql, Report
from cmg.kit.errors import Unavailable
from cmg.storage.database import Database

_AT_ONCE = 3  # reports, so that a page with many panels leaves connections for others
_LABEL = re.compile(r"\{\{(\w+)\}\}")


class Prometheus(Protocol):
    """Whoever answers PromQL, embedded or far away."""

    async def answer(self, endpoint: str, form: Mapping[str, list[str]]) -> tuple[int, bytes]:
        """Status and JSON of one call of Prometheus' HTTP API."""
        ...


class Panels:
    """Draws panels. `prometheus` is None on a machine that does not answer PromQL."""

    def __init__(self, database: Database, prometheus: Prometheus | None) -> None:
        self._database, self._prometheus = database, prometheus
        self._reports = asyncio.Semaphore(_AT_ONCE)

    async def picture(self, panel: Panel, look: Look) -> Picture:
        """What the panel shows for a look. Raises `Unavailable` when its source is away or too slow."""
        if isinstance(panel.source, Report):
            return _reported(panel, await self._report(panel.source.query, look))
        found = await asyncio.gather(*(self._asked(panel, one, look) for one in panel.source))
        return Picture(
            lines=[line for picture in found for line in picture.lines],
            values=[value for picture in found for value in picture.values],
        )

    async def choices(self, label: str) -> list[str]:
        """The values that a label has in the time series, for a variable; none while they are away."""
        if self._prometheus is None:
            return []
        status, body = await self._prometheus.answer(f"label/{label}/values", {"limit": ["1000"]})
        return list(msgspec.json.decode(body)["data"]) if status == 200 else []

    async def events(self, dashboard: Dashboard, look: Look) -> list[Event]:
        """What happened within a look, of every kind that the dashboard shows, oldest first."""
        found: list[Event] = []
        for kind in dashboard.annotations:
            found += [_event(kind.id, row) for row in await store.events(self._database, kind.id, look)]
        return sorted(found, key=lambda event: event.since)

    async def _report(self, report: str, look: Look) -> list[Any]:
        async with self._reports:
            try:
                return await store.rows(self._database, report, look)
            except TimeoutError as error:
                raise Unavailable("the report took too long; ask for a shorter span") from error

    async def _asked(self, panel: Panel, source: Promql, look: Look) -> Picture:
        if self._prometheus is None:
            raise Unavailable("this machine answers no PromQL; ask one with the role monitor")
        form = {"query": [bound(source.expr, look)]}
        if panel.form == "lines":
            span = {"start": [str(look.since)], "end": [str(look.until)], "step": [str(look.step)]}
            status, body = await self._prometheus.answer("query_range", {**form, **span})
        else:
            status, body = await self._prometheus.answer("query", {**form, "time": [str(look.until)]})
        answer = msgspec.json.decode(body)
        if answer.get("status") != "success":
            raise Unavailable(f"panel {panel.id!r}: {answer.get('error', f'status {status}')}")
        return _evaluated(source, answer["data"]["result"])


def _event(kind: str, row: Any) -> Event:
    until = row["timeend"]
    return Event(
        kind=kind,
        since=row["time"].timestamp(),
        until=until and until.timestamp(),
        text=row["text"],
        tags=[tag for tag in row["tags"].split(",") if tag],
    )


def bound(expr: str, look: Look) -> str:
    """The expression with what the reader chose in place of `$interval`, `$upstream` and `$instance`."""
    chosen = {
        "$interval": f"{look.window_s}s",
        "$upstream": matcher(look.upstream),
        "$instance": matcher(look.instance),
    }
    for name, value in chosen.items():
        expr = expr.replace(name, value)
    return expr


def _evaluated(source: Promql, result: list[dict[str, Any]]) -> Picture:
    lines, values = [], []
    for series in result:
        name = _LABEL.sub(lambda found, labels=series["metric"]: labels.get(found[1], ""), source.name)  # type: ignore[misc]
        if "values" in series:
            lines.append(Line(name, _finite(series["values"])))
        else:
            values += [Value(name, value) for _, value in _finite([series["value"]])]
    return Picture(lines=[line for line in lines if line.points], values=values)


def _finite(points: Iterable[Any]) -> list[tuple[float, float]]:
    """Points without those that no picture can show: 0/0 where nothing happened."""
    read = ((float(moment), float(value)) for moment, value in points)
    return [(moment, value) for moment, value in read if math.isfinite(value)]


def _reported(panel: Panel, rows: list[Any]) -> Picture:
    if panel.form == "table":
        columns = list(rows[0].keys()) if rows else []
        return Picture(columns=columns, rows=[[_cell(value) for value in row.values()] for row in rows])
    if panel.form != "lines":
        return Picture(values=[Value(row["metric"], row["value"] or 0.0) for row in rows])
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        lines.setdefault(row["metric"], []).append((row["time"].timestamp(), row["value"] or 0.0))
    return Picture(lines=[Line(name, points) for name, points in sorted(lines.items())])


def _cell(value: Any) -> str | float | None:
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, Decimal):
        return float(value)
    return (
        value if value is None or isinstance(value, float) else float(value) if isinstance(value, int) else str(value)
    )
