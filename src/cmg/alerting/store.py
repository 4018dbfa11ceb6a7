"""The tables of alerting; the only caller of this room's SQL."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from cmg.alerting.models import Alert, Decision, Group, Notification, Timer
from cmg.alerting.setup.compiled import Setup, compiled
from cmg.alerting.world import Changes, World
from cmg.kit.clock import at
from cmg.storage.database import Database
from cmg.storage.named_sql import load
from cmg.storage.retention import purge_batch

Reader = Any  # a Database or a connection: both have fetch, fetchrow and fetchval
T = TypeVar("T")

_encode = msgspec.json.encode
_ALERT, _GROUP = msgspec.json.Decoder(Alert), msgspec.json.Decoder(Group)
_TIMER, _NOTIFICATION = msgspec.json.Decoder(Timer), msgspec.json.Decoder(Notification)
_DECISION = msgspec.json.Decoder(Decision)
_MATTERS_S = 86_400.0  # how long an alert that ceased is held in memory: its turns may matter again


class Overtaken(Exception):
    """Another process claimed a timer of ours: what we decided is void."""


@dataclass(frozen=True)
class StoredDocument:
    """A document as it stands in its table, and who wrote it."""

    id: str
    body: str
    updated_at: datetime
    updated_by: str


@dataclass(frozen=True)
class AlertFilter:
    """Which alerts to list, after a position."""

    before: datetime
    before_id: str
    active: bool | None = None
    severity: str | None = None
    group_id: str | None = None
    limit: int = 50


class AlertingStore:
    """Rows of the `alerting_*` tables."""

    def __init__(self) -> None:
        self._sql = load("cmg.alerting")

    async def lock(self, conn: Any, workspace_id: str) -> tuple[int, int]:
        """Hold a workspace's alerting; the numbers of its last change and of its documents' last."""
        row = await conn.fetchrow(self._sql["lock_head"], workspace_id)
        if row is None:
            await conn.execute(self._sql["make_head"], workspace_id)
            row = await conn.fetchrow(self._sql["lock_head"], workspace_id)
        return int(row["generation"]), int(row["setup"])

    async def workspaces(self, reader: Reader) -> dict[str, int]:
        """Workspace → number of its last change."""
        return {row["workspace_id"]: row["generation"] for row in await reader.fetch(self._sql["workspaces"])}

    async def take_lease(self, database: Database, name: str, holder: str, span: tuple[datetime, datetime]) -> bool:
        """Take a lease that nobody holds, or keep one's own, from one moment until another."""
        return await database.fetchval(self._sql["take_lease"], name, holder, *span) is not None

    async def holder(self, reader: Reader, name: str, now: datetime) -> str | None:
        """Who has a lease now."""
        found = await reader.fetchval(self._sql["lease_holder"], name, now)
        return None if found is None else str(found)

    async def setup(self, reader: Reader, workspace_id: str) -> Setup:
        """Every document of a workspace."""
        rows = await reader.fetch(self._sql["documents"], workspace_id)
        return compiled((row["kind"], row["id"], row["body"]) for row in rows)

    async def load(self, conn: Any, world: World, now: float) -> None:
        """Everything that matters, into a world that knows nothing."""
        mine = world.workspace_id
        seen_after = at(now - _MATTERS_S)
        world.take(
            _read(_ALERT, await conn.fetch(self._sql["alerts_at_first"], mine, seen_after)),
            _read(_GROUP, await conn.fetch(self._sql["groups_at_first"], mine)),
        )
        for timer in _read(_TIMER, await conn.fetch(self._sql["timers_at_first"], mine)):
            world.timers[timer.id] = timer
        world.take_notifications(
            _read(_NOTIFICATION, await conn.fetch(self._sql["notifications_at_first"], mine))
        )  # fmt: skip

    async def catch_up(self, conn: Any, world: World) -> None:
        """What others changed since, into a world."""
        since = (world.workspace_id, world.generation)
        world.take(
            _read(_ALERT, await conn.fetch(self._sql["alerts_since"], *since)),
            await self.groups_since(conn, *since),
        )
        for row in await conn.fetch(self._sql["timers_since"], *since):
            timer = _TIMER.decode(row["body"])
            if row["done"]:
                world.timers.pop(timer.id, None)
            else:
                world.timers[timer.id] = timer
        world.take_notifications(_read(_NOTIFICATION, await conn.fetch(self._sql["notifications_since"], *since)))

    async def changed(self, reader: Reader, workspace_id: str, after: int) -> tuple[list[Group], list[Alert], int]:
        """Groups and alerts that were changed after a number, and a number up to which none of them is missing."""
        generation = (await self.workspaces(reader)).get(workspace_id, 0)
        groups = await self.groups_since(reader, workspace_id, after)
        return groups, _read(_ALERT, await reader.fetch(self._sql["alerts_since"], workspace_id, after)), generation

    async def groups_since(self, conn: Any, workspace_id: str, generation: int) -> list[Group]:
        """The groups that were changed after a number."""
        return _read(_GROUP, await conn.fetch(self._sql["groups_since"], workspace_id, generation))

    async def older(self, reader: Reader, workspace_id: str, fingerprints: Sequence[str]) -> list[Alert]:
        """Alerts that are no longer in memory."""
        return _read(_ALERT, await reader.fetch(self._sql["alerts_by_fingerprints"], workspace_id, list(fingerprints)))

    async def write(self, conn: Any, changes: Changes, generation: int, setup: int, *, strict: bool = True) -> None:
        """Keep changes under their number. Raises `Overtaken` when a timer or message of theirs is not ours to claim.

        Not `strict`: what others claimed stays theirs.
        """
        mine, number = changes.world.workspace_id, generation
        if changes.fired:
            claimed = await conn.fetch(self._sql["claim_timers"], mine, sorted(changes.fired), at(changes.now), number)
            if strict and len(claimed) != len(changes.fired):
                raise Overtaken
        sending = [one.key for one in changes.notifications.values() if one.state == "sending"]
        if sending and strict and await conn.fetchval(self._sql["count_sent"], mine, sending):
            raise Overtaken
        await conn.executemany(
            self._sql["put_alert"], [_alert_row(mine, number, one) for one in changes.alerts.values()]
        )
        await conn.executemany(
            self._sql["put_group"], [_group_row(mine, number, one) for one in changes.groups.values()]
        )
        await conn.executemany(
            self._sql["set_timer"],
            [(mine, one.id, one.group_id, at(one.due_at), number, _text(one)) for one in changes.timers.values()],
        )
        await conn.executemany(
            self._sql["put_notification"], [_outbox_row(mine, number, one) for one in changes.notifications.values()]
        )
        await conn.executemany(
            self._sql["insert_decision"],
            [(mine, at(one.at), one.fingerprint, one.group_id, _text(one)) for one in changes.decisions],
        )
        await conn.execute(self._sql["move_head"], mine, generation, setup)

    async def move_head(self, conn: Any, workspace_id: str, generation: int, setup: int) -> None:
        """The numbers after a change of documents."""
        await conn.execute(self._sql["move_head"], workspace_id, generation, setup)

    async def documents(
        self, reader: Reader, workspace_id: str, kind: str, after: str, limit: int
    ) -> list[StoredDocument]:
        """A page of one kind, by id."""
        rows = await reader.fetch(self._sql["documents_of_kind"], workspace_id, kind, after, limit)
        return [StoredDocument(**row) for row in rows]

    async def document(self, reader: Reader, workspace_id: str, kind: str, name: str) -> StoredDocument | None:
        """One document."""
        row = await reader.fetchrow(self._sql["document"], workspace_id, kind, name)
        return None if row is None else StoredDocument(**row)

    async def count_documents(self, reader: Reader, workspace_id: str, kind: str) -> int:
        """How many there are of a kind."""
        return int(await reader.fetchval(self._sql["count_documents"], workspace_id, kind))

    async def put_document(self, conn: Any, workspace_id: str, kind: str, one: StoredDocument, number: int) -> None:
        """Write a document."""
        fields = (workspace_id, kind, one.id, one.body, number, one.updated_at, one.updated_by)
        await conn.execute(self._sql["put_document"], *fields)

    async def drop_document(self, conn: Any, workspace_id: str, kind: str, name: str) -> bool:
        """Remove a document; False when there was none."""
        return str(await conn.execute(self._sql["drop_document"], workspace_id, kind, name)).endswith(" 1")

    async def alerts(self, reader: Reader, workspace_id: str, wanted: AlertFilter) -> list[Alert]:
        """A page of alerts, those heard of last first."""
        filters = (wanted.before, wanted.before_id, wanted.active, wanted.severity, wanted.group_id, wanted.limit)
        return _read(_ALERT, await reader.fetch(self._sql["page_of_alerts"], workspace_id, *filters))

    async def alert(self, reader: Reader, workspace_id: str, fingerprint: str) -> Alert | None:
        """One alert."""
        return next(iter(_read(_ALERT, await reader.fetch(self._sql["alert"], workspace_id, fingerprint))), None)

    async def groups(
        self, reader: Reader, workspace_id: str, before: tuple[datetime, str], status: str | None, limit: int
    ) -> list[Group]:
        """A page of groups, newest first."""
        return _read(_GROUP, await reader.fetch(self._sql["page_of_groups"], workspace_id, *before, status, limit))

    async def group(self, reader: Reader, workspace_id: str, group_id: str) -> Group | None:
        """One group."""
        return next(iter(_read(_GROUP, await reader.fetch(self._sql["group"], workspace_id, group_id))), None)

    async def notifications(self, reader: Reader, workspace_id: str, group_id: str, limit: int) -> list[Notification]:
        """The messages of a group, oldest first."""
        rows = await reader.fetch(self._sql["notifications_of_group"], workspace_id, group_id, limit)
        return _read(_NOTIFICATION, rows)

    async def told(self, reader: Reader, workspace_id: str, limit: int) -> list[tuple[Group, Notification]]:
        """What was sent about live groups, newest first."""
        rows = await reader.fetch(self._sql["told_of_live_groups"], workspace_id, limit)
        return [(_GROUP.decode(row["told_group"]), _NOTIFICATION.decode(row["body"])) for row in rows]

    async def decisions(self, reader: Reader, workspace_id: str, of: str, limit: int) -> list[Decision]:
        """What was decided about an alert or a group, newest first."""
        name = "decisions_of_group" if len(of) > 16 else "decisions_of_alert"
        return _read(_DECISION, await reader.fetch(self._sql[name], workspace_id, of, limit))

    async def purge(self, database: Database, before: datetime, timers_before: datetime) -> int:
        """Delete what is old, in batches; returns the number of rows."""
        deleted = await purge_batch(database, self._sql["purge_timers"], timers_before)
        for name in ("purge_alerts", "purge_groups", "purge_notifications", "purge_decisions"):
            deleted += await purge_batch(database, self._sql[name], before)
        return deleted


def _read(decoder: "msgspec.json.Decoder[T]", rows: Iterable[Any]) -> list[T]:
    return [decoder.decode(row["body"]) for row in rows]


def _text(one: msgspec.Struct) -> str:
    return _encode(one).decode()


def _alert_row(workspace_id: str, number: int, one: Alert) -> tuple[Any, ...]:
    seen = at(one.seen_at)
    return workspace_id, one.fingerprint, one.active, one.severity, one.group_id, seen, number, _text(one)


def _group_row(workspace_id: str, number: int, one: Group) -> tuple[Any, ...]:
    return workspace_id, one.id, one.status, one.severity, at(one.opened_at), number, _text(one)


def _outbox_row(workspace_id: str, number: int, one: Notification) -> tuple[Any, ...]:
    claimed = None if one.claimed_until is None else at(one.claimed_until)
    return workspace_id, one.key, one.group_id, one.state, at(one.created_at), claimed, number, _text(one)
