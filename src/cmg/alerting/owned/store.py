"""Rules of workspaces and how they stand. The only caller of this folder's SQL."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from cmg.alerting.setup.documents import AlertRule
from cmg.kit.clock import at
from cmg.storage.database import Database
from cmg.storage.named_sql import load
from cmg.timeseries.labels import labels_of

_SQL = load("cmg.alerting.owned")
MOST = 20_000
Name = tuple[str, str]
"""Workspace and rule."""


class Active(msgspec.Struct, frozen=True, kw_only=True):
    """One alert of a rule that waits or fires. Times are epoch ms; `value` None: it is no finite number."""

    labels: dict[str, str]
    state: str
    active_at_ms: int
    value: float | None


class RuleState(msgspec.Struct, frozen=True, kw_only=True):
    """What the last evaluation of a rule gave; `error`: why it could not be evaluated."""

    at_ms: int = 0
    error: str = ""
    active: tuple[Active, ...] = ()

    def past(self) -> dict[Any, tuple[int, int]]:
        """Labels → when last seen and since when active, as `AlertStates.recall` takes it."""
        return {labels_of(one.labels.items()): (self.at_ms, one.active_at_ms) for one in self.active}


_state = msgspec.json.Decoder(RuleState)


async def every_rule(database: Database) -> dict[Name, AlertRule]:
    """All rules of all workspaces, `MOST` at most. Raises `DatabaseAway`."""
    rows = await database.fetch(_SQL["every_rule"], MOST)
    return {(row["workspace_id"], row["id"]): AlertRule.model_validate_json(row["body"]) for row in rows}


async def workspaces_with_rules(database: Database, limit: int) -> list[str]:
    """At most `limit`. Raises `DatabaseAway`."""
    return [row["workspace_id"] for row in await database.fetch(_SQL["workspaces_with_rules"], limit)]


async def every_state(database: Database) -> dict[Name, RuleState]:
    """How every rule stood. Raises `DatabaseAway`."""
    rows = await database.fetch(_SQL["every_state"])
    return {(row["workspace_id"], row["rule"]): _state.decode(row["body"]) for row in rows}


async def keep(database: Database, states: Mapping[Name, RuleState], gone: Iterable[Name]) -> None:
    """Write how rules stand, and forget those that are gone. Raises `DatabaseAway`."""
    rows = [
        (*name, at(one.at_ms / 1000), msgspec.json.encode(one).decode()) for name, one in sorted(states.items())
    ]  # fmt: skip
    dropped = sorted(gone)
    async with database.transaction() as conn:
        await conn.executemany(_SQL["put_state"], rows)
        if dropped:
            await conn.execute(_SQL["drop_states"], *(list(one) for one in zip(*dropped, strict=True)))


async def state(database: Database, workspace_id: str, rule: str) -> RuleState | None:
    """How one stands; None: it was never evaluated. Raises `DatabaseAway`."""
    row = await database.fetchrow(_SQL["state"], workspace_id, rule)
    return None if row is None else _state.decode(row["body"])
