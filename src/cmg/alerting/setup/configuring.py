"""The use cases of documents: list, show, write, remove."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from cmg.alerting.owned.checking import MOST_RULES, checked
from cmg.alerting.setup.compiled import Setup
from cmg.alerting.setup.documents import KINDS, AlertRule, Channel, Document, Drill, MaintenanceWindow, Silence
from cmg.alerting.setup.references import missing, users
from cmg.alerting.setup.sense import check_sense
from cmg.alerting.store import AlertingStore, StoredDocument
from cmg.audit.models import Entry
from cmg.audit.trail import AuditTrail
from cmg.identity.models import SYSTEM, Actor
from cmg.kit.clock import Clock
from cmg.kit.errors import Conflict, InvalidRequest, NotFound
from cmg.storage.database import Database
from cmg.storage.sealing.sealer import CannotOpen, Sealer
from cmg.telemetry.logs import get_logger

MOST = 1000
_MOST_OF = {"alert-rules": MOST_RULES}
HIDDEN = "(set)"
_ENDED = timedelta(days=30)  # then one that is over goes; the audit trail knows of it
_log = get_logger("cmg.alerting.setup")


class Configuring:
    """What a workspace configures. Secrets go in sealed and come out hidden."""

    def __init__(self, database: Database, audit: AuditTrail, clock: Clock, sealer: Sealer) -> None:
        self._database, self._audit, self._clock = database, audit, clock
        self._sealer = sealer
        self._store = AlertingStore()

    async def page(
        self, by: Actor, kind: str, after: str = "", limit: int = 50
    ) -> tuple[list[dict[str, Any]], str | None]:
        """A page of a kind's documents by id, and the cursor of the next."""
        found = await self._store.documents(self._database, by.workspace_id, kind, after, limit + 1)
        return [_view(kind, one) for one in found[:limit]], found[limit - 1].id if len(found) > limit else None

    async def get(self, by: Actor, kind: str, name: str) -> dict[str, Any]:
        """One document. Raises `NotFound`."""
        found = await self._store.document(self._database, by.workspace_id, kind, name)
        if found is None:
            raise _no_document(kind, name)
        return _view(kind, found)

    async def put(self, by: Actor, kind: str, name: str, document: Document) -> dict[str, Any]:
        """Write a document in the place of the one with its id. Raises `InvalidRequest`, `Conflict`."""
        if isinstance(document, AlertRule):
            checked(document, by.workspace_id)
        check_sense(kind, name, document)
        most = _MOST_OF.get(kind, MOST)
        async with self._database.transaction() as conn:
            generation, _ = await self._store.lock(conn, by.workspace_id)
            setup = await self._store.setup(conn, by.workspace_id)
            old = setup.documents.get(kind, {}).get(name)
            absent = missing(document, setup)
            if absent is not None and (absent.kind, absent.id) != (kind, name):
                raise InvalidRequest(f"`{absent.field}`: there is no {absent.id} in {absent.kind}", param=absent.field)
            if old is None and await self._store.count_documents(conn, by.workspace_id, kind) >= most:
                raise Conflict(f"there are {most} {kind} already; remove some first")
            body = self._sealed(document, old).model_dump_json()
            stored = StoredDocument(name, body, self._clock.now(), by.name)
            await self._store.put_document(conn, by.workspace_id, kind, stored, generation + 1)
            await self._store.move_head(conn, by.workspace_id, generation + 1, generation + 1)
            what = {"kind": kind, "new": old is None}
            await self._audit.record(
                conn, Entry(by.name, by.workspace_id, "alerting.put", f"{kind}/{name}", what, by.client)
            )
        return _view(kind, stored)

    async def remove(self, by: Actor, kind: str, name: str) -> None:
        """Remove a document that no other names. Raises `NotFound`, `Conflict`."""
        async with self._database.transaction() as conn:
            generation, _ = await self._store.lock(conn, by.workspace_id)
            named_by = users(await self._store.setup(conn, by.workspace_id), kind, name)
            if named_by:
                raise Conflict(f"{kind}/{name} is named by {', '.join(named_by[:5])}; change these first")
            if not await self._store.drop_document(conn, by.workspace_id, kind, name):
                raise _no_document(kind, name)
            await self._store.move_head(conn, by.workspace_id, generation + 1, generation + 1)
            entry = Entry(by.name, by.workspace_id, "alerting.remove", f"{kind}/{name}", {}, by.client)
            await self._audit.record(conn, entry)

    async def purge(self) -> int:
        """Remove silences, maintenance windows and drills that ended 30 days ago; returns how many."""
        before, done = self._clock.now() - _ENDED, 0
        for workspace_id in await self._store.workspaces(self._database):
            async with self._database.transaction() as conn:
                generation, _ = await self._store.lock(conn, workspace_id)
                setup = await self._store.setup(conn, workspace_id)
                over = list(_over(setup, before))
                for kind, name in over:
                    await self._store.drop_document(conn, workspace_id, kind, name)
                if over:
                    await self._store.move_head(conn, workspace_id, generation + 1, generation + 1)
                done += len(over)
        return done

    async def reseal(self) -> int:
        """Seal every channel's secrets under the first master key, where they are under an older one.

        Returns how many channels that were. What no key opens stays as it is, and is told.
        """
        done = 0
        for workspace_id in await self._store.workspaces(self._database):
            async with self._database.transaction() as conn:
                generation, _ = await self._store.lock(conn, workspace_id)
                channels = (await self._store.setup(conn, workspace_id)).channels
                anew = {name: self._renewed(name, one) for name, one in channels.items()}
                changed = {name: one for name, one in anew.items() if one.secrets != channels[name].secrets}
                for name, one in changed.items():
                    stored = StoredDocument(name, one.model_dump_json(), self._clock.now(), SYSTEM.name)
                    await self._store.put_document(conn, workspace_id, "channels", stored, generation + 1)
                if changed:
                    await self._store.move_head(conn, workspace_id, generation + 1, generation + 1)
                    what = {"channels": sorted(changed)}
                    await self._audit.record(
                        conn, Entry(SYSTEM.name, workspace_id, "alerting.reseal", "channels", what)
                    )
                    done += len(changed)
        return done

    def _renewed(self, name: str, channel: Channel) -> Channel:
        try:
            secrets = {one: self._sealer.renewed(sealed) for one, sealed in channel.secrets.items()}
        except CannotOpen:
            _log.error("a channel's secrets cannot be opened: write them again", channel=name)
            return channel
        return channel.model_copy(update={"secrets": secrets})

    def _sealed(self, document: Document, old: Document | None) -> Document:
        """A channel's secrets sealed; one that is sent back hidden is the one that was kept."""
        if not isinstance(document, Channel):
            return document
        kept = old.secrets if isinstance(old, Channel) else {}
        for name, value in document.secrets.items():
            if value == HIDDEN and name not in kept:
                raise InvalidRequest(f"`secrets.{name}` has to be given", param=f"secrets.{name}")
        sealed = {
            name: kept[name] if value == HIDDEN else self._sealer.seal(value)
            for name, value in document.secrets.items()
        }
        return document.model_copy(update={"secrets": sealed})


def _over(setup: Setup, before: datetime) -> Iterator[tuple[str, str]]:
    """(kind, id) of what ended before a moment and will not come again."""
    kinds: Mapping[str, Mapping[str, Silence | MaintenanceWindow | Drill]] = {
        "silences": setup.silences,
        "maintenance-windows": setup.windows,
        "drills": setup.drills,
    }
    for kind, named in kinds.items():
        for name, one in named.items():
            if one.ends_at is not None and one.ends_at < before:
                yield kind, name


def _view(kind: str, stored: StoredDocument) -> dict[str, Any]:
    document = KINDS[kind].model_validate_json(stored.body)
    fields = document.model_dump()
    if "secrets" in fields:
        fields["secrets"] = dict.fromkeys(fields["secrets"], HIDDEN)
    return {**fields, "id": stored.id, "updated_at": stored.updated_at, "updated_by": stored.updated_by}


def _no_document(kind: str, name: str) -> NotFound:
    return NotFound(f"there is no {name} in {kind}")
