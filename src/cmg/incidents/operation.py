"""Markers of what was done to the service, and maintenances that are announced."""

from collections.abc import Mapping
from typing import Any

import msgspec

from cmg.audit.models import Entry as AuditEntry
from cmg.audit.trail import AuditTrail
from cmg.identity.forms.text import one_of
from cmg.identity.models import SYSTEM, Actor
from cmg.incidents import store
from cmg.incidents.desk import position
from cmg.incidents.forms import fields as forms
from cmg.incidents.models import Maintenance, Marker
from cmg.kit.clock import Clock
from cmg.kit.errors import Conflict, NotFound
from cmg.kit.parameters.texts import without_nul
from cmg.storage.database import Database

_STARTS = 200
_STEPS = ("begin", "complete", "cancel")


class Operation:
    """What is done to the service on purpose."""

    def __init__(self, database: Database, audit: AuditTrail, clock: Clock) -> None:
        self._database, self._audit, self._clock = database, audit, clock

    async def mark(self, by: Actor, fields: Mapping[str, Any]) -> Marker:
        """Keep a marker; one that was told before under the same `id` is given back as it is."""
        marker = forms.marker(fields, by.name, self._clock.now())
        async with self._database.transaction() as conn:
            number = await store.add_marker(conn, marker)
            if number is not None:
                return msgspec.structs.replace(marker, id=number)
            known = await store.marker_of(conn, marker.ref or "")
        if known is None:
            raise Conflict("the marker of this `id` was just deleted, being old; tell it again", param="id")
        return known

    async def started(self, version: str, machine: str, settings: str) -> None:
        """Mark a start of the service; of other settings than a machine's last start, that they changed.

        `settings` stands for them. Starts of one hour are one marker, so that one that crashes on does not fill a page.
        """
        last, _ = await self.markers(None, "start", _STARTS)
        before = next((one for one in last if one.details.get("machine") == machine), None)
        told = {"details": {"machine": machine, "settings": settings, "version": version}, "source": machine}
        hour = f"{self._clock.now():%Y-%m-%dT%H}"
        names = {"start": f"service started, version {version}"}
        if before is not None and before.details.get("settings") != settings:
            names["config"] = "the settings changed"
        for kind, title in names.items():
            ref = f"{kind}:{machine}:{version}:{settings}:{hour}"
            await self.mark(SYSTEM, {"kind": kind, "title": title, "id": ref, **told})

    async def markers(self, cursor: str | None, kind: str | None, limit: int) -> tuple[list[Marker], str | None]:
        """A page, newest told first, and the cursor of the next. Raises `InvalidRequest`."""
        wanted = without_nul("kind", kind)
        found = await store.markers_page(self._database, position(cursor), wanted, limit + 1)
        return found[:limit], str(found[limit - 1].id) if len(found) > limit else None

    async def announce(self, by: Actor, fields: Mapping[str, Any]) -> Maintenance:
        """A maintenance for the status page. Raises `InvalidRequest`."""
        made = forms.maintenance(fields, by.name, self._clock.now())
        async with self._database.transaction() as conn:
            made = msgspec.structs.replace(made, id=await store.add_maintenance(conn, made))
            await self._record(conn, by, "maintenance.announce", made)
        return made

    async def maintenances(self, cursor: str | None, limit: int) -> tuple[list[Maintenance], str | None]:
        """A page, newest announced first, and the cursor of the next."""
        found = await store.maintenances_page(self._database, position(cursor), limit + 1)
        return found[:limit], str(found[limit - 1].id) if len(found) > limit else None

    async def change(self, by: Actor, number: int, fields: Mapping[str, Any]) -> Maintenance:
        """Move or reword one that has not ended; `step` begins, completes or cancels it now."""
        given = {name: value for name, value in fields.items() if value is not None}
        step = given.pop("step", None)
        values = forms.read_maintenance(given)
        now = self._clock.now()
        async with self._database.transaction() as conn:
            found = await store.locked_maintenance(conn, number) if abs(number) < store.FIRST else None
            if found is None:
                raise NotFound(f"there is no maintenance {number}", param="maintenance")
            if found.status(now) in ("completed", "cancelled"):
                raise Conflict(f"maintenance {number} is {found.status(now)}; it stays as it is")
            made = msgspec.structs.replace(found, **values, updated_at=now)
            if values:
                forms.check_maintenance(made, now)
            if step is not None:
                moment = {"begin": "began_at", "complete": "completed_at", "cancel": "cancelled_at"}
                made = msgspec.structs.replace(made, **{moment[one_of(step, "step", _STEPS)]: now})
            await store.save_maintenance(conn, made)
            await self._record(conn, by, "maintenance.update", made)
        return made

    async def _record(self, conn: Any, by: Actor, action: str, one: Maintenance) -> None:
        details = {"title": one.title, "status": one.status(self._clock.now())}
        await self._audit.record(conn, AuditEntry(by.name, None, action, f"maintenance {one.id}", details, by.client))
