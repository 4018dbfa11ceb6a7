"""Reads and writes what became of notes; the only caller of this folder's SQL."""

from collections.abc import Collection, Mapping
from datetime import date, datetime
from uuid import UUID

import msgspec

from cmg.storage.database import Connection, Database
from cmg.storage.named_sql import load

_SQL = load("cmg.memory.effect")
_REPORT_S = 20.0
Item = tuple[str, UUID]  # workspace, id


class Effect(msgspec.Struct, kw_only=True):
    """What became of the notes of some calls; in the order of the table's columns."""

    notes: int = 0
    notes_judged: int = 0
    notes_used: int = 0
    used: int = 0
    ignored: int = 0
    unjudged: int = 0
    shortened: int = 0
    left_out: int = 0


COUNTED = Effect.__struct_fields__


async def contents(conn: Connection, items: Collection[Item]) -> dict[Item, str]:
    """What items say, of those that are still there."""
    ids, workspaces = [item for _, item in items], list({workspace for workspace, _ in items})
    rows = await conn.fetch(_SQL["told_items"], ids, workspaces)
    return {(row["workspace_id"], row["id"]): row["content"] for row in rows}


async def add(conn: Connection, effects: Mapping[tuple[str, date], Effect]) -> None:
    """Add to the days of workspaces."""
    keys = list(effects)
    sums = ([getattr(effects[key], name) for key in keys] for name in COUNTED)
    await conn.execute(_SQL["add_effect"], [key[0] for key in keys], [key[1] for key in keys], *sums)


async def sums(database: Database, workspace_id: str | None, first: date, last: date) -> dict[str, Effect]:
    """Workspace → what became of its notes on these days."""
    rows = await database.fetch(_SQL["effect_sums"], workspace_id, first, last, timeout_s=_REPORT_S)
    return {row["workspace_id"]: Effect(**{name: row[name] for name in COUNTED}) for row in rows}


async def judgements(
    database: Database, workspace_id: str | None, since: datetime, until: datetime
) -> dict[str, dict[str, int]]:
    """Workspace → type of judgement → how many there were."""
    rows = await database.fetch(_SQL["feedback_sums"], workspace_id, since, until, timeout_s=_REPORT_S)
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        found.setdefault(row["workspace_id"], {})[row["type"]] = row["judged"]
    return found


async def purge(database: Database, before: date) -> None:
    """Forget the days before one."""
    await database.execute(_SQL["purge_effect"], before, timeout_s=60)
