"""The offsets table: how far each worker's journal is stored. The only caller of this sub-room's SQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from cmg.storage.named_sql import load

_FORGOTTEN = timedelta(days=400)
_SQL = load("cmg.ledger.spool")

Move = tuple[UUID, int, int]  # worker, from exactly this position, to that one


class Overtaken(Exception):
    """Another drain has moved an offset meanwhile; nothing may be stored on the old one."""


async def load_offsets(conn: Any, workers: Sequence[UUID], at: datetime) -> Mapping[UUID, int]:
    """The offsets of these workers; 0 for new ones."""
    await conn.execute(_SQL["meet_workers"], list(workers), at)
    rows = await conn.fetch(_SQL["read_offsets"], list(workers))
    return {UUID(int=row["worker"].int): row["position"] for row in rows}


async def move_offsets(conn: Any, moves: Sequence[Move], at: datetime) -> None:
    """Move all of them or raise `Overtaken`. The rows stay locked until the transaction ends."""
    ordered = sorted(moves)
    columns = [move[0] for move in ordered], [move[1] for move in ordered], [move[2] for move in ordered]
    if await conn.fetchval(_SQL["move_offsets"], *columns, at) != len(ordered):
        raise Overtaken


async def forget_worker(conn: Any, worker: UUID) -> None:
    """Delete the offset of a worker; only ever after its folder is deleted."""
    await conn.execute(_SQL["forget_worker"], worker)


async def purge_offsets(conn: Any, now: datetime) -> None:
    """Forget workers that were not heard of for more than a year."""
    await conn.execute(_SQL["purge_offsets"], now - _FORGOTTEN)
