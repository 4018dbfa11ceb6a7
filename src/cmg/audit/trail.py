"""The trail itself: recording, reading, verifying, and letting the oldest entries go."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from cmg.audit.models import PURGED, Entry, Page, Stored, Verification, Walk, linked
from cmg.audit.store import AuditStore
from cmg.kit.clock import Clock
from cmg.kit.errors import InvalidRequest
from cmg.storage.database import Database

RETENTION = timedelta(days=7 * 365 + 2)
PAGE_MAX = 200
_BATCH = 500
_PURGE_BATCH = 1000
_SEQ_MAX = 2**63 - 1


class Wanted(msgspec.Struct, frozen=True):
    """Which entries to list. `workspace_id` None: of every workspace, for callers who may see them all."""

    workspace_id: str | None
    action: str | None = None
    target: str | None = None
    actor: str | None = None
    cursor: str | None = None
    limit: int = 50


class AuditTrail:
    """Append-only and hash-chained. Kept for seven years (`RETENTION`)."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._store = AuditStore()

    async def record(self, conn: Any, entry: Entry) -> int:
        """Append an entry in the caller's transaction, as its last step but the announcement; returns its seq.

        Writers wait for each other here until commit: change your own rows first, so that no two transactions
        can each hold what the other wants.
        """
        head = await self._store.lock(conn)
        stored = linked(entry, head, self._clock.now())
        await self._store.append(conn, stored)
        return stored.seq

    async def list(self, wanted: Wanted) -> Page:
        """A page of entries, newest first. Raises `InvalidRequest` for an odd cursor or limit."""
        if not 1 <= wanted.limit <= PAGE_MAX:
            raise InvalidRequest(f"`limit` is from 1 to {PAGE_MAX}", param="limit")
        before = _position(wanted.cursor)
        filters = (before, wanted.action, wanted.target, wanted.actor, wanted.limit + 1)
        found = await self._store.page(self._database, wanted.workspace_id, filters)
        items = tuple(found[: wanted.limit])
        return Page(items, str(items[-1].seq) if len(found) > wanted.limit else None)

    async def between(self, reader: Any, since: datetime, until: datetime, limit: int) -> Sequence[Stored]:
        """Entries of [since, until] of every workspace, oldest first: what was changed around an incident."""
        return await self._store.between(reader, since, until, limit)

    async def verify(self) -> Verification:
        """Walk the whole chain in batches of bounded size; appends may go on meanwhile."""
        while True:
            head = await self._store.head(self._database)
            verdict = await self._walk(Walk(head), head.last_seq)
            if verdict.ok or (await self._store.head(self._database)).first_seq == head.first_seq:
                return verdict  # else a purge took the beginning away under our feet: start again

    async def _walk(self, walk: Walk, last: int) -> Verification:
        while walk.next_seq <= last:
            entries = await self._store.batch(self._database, walk.next_seq, last, _BATCH)
            if not entries or not all(walk.step(entry) for entry in entries):
                break
        return walk.verdict()

    async def purge(self) -> int:
        """Delete at most a batch of entries older than `RETENTION`; returns how many (call until 0).

        The head row takes over the last purged hash and an entry tells of the purge, so the rest stays verifiable
        and a beginning cut off by hand is found.
        """
        async with self._database.transaction() as conn:
            head = await self._store.lock(conn)
            horizon = self._clock.now() - RETENTION
            found = await self._store.last_before(conn, horizon, head.first_seq, _PURGE_BATCH)
            if found is None:
                return 0
            through, through_hash = found
            await self._store.purge(conn, through, through_hash)
            details = {"through_seq": through, "through_hash": through_hash.hex()}
            await self.record(conn, Entry("system", None, PURGED, "audit", details))
            return through - head.first_seq + 1


def _position(cursor: str | None) -> int:
    if cursor is None:
        return _SEQ_MAX
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        raise InvalidRequest("`cursor` is not one that this list gave out; leave it away to begin", param="cursor")
    return int(cursor)
