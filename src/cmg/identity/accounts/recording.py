"""Telling of a change: its entry in the audit trail and its security event, together."""

from collections.abc import Mapping
from typing import Any

import msgspec

from cmg.audit.models import Entry
from cmg.audit.trail import AuditTrail
from cmg.identity.accounts.models import Account
from cmg.identity.models import Actor
from cmg.telemetry.security_events import Event, SecurityEvents


class Told(msgspec.Struct, frozen=True):
    """One change: what the trail calls it, OWASP's name for it, and what it was. `details` never hold a secret."""

    action: str
    event: Event
    details: Mapping[str, Any] = {}


class Recorder:
    """Writes both. The trail's entry stands in the caller's transaction, as its last step."""

    def __init__(self, audit: AuditTrail, events: SecurityEvents) -> None:
        self._audit = audit
        self.events = events

    async def tell(self, conn: Any, by: Actor, account: Account, told: Told) -> None:
        """Record a change of an account."""
        entry = Entry(by.name, account.workspace_id, told.action, account.id, told.details, by.client)
        await self._audit.record(conn, entry)
        self.events.emit(told.event, told.action, client=by.client, user=account.id, **{"cmg.actor": by.name})


def self_actor(account: Account, client: str) -> Actor:
    """A person as the one who changes their own account."""
    return Actor(f"account:{account.id}", account.scopes, account.workspace_id, client)
