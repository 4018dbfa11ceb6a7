"""Judgements of items: they move the salience, within bounds, and say why."""

from datetime import datetime
from uuid import UUID

import msgspec

from cmg.kit.clock import Clock
from cmg.kit.errors import InvalidRequest, NotFound
from cmg.kit.ids import uuid7
from cmg.memory.items.models import FeedbackType, Version, digest_of
from cmg.memory.items.salience import Salience, Weights, salience
from cmg.memory.items.store import ItemStore
from cmg.memory.models import Owner
from cmg.memory.policies import Policies
from cmg.memory.text.cleaning import clean
from cmg.storage.database import Connection, Database
from cmg.telemetry.instruments import Instruments

WEIGHTS: dict[FeedbackType, float] = {"helpful": 1.0, "not_helpful": -1.0, "duplicate": -2.0, "outdated": -3.0}
COMMENT_CHARACTERS = 1000
_KEPT = 20  # judgements of one item that its explanation shows


class Judgement(msgspec.Struct, frozen=True):
    """One judgement as it was given; `value` is what it added to the sum of feedback."""

    type: FeedbackType
    value: float
    comment: str | None
    at: datetime


class Feedback:
    """Takes judgements and explains what they do."""

    def __init__(self, clock: Clock, policies: Policies, instruments: Instruments | None = None) -> None:
        self._clock, self._policies, self._instruments = clock, policies, instruments
        self._store = ItemStore()

    async def judge(
        self, conn: Connection, owner: Owner, item_id: UUID, judged: tuple[FeedbackType, float | None, str | None]
    ) -> Salience:
        """Take a judgement (type, value, comment) on an item or a turn; returns its salience and the parts.

        The value, 0 to 1, says how much it counts (none: all of it). All judgements together move the sum to -10 to 10
        at most, which is half of the salience. `outdated` also ends when the item is true. Raises `NotFound`, also for
        another user's item and an earlier version; `InvalidRequest`.
        """
        kind, value, comment = judged
        if value is not None and not 0 <= value <= 1:
            raise InvalidRequest("`value` is a share of a judgement, 0 to 1", param="value")
        if comment is not None and len(comment) > COMMENT_CHARACTERS:
            raise InvalidRequest(f"`comment` has {COMMENT_CHARACTERS} characters at most", param="comment")
        current = await self._current(conn, owner, item_id)
        await self._store.begin_versions(conn, owner.workspace_id, item_id, digest_of(current.kind, current.content))
        now = self._clock.now()
        note = {
            "id": uuid7(),
            "item_id": item_id,
            "workspace_id": owner.workspace_id,
            "type": kind,
            "value": WEIGHTS[kind] * (1.0 if value is None else value),
            "comment": None if comment is None else self._policies.of(owner.workspace_id).redactor.text(clean(comment)),
            "at": now,
        }
        row = await self._store.judge(conn, owner.workspace_id, item_id, note)
        await self._store.trim_feedback(conn, owner.workspace_id, item_id, _KEPT)
        found = salience(Weights(**dict(row)), now, self._half_life_days(owner))
        until = now if kind == "outdated" else None
        await self._store.set_salience(conn, owner.workspace_id, item_id, found.salience, until)
        if self._instruments is not None:
            self._instruments.series("cmg_memory_feedback_total", kind).inc()
        return found

    async def explained(self, database: Database, owner: Owner, item_id: UUID) -> tuple[Salience, list[Judgement]]:
        """An item's salience now, in its parts, and the newest judgements. Raises `NotFound`."""
        current = await self._current(database, owner, item_id)
        touched = max(one for one in (current.mentioned_at, current.used_at) if one is not None)
        weights = Weights(
            importance=current.importance,
            mentions=current.mentions,
            uses=current.uses,
            feedback=current.feedback,
            touched_at=touched,
        )
        rows = await self._store.feedback(database, owner.workspace_id, item_id)
        judgements = [Judgement(row["type"], row["value"], row["comment"], row["at"]) for row in rows]
        return salience(weights, self._clock.now(), self._half_life_days(owner)), judgements

    def _half_life_days(self, owner: Owner) -> int:
        return self._policies.of(owner.workspace_id).half_life_days

    async def _current(self, source: Connection | Database, owner: Owner, item_id: UUID) -> Version:
        if not isinstance(source, Database):
            await self._store.hold(source, owner)
        versions = await self._store.versions(source, owner, item_id)
        if not versions or versions[-1].id != item_id:
            raise NotFound("there is no such item", param="item_id")
        return versions[-1]
