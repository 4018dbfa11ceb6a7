"""The items' SQL. Writers work in the caller's transaction and hold the user's row."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from cmg.memory.items.models import SAID_KINDS, Gone, NewItem, Version
from cmg.memory.models import Owner
from cmg.storage.database import Connection, Database
from cmg.storage.named_sql import load

_encode = msgspec.json.Encoder().encode


class Holding(msgspec.Struct, frozen=True):
    """A user whose row the transaction holds."""

    workspace_id: str
    user_no: int


class ItemStore:
    """Reads and writes items and their versions."""

    def __init__(self) -> None:
        self._sql = load("cmg.memory.items")

    async def hold(self, conn: Connection, owner: Owner) -> Holding | None:
        """Hold a user's row until the commit; None when nothing was ever stored for the user."""
        number = await conn.fetchval(self._sql["hold_user"], *owner)
        return None if number is None else Holding(owner.workspace_id, number)

    async def hold_numbers(self, conn: Connection, numbers: Iterable[int]) -> list[Holding]:
        """Hold the rows of several users."""
        rows = await conn.fetch(self._sql["hold_user_numbers"], list(numbers))
        return [Holding(row["workspace_id"], row["user_no"]) for row in rows]

    async def owner(self, database: Database, workspace_id: str, item_id: UUID) -> Owner | None:
        """Whose an item of this workspace is."""
        row = await database.fetchrow(self._sql["item_owner"], item_id, workspace_id)
        return None if row is None else Owner(workspace_id, row["user_id"])

    async def said(
        self, conn: Connection, ids: Collection[UUID], workspaces: Collection[str]
    ) -> dict[UUID, tuple[int, str]]:
        """Passage → (user number, content) of those that exist and were said."""
        if not ids:
            return {}
        rows = await conn.fetch(self._sql["said_passages"], list(ids), list(workspaces))
        return {row["id"]: (row["user_no"], row["content"]) for row in rows}

    async def matching(self, conn: Connection, held: Holding, item: NewItem, now: datetime) -> list[Any]:
        """Versions that say the same as an item, or something about the same subject and relation; oldest first."""
        what = (item.digest, item.subject, item.relation)
        return list(await conn.fetch(self._sql["matching_items"], held.user_no, held.workspace_id, *what, now))

    async def add(self, conn: Connection, workspace_id: str, turn: dict[str, Any], fact: dict[str, Any]) -> None:
        """Store one item or version; keys are columns."""
        await conn.execute(self._sql["add_item"], _json(turn), _json(fact), workspace_id)

    async def merge(self, conn: Connection, workspace_id: str, item_id: UUID, change: tuple[Any, ...]) -> None:
        """Count another mention.

        `change` is (sources, mentioned at, importance, salience, true since; a caller's metadata, true until, expires
        at).
        """
        await conn.execute(self._sql["merge_item"], item_id, workspace_id, *change)

    async def begin_versions(self, conn: Connection, workspace_id: str, item_id: UUID, digest: int) -> None:
        """Make sure that a turn can have versions and judgements."""
        await conn.execute(self._sql["begin_versions"], item_id, workspace_id, digest)

    async def renew(
        self, conn: Connection, place: tuple[UUID, str, UUID], times: tuple[datetime, datetime], change: dict[str, Any]
    ) -> int:
        """Archive the current version and change it; returns the new version's number.

        `place` is (item, workspace, id of the archived version), `times` (retired at, true until); keys of `change` are
        columns of either table.
        """
        document = _json(change)
        return int(await conn.fetchval(self._sql["renew_item"], *place, *times, document, document))

    async def make_room(self, conn: Connection, workspace_id: str, item_id: UUID, since: datetime) -> None:
        """Let a late version come before the current one; what was true before it ends when it begins."""
        await conn.execute(self._sql["add_late_version"], item_id, workspace_id, since)

    async def versions(self, source: Connection | Database, owner: Owner, item_id: UUID) -> list[Version]:
        """All versions of an item of this user, the current one last; empty when there is none."""
        rows = await source.fetch(self._sql["item_versions"], item_id, *owner)
        return [Version(**dict(row)) for row in rows]

    async def read_again(self, conn: Connection, workspace_id: str, item_id: UUID, at: datetime) -> None:
        """Have the facts of an edited turn drawn again, if they were drawn."""
        await conn.execute(self._sql["read_again"], item_id, workspace_id, at)

    async def facts_of(self, conn: Connection, workspace_id: str, source: UUID) -> dict[UUID, str | None]:
        """Fact → quote of what was drawn from a passage."""
        rows = await conn.fetch(self._sql["facts_of_source"], source, workspace_id)
        return {row["item_id"]: row["quote"] for row in rows}

    async def too_old(self, conn: Connection, workspace_id: str, root: UUID, last: int) -> list[UUID]:
        """The versions of an item up to a number."""
        return _ids(await conn.fetch(self._sql["old_versions"], root, workspace_id, last))

    async def doomed(self, conn: Connection, held: Holding, ids: Collection[UUID]) -> list[UUID]:
        """These rows, all their versions, and the facts that were drawn from nothing else."""
        return _ids(await conn.fetch(self._sql["doomed_items"], held.workspace_id, held.user_no, list(ids)))

    async def orphaned(
        self, conn: Connection, held: Holding, facts: Collection[UUID], sources: Collection[UUID]
    ) -> list[UUID]:
        """Those of these facts that were drawn from nothing but these passages."""
        args = (held.workspace_id, held.user_no, list(facts), list(sources))
        return _ids(await conn.fetch(self._sql["orphaned_facts"], *args))

    async def drop_sources(
        self, conn: Connection, held: Holding, sources: Collection[UUID], facts: Collection[UUID] | None = None
    ) -> None:
        """Take passages out of the sources of the user's facts, or of some of them."""
        only = None if facts is None else list(facts)
        await conn.execute(self._sql["drop_sources"], held.workspace_id, held.user_no, list(sources), only)

    async def delete(self, conn: Connection, held: Holding, ids: Collection[UUID]) -> Gone:
        """Delete rows; returns how many there were."""
        given = (held.workspace_id, held.user_no, list(ids), SAID_KINDS)
        row = await conn.fetchrow(self._sql["delete_items"], *given)
        assert row is not None
        return Gone(*row)

    async def widowed(self, conn: Connection, held: Holding, roots: Collection[UUID]) -> dict[UUID, UUID]:
        """Deleted root → the newest version that is left of it."""
        rows = await conn.fetch(self._sql["widowed_versions"], held.workspace_id, held.user_no, list(roots))
        newest: dict[UUID, UUID] = {}
        for row in rows:
            newest.setdefault(row["root_id"], row["item_id"])
        return newest

    async def promote(self, conn: Connection, held: Holding, version: UUID, root: UUID) -> None:
        """Make a version the current one of its item."""
        await conn.execute(self._sql["promote_version"], held.workspace_id, held.user_no, version, root)

    async def judge(self, conn: Connection, workspace_id: str, item_id: UUID, note: dict[str, Any]) -> Any:
        """Add a judgement; returns importance, mentions, uses, feedback and touched_at, or None without the item."""
        return await conn.fetchrow(self._sql["judge_item"], item_id, workspace_id, note["value"], _json(note))

    async def trim_feedback(self, conn: Connection, workspace_id: str, item_id: UUID, keep: int) -> None:
        """Forget the oldest judgements."""
        await conn.execute(self._sql["trim_feedback"], item_id, workspace_id, keep)

    async def feedback(self, database: Database, workspace_id: str, item_id: UUID) -> list[Any]:
        """The judgements of an item: type, value, comment, at; newest first."""
        return await database.fetch(self._sql["item_feedback"], item_id, workspace_id)

    async def set_salience(
        self, conn: Connection, workspace_id: str, item_id: UUID, salience: float, until: datetime | None
    ) -> None:
        """Write an item's salience, and when it ceased to be true."""
        await conn.execute(self._sql["set_salience"], item_id, workspace_id, salience, until)

    async def count_uses(self, conn: Connection, uses: Mapping[tuple[str, UUID], int], at: datetime) -> None:
        """Answers made use of items and turns, (workspace, id), so many times."""
        ids, workspaces = [item for _, item in uses], [workspace for workspace, _ in uses]
        for query in (self._sql["count_item_uses"], self._sql["count_turn_uses"]):
            await conn.execute(query, ids, workspaces, list(uses.values()), at)


class UpkeepStore:
    """What the jobs ask, over all users."""

    def __init__(self, database: Database) -> None:
        self._database, self._sql = database, load("cmg.memory.items")

    async def salience_batch(self, after: UUID, limit: int) -> list[Any]:
        """The next items by id, with what their salience is made of."""
        return await self._database.fetch(self._sql["salience_batch"], after, limit, timeout_s=60)

    async def age(self, ids: Sequence[UUID], saliences: Sequence[float]) -> None:
        """Write saliences."""
        await self._database.execute(self._sql["age_items"], list(ids), list(saliences), timeout_s=60)

    async def expired(self, now: datetime, limit: int) -> dict[int, list[UUID]]:
        """User number → items whose time is over."""
        return _by_user(await self._database.fetch(self._sql["expired_items"], now, limit, timeout_s=60))

    async def forgotten(self, workspace_id: str, before: datetime, limit: int) -> dict[int, list[UUID]]:
        """User number → items of a workspace that nobody mentioned or used since."""
        found = await self._database.fetch(self._sql["forgotten_items"], workspace_id, before, limit, timeout_s=60)
        return _by_user(found)

    async def old_turns(self, workspace_id: str, user_no: int, before: datetime, limit: int) -> list[UUID]:
        """Passages of a user that were stored before a moment."""
        given = (workspace_id, user_no, before, limit)
        return _ids(await self._database.fetch(self._sql["old_turns"], *given, timeout_s=60))


def _json(document: dict[str, Any]) -> str:
    return _encode(document).decode()


def _ids(rows: Iterable[Any]) -> list[UUID]:
    return [row[0] for row in rows]


def _by_user(rows: Iterable[Any]) -> dict[int, list[UUID]]:
    return {row["user_no"]: row["ids"] for row in rows}
