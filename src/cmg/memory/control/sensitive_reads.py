"""Writes down that somebody who administers a workspace reads what a person's memory holds: who, whose, what and why.

The event is OWASP's `sensitive_read` (Logging Vocabulary). The subject is the user's name in the audit trail, which is
erased with the user; the trail itself never holds an id.
"""

from cmg.audit.models import Entry
from cmg.audit.trail import AuditTrail
from cmg.identity.models import Actor
from cmg.kit.clock import Clock
from cmg.memory.models import Owner
from cmg.memory.store import KnownUser, MemoryStore
from cmg.storage.database import Database
from cmg.telemetry.logs import get_logger

ACTION = "memory.sensitive_read"
REASON_CHARACTERS = 200
_WRITE_S = 10.0
_log = get_logger("cmg.security")


class SensitiveReads:
    """Entries of the trail, and a line in the log for each."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._audit, self._store = database, AuditTrail(database, clock), MemoryStore()

    async def record(self, actor: Actor, owner: Owner, what: str, reason: str, known: KnownUser | None = None) -> bool:
        """Note a read before it happens; False for a user of whom nothing is stored, so nothing is read.

        Raises `DatabaseAway`.
        """
        known = known or await self._store.known_user(self._database, owner)
        if known is None:
            return False
        subject = f"user:{known.subject}"
        details = {"reason": reason.replace(owner.user_id, subject) or None, "read": what}
        async with self._database.transaction(_WRITE_S) as conn:
            entry = Entry(actor.name, owner.workspace_id, ACTION, subject, details, actor.client)
            await self._audit.record(conn, entry)
        _log.warning("sensitive_read", actor=actor.name, workspace=owner.workspace_id, subject=subject, **details)
        return True
