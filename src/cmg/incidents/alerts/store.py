"""Groups of alerts that belong to incidents, and how far alerting was followed.

The only caller of this folder's SQL.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from cmg.incidents.alerts.rules import Known
from cmg.storage.named_sql import load

_SQL = load("cmg.incidents.alerts")
GROUPS_MAX = 1000


async def lock_watch(conn: Any) -> int | None:
    """The number of the last change that is known; None while another process is at it."""
    found = await conn.fetchval(_SQL["lock_watch"])
    return None if found is None else int(found)


async def move_watch(conn: Any, generation: int) -> None:
    """Everything up to this change is known."""
    await conn.execute(_SQL["move_watch"], generation)


async def known_group(conn: Any, group_id: str) -> Known | None:
    """The group, if it belongs to an incident."""
    row = await conn.fetchrow(_SQL["known_group"], group_id)
    return None if row is None else _known(row)


async def groups_of(reader: Any, incidents: Sequence[int]) -> list[Known]:
    """The groups of some incidents."""
    return [_known(row) for row in await reader.fetch(_SQL["groups_of"], list(incidents), GROUPS_MAX)]


async def put_group(conn: Any, known: Known) -> None:
    """Keep a group as it is now."""
    labels = msgspec.json.encode(dict(known.labels)).decode()
    told = (known.group_id, known.incident_id, known.title, known.severity, labels)
    await conn.execute(_SQL["put_group"], *told, known.opened_at, known.acknowledged_at, known.resolved_at)


def _known(row: Any) -> Known:
    return Known(**{**dict(row), "labels": msgspec.json.decode(row["labels"])})
