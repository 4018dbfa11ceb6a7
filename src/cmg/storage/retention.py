"""What keeps growing tables bounded: partitions by time made ahead and dropped when old, and deletes in batches.

The statements that name a table stand here and not in `queries.sql`: a name cannot be an argument, so they cannot be
prepared. Names come from the rooms' code, never from a request, and are quoted all the same.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from cmg.storage import named_sql
from cmg.storage.database import Connection, Database

Period = Literal["day", "month"]

_SQL = named_sql.load("cmg.storage")
_LOCK = 0x636D6703
# Columns, defaults, checks as the parent has them; its indexes and keys come with ATTACH.
_CREATE = "CREATE TABLE {part} (LIKE {parent} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED)"
_MOVE = (
    "WITH moved AS (DELETE FROM {default} WHERE {key} >= '{low}' AND {key} < '{high}' RETURNING {columns}) "
    "INSERT INTO {part} ({columns}) SELECT * FROM moved"
)
_ATTACH = "ALTER TABLE {parent} ATTACH PARTITION {part} FOR VALUES FROM ('{low}') TO ('{high}')"
_DETACH = "ALTER TABLE {parent} DETACH PARTITION {part}"
_DROP = "DROP TABLE {part}"


@dataclass(frozen=True)
class Span:
    """One partition's time: `low` inclusive, `high` exclusive, both midnights in UTC."""

    low: datetime
    high: datetime
    suffix: str


def spans(period: Period, now: datetime, ahead: int) -> list[Span]:
    """The period that holds `now` and the `ahead` following ones."""
    low = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "month":
        low = low.replace(day=1)
    found = []
    for _ in range(ahead + 1):
        high = low + timedelta(days=1) if period == "day" else (low + timedelta(days=32)).replace(day=1)
        found.append(Span(low, high, f"p{low:%Y%m%d}" if period == "day" else f"p{low:%Y%m}"))
        low = high
    return found


async def ensure_partitions(
    connection: Connection, table: str, *, period: Period, now: datetime, ahead: int = 2
) -> list[str]:
    """Make the partitions of a RANGE-partitioned table for now and `ahead` periods on; returns the names made.

    Rows that wait in the default partition move into theirs. Run it in a transaction, once a day: inserts go on
    meanwhile but for a moment at its end.
    """
    await connection.execute(_SQL["lock_partitions"], _LOCK)
    there = {row["name"] for row in await connection.fetch(_SQL["partitions_of"], table)}
    head = await connection.fetchrow(_SQL["partitioning_of"], table)
    if head is None:
        raise ValueError(f"{table!r} is not a partitioned table")
    made = []
    for span in spans(period, now, ahead):
        name = f"{table}_{span.suffix}"
        if name not in there:
            await _make(connection, table, name, span, dict(head))
            made.append(name)
    return made


async def _make(connection: Connection, table: str, name: str, span: Span, head: dict[str, Any]) -> None:
    words = {
        "parent": _quoted(table),
        "part": _quoted(name),
        "key": _quoted(head["key"]),
        "low": f"{span.low:%Y-%m-%d} 00:00:00+00",
        "high": f"{span.high:%Y-%m-%d} 00:00:00+00",
    }
    await connection.execute(_CREATE.format(**words))
    if head["default_partition"] is not None:
        columns = await connection.fetch(_SQL["columns_of"], table)
        words["columns"] = ", ".join(_quoted(row["name"]) for row in columns)
        await connection.execute(_MOVE.format(default=_quoted(head["default_partition"]), **words))
    await connection.execute(_ATTACH.format(**words))


async def drop_old(connection: Connection, table: str, *, before: datetime) -> list[str]:
    """Drop the partitions that end at or before that moment; returns their names. Run it in a transaction."""
    await connection.execute(_SQL["lock_partitions"], _LOCK)
    dropped = []
    for row in await connection.fetch(_SQL["partitions_of"], table):
        high = _end(row["name"].removeprefix(f"{table}_"))
        if high is not None and high <= before:
            words = {"parent": _quoted(table), "part": _quoted(row["name"])}
            await connection.execute(_DETACH.format(**words))
            await connection.execute(_DROP.format(**words))
            dropped.append(row["name"])
    return dropped


def _end(suffix: str) -> datetime | None:
    """The end of the time that a partition's suffix names; None for a partition of another kind."""
    for period, pattern in (("day", "p%Y%m%d"), ("month", "p%Y%m")):
        try:
            low = datetime.strptime(suffix, pattern).replace(tzinfo=UTC)
        except ValueError:
            continue
        if len(suffix) == (9 if period == "day" else 7):
            return low + timedelta(days=1) if period == "day" else (low + timedelta(days=32)).replace(day=1)
    return None


async def purge_batch(
    database: Database, sql: str, *args: Any, batch: int = 1000, rounds: int = 1000, timeout_s: float = 30
) -> int:
    """Run a DELETE whose last argument is its LIMIT until it deletes less than `batch`; returns the number of rows.

    Each round is a short transaction of its own with a breath in between, so that a purge of millions of rows holds
    nobody up and takes no memory; after `rounds` of them the rest waits for the next time.
    """
    deleted = 0
    for _ in range(rounds):
        tag = await database.execute(sql, *args, batch, timeout_s=timeout_s)
        count = int(tag.rsplit(" ", 1)[1])
        deleted += count
        if count < batch:
            break
        await asyncio.sleep(0)
    return deleted


async def until_nothing_goes(purge: Callable[[], Awaitable[int]]) -> None:
    """Run a purge that takes one batch at a time until it finds nothing: what grows faster than a batch goes too."""
    gone = await purge()
    while gone:
        gone = await purge()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
