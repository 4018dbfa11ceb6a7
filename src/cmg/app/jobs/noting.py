"""Notes what people do with jobs in the audit trail, in their names."""

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import Request

from cmg.audit.models import Entry
from cmg.audit.trail import AuditTrail
from cmg.identity.models import actor_of
from cmg.jobs.desk import Note
from cmg.storage.database import Connection


def noted(audit: AuditTrail) -> Callable[[Request], Note]:
    """For whoever makes a request."""

    def of(request: Request) -> Note:
        actor = actor_of(request.state.caller)

        async def note(connection: Connection, action: str, target: str, details: Mapping[str, Any]) -> None:
            await audit.record(connection, Entry(actor.name, None, action, target, details, actor.client))

        return note

    return of
