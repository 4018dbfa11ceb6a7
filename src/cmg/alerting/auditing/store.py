"""The tables as they are now, whatever processes remember of them. The only caller of this folder's SQL."""

from collections.abc import Collection

import msgspec

from cmg.alerting.auditing.findings import Finding, Live, Policies
from cmg.alerting.models import Group
from cmg.alerting.setup.documents import EscalationPolicy
from cmg.kit.clock import at
from cmg.storage.database import Database
from cmg.storage.named_sql import load

_SQL = load("cmg.alerting.auditing")
_MOST = 1000
_GROUP = msgspec.json.Decoder(Group)


async def live(database: Database, opened_before: float) -> list[Live]:
    """Groups that are not resolved, the most urgent first. Raises `DatabaseAway`."""
    rows = await database.fetch(_SQL["live_groups"], at(opened_before), _MOST)
    return [
        Live(
            workspace_id=row["workspace_id"],
            group=_GROUP.decode(row["body"]),
            due_at=None if row["due_at"] is None else row["due_at"].timestamp(),
        )
        for row in rows
    ]


async def policies(database: Database, workspaces: Collection[str]) -> Policies:
    """(workspace, id) → policy. Raises `DatabaseAway`."""
    rows = await database.fetch(_SQL["policies"], sorted(workspaces))
    return {(row["workspace_id"], row["id"]): EscalationPolicy.model_validate_json(row["body"]) for row in rows}


async def overdue(database: Database, timers_before: float, messages_before: float) -> list[Finding]:
    """Timers and messages that were due before these moments. Raises `DatabaseAway`."""
    timers = await database.fetch(_SQL["overdue_timers"], at(timers_before), _MOST)
    messages = await database.fetch(_SQL["overdue_messages"], at(messages_before), _MOST)
    return [
        *(Finding("overdue", row["workspace_id"], row["group_id"], row["id"]) for row in timers),
        *(Finding("message", row["workspace_id"], row["group_id"], row["key"]) for row in messages),
    ]
