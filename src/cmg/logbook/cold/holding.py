"""Legal holds: placed and released by administrators of the whole service, each time told to the audit trail."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from cmg.kit.clock import Clock
from cmg.kit.errors import InvalidRequest, NotFound
from cmg.kit.ids import uuid7
from cmg.logbook.cold.file_store import FileStore, Hold
from cmg.logbook.ports import Trail
from cmg.logbook.wanted import moment, text
from cmg.storage.database import Database

_MOST = 1000


class Holds:
    """Whatever a hold covers does not expire; erasing a person goes on, and leaves the line without them."""

    def __init__(self, database: Database, store: FileStore, trail: Trail, clock: Clock) -> None:
        self._database, self._store, self._trail, self._clock = database, store, trail, clock

    async def list(self) -> list[Hold]:
        """Every hold, released ones too, the newest first, at most 1,000."""
        return await self._store.holds(_MOST)

    async def place(self, values: Mapping[str, Any], by: str) -> Hold:
        """A new hold of `reason`, `since`, `until`, `workspace`. Raises `InvalidRequest`."""
        now = self._clock.now()
        reason = text("reason", values.get("reason"))
        if reason is None or not reason.strip():
            raise InvalidRequest("`reason` says why these lines are held", param="reason")
        since, until = moment("since", values.get("since"), now), moment("until", values.get("until"), now)
        if since is None:
            raise InvalidRequest("`since` is the time from which on lines are held", param="since")
        if until is not None and until <= since:
            raise InvalidRequest("`until` must be behind `since`", param="until")
        hold = Hold(
            hold_id=uuid7(),
            workspace_id=text("workspace", values.get("workspace")),
            reason=reason,
            since=since,
            until=until,
            placed_by=by,
            placed_at=now,
        )
        async with self._database.transaction() as conn:
            await self._store.place_hold(conn, hold)
            told = {"reason": reason, "since": since.isoformat(), "until": until and until.isoformat()}
            await self._trail.record(conn, by, "logs.hold", str(hold.hold_id), told)
        return hold

    async def release(self, hold_id: str, by: str) -> None:
        """End a hold. Raises `NotFound`."""
        try:
            wanted = UUID(hold_id)
        except ValueError as error:
            raise NotFound(f"there is no hold {hold_id[:40]!r}") from error
        async with self._database.transaction() as conn:
            if not await self._store.release_hold(conn, wanted, by):
                raise NotFound(f"there is no hold {hold_id} that holds")
            await self._trail.record(conn, by, "logs.release", hold_id, {})
