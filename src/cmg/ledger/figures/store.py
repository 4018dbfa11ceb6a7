"""The totals of workspaces in the database. The only caller of this folder's SQL."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from cmg.kit.clock import at
from cmg.ledger.models import UsageRecord
from cmg.storage.database import Database
from cmg.storage.named_sql import load

_SQL = load("cmg.ledger.figures")
_READ_S = 10.0
_MOST_TOKENS = 2**31 - 1
_MOST_MS = 86_400_000  # a call that says it took longer counts as a day


class Totals(msgspec.Struct, kw_only=True):
    """What a workspace has used, ever; answers from a store are no calls. Money is nano-USD."""

    workspace_id: str
    ok: int = 0
    failed: int = 0
    cut: int = 0
    cancelled: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_nano: int = 0
    latency_ms: int = 0


_OUTCOMES = {"ok": "ok", "cut": "cut", "cancelled": "cancelled"}


async def add_totals(conn: Any, records: Iterable[UsageRecord], most_nano: int) -> None:
    """Count records, in the caller's transaction; one costs `most_nano` at most."""
    found: dict[str, Totals] = {}
    used: dict[str, float] = {}
    for record in records:
        if record.replayed:
            continue
        one = found.setdefault(record.workspace_id, Totals(workspace_id=record.workspace_id))
        outcome = _OUTCOMES.get(record.status, "failed")
        setattr(one, outcome, getattr(one, outcome) + 1)
        one.prompt_tokens += _bounded(record.prompt_tokens)
        one.completion_tokens += _bounded(record.completion_tokens)
        one.cost_nano += min(max(0, record.cost_nano), most_nano)
        one.latency_ms += round(min(max(0.0, record.latency_ms), _MOST_MS))
        used[record.workspace_id] = max(record.at, used.get(record.workspace_id, record.at))
    if found:
        columns = zip(*(msgspec.structs.astuple(one) for one in found.values()), strict=True)
        await conn.execute(_SQL["add_totals"], *(list(one) for one in columns), [at(used[one]) for one in found])


async def totals(database: Database, first: Sequence[str], limit: int) -> list[Totals]:
    """At most `limit` workspaces: those of `first`, then those that were used last. Raises `DatabaseAway`."""
    rows = await database.fetch(_SQL["totals"], list(first), limit, timeout_s=_READ_S)
    return [Totals(**dict(row)) for row in rows]


def _bounded(tokens: int) -> int:
    return min(max(0, tokens), _MOST_TOKENS)
