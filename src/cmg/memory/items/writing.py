"""The one way in for items: new ones merge, supersede or come late; edits archive what was; deletes leave nothing.

All of it runs in the caller's transaction and holds the user's row, as `TurnWriter` does: writers of one user wait for
each other.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from math import isclose
from typing import Any, Literal
from uuid import UUID

from msgspec import UNSET, Raw, json, structs

from cmg.kit.clock import Clock
from cmg.kit.errors import InvalidRequest, NotFound
from cmg.kit.ids import uuid7
from cmg.memory.items.columns import fact_columns, text_columns, turn_columns
from cmg.memory.items.decisions import Decision, decide
from cmg.memory.items.models import (
    ITEM_CHARACTERS,
    NOTHING_GONE,
    Changes,
    Gone,
    Kept,
    NewItem,
    Version,
    digest_of,
    is_quoted,
)
from cmg.memory.items.removal import Removal
from cmg.memory.items.salience import Weights, salience
from cmg.memory.items.store import Holding, ItemStore
from cmg.memory.models import Owner, Thread, UserOfAnotherKey
from cmg.memory.policies import Policies
from cmg.memory.store import MemoryStore
from cmg.memory.text.cleaning import clean, is_blank
from cmg.memory.vectors.renewal_store import VectorRenewal
from cmg.storage.database import Connection

VERSIONS = 100  # of one item; the oldest go


class ItemWriter:
    """Puts, edits and deletes items."""

    def __init__(self, clock: Clock, policies: Policies) -> None:
        self._clock, self._policies = clock, policies
        self._turns, self._store = MemoryStore(), ItemStore()
        self._vectors = VectorRenewal(clock, policies.settings)
        self._removal = Removal(self._store, self._vectors)

    async def put(self, conn: Connection, items: Sequence[NewItem]) -> list[Kept]:
        """Keep items, in their order and redacted; returns what became of each. Raises `UserOfAnotherKey`."""
        if not items:
            return []
        items = [self._redacted(item) for item in items]
        now = self._clock.now()
        latest = max(item.created_at or now for item in items)  # what was drawn does not make its thread look newer
        threads = {item.thread for item in items}
        numbers = await self._turns.hold(conn, threads, min(now, latest), self._policies.shares)
        if len(numbers) < len(threads):
            raise UserOfAnotherKey
        workspaces = {item.thread.owner.workspace_id for item in items}
        said = await self._store.said(conn, {one for item in items for one in item.sources}, workspaces)
        kept = []
        for item in items:
            user_no, thread_no = numbers[item.thread]
            reason = _refusal(item, user_no, said)
            if reason is not None:
                kept.append(Kept(None, "refused", reason))
                continue
            holding = Holding(item.thread.owner.workspace_id, user_no)
            kept.append(await self._keep(conn, item, (holding, thread_no), now))
        return kept

    async def edit(self, conn: Connection, owner: Owner, item_id: UUID, changes: Changes) -> Version:
        """Change an item of any kind, a turn too; what it was is archived. Returns the new version.

        Facts drawn from a turn whose words are not in it any more go. An edit that changes nothing, as one that is sent
        again, makes no version: only so many are kept. Raises `NotFound`, also for another user's item and an earlier
        version; `InvalidRequest`.
        """
        holding = await self._store.hold(conn, owner)
        versions = [] if holding is None else await self._store.versions(conn, owner, item_id)
        if holding is None or not versions or versions[-1].id != item_id:
            raise NotFound("there is no such item", param="id")
        old, now = versions[-1], self._clock.now()
        change = self._change(owner, old, changes, now)
        if _changes_nothing(old, change):
            return old
        await self._store.begin_versions(conn, owner.workspace_id, item_id, digest_of(old.kind, old.content))
        await self._renew(conn, holding, old.id, change, (now, now))
        if changes.content and changes.content != old.content:
            await self._removal.unquote(conn, holding, item_id, str(change["content"]))
            await self._store.read_again(conn, owner.workspace_id, item_id, now)
        return (await self._store.versions(conn, owner, item_id))[-1]

    async def delete(self, conn: Connection, owner: Owner, ids: Collection[UUID]) -> Gone:
        """Delete turns and items for good, with all their versions and the facts drawn from nothing else.

        Returns what went; ids that are not this user's are passed over. A fact whose newest version goes with
        its source has its version before as the current one again.
        """
        holding = await self._store.hold(conn, owner)
        return NOTHING_GONE if holding is None else await self._removal.remove(conn, holding, ids)

    def _redacted(self, item: NewItem) -> NewItem:
        """An item without secrets; one from a source that was stored before they were redacted is refused."""
        redactor = self._policies.of(item.thread.owner.workspace_id).redactor
        text, quote = redactor.text(item.content), item.quote and redactor.text(item.quote)
        value = item.value and redactor.text(item.value)
        metadata = redactor.json(item.metadata)
        return structs.replace(item, content=text, quote=quote, value=value, metadata=metadata)

    async def _keep(self, conn: Connection, item: NewItem, place: tuple[Holding, int], now: datetime) -> Kept:
        holding, thread_no = place
        said_at = item.created_at or now
        since = item.valid_from or said_at
        decision = decide(item, since, await self._store.matching(conn, holding, item, now))
        if decision.action == "known":
            return Kept(decision.match["item_id"], "known")
        if decision.action == "merge":
            return await self._merge(conn, item, decision, now)
        weights = Weights(importance=item.importance, mentions=1, uses=0, feedback=0, touched_at=said_at)
        turn = turn_columns(item, (holding.user_no, thread_no), now)
        turn["salience"] = salience(weights, now, self._half_life_days(holding.workspace_id)).salience
        fact = fact_columns(item, said_at)
        if decision.action == "supersede":
            root = decision.match["item_id"]
            await self._renew(conn, holding, root, turn | fact, (now, since))
            return Kept(root, "superseded")
        return await self._add(conn, holding, decision, turn, fact)

    async def _add(
        self, conn: Connection, holding: Holding, decision: Decision, turn: dict[str, Any], fact: dict[str, Any]
    ) -> Kept:
        """Store a new item, or a version that came late, as a row of its own."""
        item_id = uuid7()
        root, version = item_id, 1
        outcome: Literal["added", "archived"] = "added"
        if decision.since is not None:  # it came late
            root, version, outcome = decision.match["item_id"], decision.match["version"], "archived"
            turn |= {"retired_at": turn["recorded_at"], "valid_to": decision.until}
            await self._store.make_room(conn, holding.workspace_id, root, decision.since)
        turn |= {"id": item_id, "message_id": item_id.hex}
        whose = {"user_no": holding.user_no, "workspace_id": holding.workspace_id}
        fact |= {"item_id": item_id, "root_id": root, "version": version, **whose}
        await self._store.add(conn, holding.workspace_id, turn, fact)
        await self._vectors.changed(conn, holding.workspace_id, holding.user_no, [item_id])
        await self._trim(conn, holding, root, version + 1)
        return Kept(item_id, outcome)

    async def _merge(self, conn: Connection, item: NewItem, decision: Decision, now: datetime) -> Kept:
        match, said_at = decision.match, item.created_at or now
        weights = Weights(
            importance=max(match["importance"], item.importance),
            mentions=match["mentions"] + 1,
            uses=match["uses"],
            feedback=match["feedback"],
            touched_at=max(one for one in (match["mentioned_at"], match["used_at"], said_at) if one is not None),
        )
        workspace_id = item.thread.owner.workspace_id
        score = salience(weights, now, self._half_life_days(workspace_id)).salience
        own = (item.metadata, item.valid_to, item.expires_at) if item.origin == "caller" else (None, None, None)
        change = (list(item.sources), said_at, item.importance, score, decision.since, *own)
        await self._store.merge(conn, workspace_id, match["item_id"], change)
        return Kept(match["item_id"], "merged")

    async def _renew(
        self,
        conn: Connection,
        holding: Holding,
        root: UUID,
        change: dict[str, Any],
        times: tuple[datetime, datetime],
    ) -> None:
        """Archive the current version, retired and true until `times`, and make it say something else."""
        archived = uuid7()
        version = await self._store.renew(conn, (root, holding.workspace_id, archived), times, change)
        await self._vectors.changed(conn, holding.workspace_id, holding.user_no, [root, archived])
        await self._trim(conn, holding, root, version)

    async def _trim(self, conn: Connection, holding: Holding, root: UUID, version: int) -> None:
        """Keep a bounded history."""
        if version > VERSIONS:
            gone = await self._store.too_old(conn, holding.workspace_id, root, version - VERSIONS)
            await self._removal.delete_rows(conn, holding, gone)

    def _change(self, owner: Owner, old: Version, changes: Changes, now: datetime) -> dict[str, Any]:
        """The columns that an edit writes."""
        given = {name: value for name, value in structs.asdict(changes).items() if value is not UNSET}
        if not given:
            raise InvalidRequest("say what to change: `content` or `metadata`", param="content")
        _check_span(old, given)
        redactor = self._policies.of(owner.workspace_id).redactor
        change: dict[str, Any] = {"recorded_at": now, "origin": "caller", "mentioned_at": now, **given}
        if isinstance(given.get("metadata"), str):
            change["metadata"] = Raw((redactor.json(given["metadata"]) or "null").encode())
        if "content" in given:
            content = redactor.text(clean(given["content"]))
            if is_blank(content) or len(content) > ITEM_CHARACTERS:
                raise InvalidRequest(f"`content` must have 1 to {ITEM_CHARACTERS} characters", param="content")
            thread = Thread(owner, old.thread_id, old.implicit, old.agent_id, old.app_id)
            change |= text_columns(thread, (old.role, old.name), old.created_at, content)
            change |= {"digest": digest_of(old.kind, content), "value": None, "quote": None}
        weights = Weights(
            importance=change.get("importance", old.importance),
            mentions=old.mentions,
            uses=old.uses,
            feedback=old.feedback,
            touched_at=now,
        )
        return change | {"salience": salience(weights, now, self._half_life_days(owner.workspace_id)).salience}

    def _half_life_days(self, workspace_id: str) -> int:
        return self._policies.of(workspace_id).half_life_days


def _refusal(item: NewItem, user_no: int, said: Mapping[UUID, tuple[int, str]]) -> str | None:
    """Why an item is not kept."""
    if is_blank(item.content) or len(item.content) > ITEM_CHARACTERS:
        return f"an item has 1 to {ITEM_CHARACTERS} characters"
    if any(said.get(source, (None, ""))[0] != user_no for source in item.sources):
        return "a source is not a passage of this user"
    if item.quote is None or not item.sources:
        return None if item.origin == "caller" else "a drawn fact needs a quote and its sources"
    if not is_quoted(item.quote, (said[source][1] for source in item.sources)):
        return "the quote does not stand in a source"
    return None


def _check_span(old: Version, given: dict[str, Any]) -> None:
    """Raise `InvalidRequest` when an edit would leave an end before a begin that somebody named."""
    changed = [name for name in ("valid_to", "valid_from") if name in given]
    begins, ends = given.get("valid_from", old.valid_from), given.get("valid_to", old.valid_to)
    if changed and begins is not None and ends is not None and ends < begins:
        told = (
            f"it would be true from {begins.isoformat()} to {ends.isoformat()}; change `valid_from`, `valid_to` or both"
        )
        raise InvalidRequest(told, param=changed[0])


def _changes_nothing(old: Version, change: dict[str, Any]) -> bool:
    """Whether a caller's own item, or a turn, says all of it already. A drawn fact would become the caller's word."""
    if old.origin not in {"caller", "said"}:
        return False
    if "importance" in change and not isclose(change["importance"], old.importance, abs_tol=1e-6):
        return False
    if "metadata" in change and json.decode(change["metadata"] or b"null") != json.decode(old.metadata or b"null"):
        return False
    plain = ("content", "valid_from", "valid_to", "expires_at")
    return all(change[name] == getattr(old, name) for name in plain if name in change)
