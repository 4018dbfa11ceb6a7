"""The use case: which usage a caller may see, summed as they ask."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from cmg.identity.models import Workspace
from cmg.kit.clock import Clock, rfc3339
from cmg.kit.errors import Forbidden, NotFound
from cmg.kit.money import nano_to_usd
from cmg.ledger.reports import store
from cmg.ledger.reports.parameters import Asked, Moment, days_of, read
from cmg.storage.database import Database

ITEMS_MAX = 10_000
COUNTED = (
    "calls",
    "errors",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
)
SUMS = (*COUNTED, "cost_usd", "latency_ms_avg")


class UsageReport(msgspec.Struct, frozen=True):
    """`items`: one a group, its groups' names and then `SUMS`; `totals`: the sums alone, of every call once.

    `truncated`: there are more groups than `items` holds (the most expensive ones); totals are complete all the same.
    """

    items: list[dict[str, Any]]
    totals: dict[str, Any]
    since: str
    until: str
    groups: tuple[str, ...]
    truncated: bool = False


class UsageReports:
    """Reports on the usage rows. `workspaces` gives all workspaces by id."""

    def __init__(self, database: Database, workspaces: Callable[[], Mapping[str, Workspace]], clock: Clock) -> None:
        self._database, self._workspaces, self._clock = database, workspaces, clock

    async def report(self, parameters: Mapping[str, str | None], only_workspace: str | None) -> UsageReport:
        """Read the parameters (`parameters.read`) and sum up; the caller sees `only_workspace` (None: all).

        Raises `InvalidRequest`, `Forbidden` for another workspace, `NotFound` for none, `DatabaseAway`.
        """
        asked = read(parameters, self._today(only_workspace or parameters.get("workspace")))
        found: dict[tuple[Any, ...], _Sum] = {}
        totals = _Sum()
        truncated = False
        for timezone, workspaces in self._visible(asked, only_workspace).items():
            since, until = asked.bounds(timezone)
            rows = store.Slice(tuple(workspaces), since, until, asked.filters)
            days = days_of(since, until, timezone)
            dates = [datetime.fromtimestamp(day, ZoneInfo(timezone)).date().isoformat() for day in days]
            groups = await store.usage_sums(self._database, rows, asked.groups, days, ITEMS_MAX + 1)
            truncated = truncated or len(groups) > ITEMS_MAX
            for row in groups:
                name = tuple(_group(row, group, dates) for group in asked.groups)
                found.setdefault(name, _Sum()).add(row)
            for row in await store.usage_sums(self._database, rows, (), days, 1):
                totals.add(row)
        items = [{**dict(zip(asked.groups, name, strict=True)), **found[name].values()} for name in _ordered(found)]
        bounds = _text(asked.since), _text(asked.until)
        return UsageReport(
            items[:ITEMS_MAX], totals.values(), *bounds, asked.groups, truncated or len(items) > ITEMS_MAX
        )

    def _today(self, workspace: str | None) -> Any:
        known = self._workspaces().get(workspace or "")
        return self._clock.now().astimezone(ZoneInfo(known.timezone if known else "UTC")).date()

    def _visible(self, asked: Asked, only: str | None) -> dict[str, list[str]]:
        """Time zone → workspaces that the report covers."""
        workspaces = self._workspaces()
        wanted = asked.workspace or only
        if only is not None and wanted != only:
            raise Forbidden("this key sees its own workspace only; leave `workspace` out", param="workspace")
        if wanted is None:
            return _by_timezone(workspaces.values())
        if wanted not in workspaces:
            raise NotFound("there is no such workspace", param="workspace")
        return _by_timezone([workspaces[wanted]])


class _Sum:
    """Sums over the time zones' rows."""

    def __init__(self) -> None:
        self._counted = dict.fromkeys(COUNTED, 0)
        self._nano, self._latency_ms = 0, 0.0

    @property
    def nano(self) -> int:
        return self._nano

    def add(self, row: Mapping[str, Any]) -> None:
        for name in COUNTED:
            self._counted[name] += int(row[name])
        self._nano += int(row["cost_nano"])
        self._latency_ms += row["latency_ms"]

    def values(self) -> dict[str, Any]:
        average = self._latency_ms / (self._counted["calls"] or 1)
        return {**self._counted, "cost_usd": nano_to_usd(self._nano), "latency_ms_avg": round(average, 3)}


def _by_timezone(workspaces: Iterable[Workspace]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for workspace in workspaces:
        found.setdefault(workspace.timezone, []).append(workspace.id)
    return found


def _group(row: Mapping[str, Any], group: str, dates: list[str]) -> Any:
    return dates[row["day"] - 1] if group == "day" else row[group]


def _ordered(found: Mapping[tuple[Any, ...], _Sum]) -> list[tuple[Any, ...]]:
    """The most expensive first; equal ones by name."""
    return sorted(found, key=lambda name: (-found[name].nano, [part or "" for part in name]))


def _text(moment: Moment) -> str:
    return rfc3339(moment.timestamp()) if isinstance(moment, datetime) else moment.isoformat()
