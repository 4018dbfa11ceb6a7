"""What the gateway knows of the memory: recall before a call, remember after it."""

import asyncio
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from cmg.kit.clock import Clock
from cmg.kit.turns import NOTE_MARK, Recollection, Scope, Shortened, Told, Turn
from cmg.memory.condensing.on_the_spot import both_ends
from cmg.memory.effect.records import TOLD, encode_told
from cmg.memory.models import KEPT_ROLES, Hit, KeptTurn, Owner, TurnBatch, owner_of, thread_of
from cmg.memory.notes.maker import made_of_turns
from cmg.memory.notes.messages import LeftOut, Wish, digest, digests
from cmg.memory.notes.underway import Underway, short
from cmg.memory.policies import Policies
from cmg.memory.ranking.finder import Finder, Wanted
from cmg.memory.ranking.question import bounded
from cmg.memory.recent import RecentWriters
from cmg.memory.text.cleaning import clean
from cmg.memory.text.redaction import Redactor
from cmg.memory.turn_sink import TURNS
from cmg.telemetry.instruments import Instruments

_HEADS = 16_384  # histories whose turns are known to be journalled
_UNCONFIRMED = 256
_REDACTED = 16_384  # texts of requests whose stored form is known
_PATIENCE_S, _PAUSE_S = 2.0, 1.0  # when nothing has come back for so long, recall is not tried for a moment
DEGRADED = Recollection(None, 0, 0, "degraded")
_encode = msgspec.msgpack.Encoder().encode


class Journalled(Protocol):
    """What is needed of the worker's journal."""

    @property
    def folder(self) -> Path:
        """Its folder in the spool."""
        ...


class Notes(Protocol):
    """Where notes are made: in this process, or in the one that makes them for all."""

    async def make(self, wish: Wish, timeout_s: float) -> Recollection:
        """The note; raises whatever is in the way, and `TimeoutError` or the like after so many seconds."""
        ...


class MemoryService:
    """Recall and remember for one gateway process. All that it holds between calls is bounded."""

    def __init__(
        self,
        finder: Finder,
        notes: Notes,
        journal: Journalled,
        policies: Policies,
        clock: Clock,
        instruments: Instruments,
    ) -> None:
        self._recent = RecentWriters(journal.folder)
        self._underway = Underway(self._recent)
        self._clock, self.instruments = clock, instruments
        self.policies, settings = policies, policies.settings
        self.token_budget = settings.token_budget  # of a note when nobody says
        self._deadline_s = settings.recall_deadline_ms / 1000
        self._finder, self._notes = finder, notes
        self._heads: dict[int, None] = {}
        self._unconfirmed: dict[Scope, tuple[TurnBatch | None, int | None]] = {}
        self._redacted: dict[tuple[Redactor, int], bytes] = {}
        self._failing_since: float | None = None
        self._paused_until = 0.0
        self._seconds = instruments.series("cmg_memory_recall_seconds")

    async def recall(
        self,
        scope: Scope,
        query: str,
        *,
        token_budget: int | None = None,
        purpose: str | None = None,
        kinds: Sequence[str] | None = None,
        present: Collection[str] = (),
    ) -> Recollection:
        """The note for a call, within the deadline; never raises. `present`: contents that the request holds."""
        budget = self.token_budget if token_budget is None else token_budget
        wish = _wish(scope, query, budget, self._digests(scope, present))
        return await self._made(self._as_one(scope, _narrowed(wish, purpose, kinds))) or DEGRADED

    async def condense(
        self,
        scope: Scope,
        query: str,
        shortened: Shortened,
        *,
        purpose: str | None = None,
        kinds: Sequence[str] | None = None,
    ) -> Recollection:
        """The note that stands for what a call leaves out; never raises. Where no memory answers, the turns must do."""
        thread, turns = thread_of(scope), both_ends(shortened.turns)
        left_out = LeftOut(shortened.messages, thread.thread_id, thread.implicit, tuple(map(_cleaned, turns)))
        wish = _wish(scope, query, shortened.tokens, self._digests(scope, shortened.present), left_out)
        found = await self._made(self._as_one(scope, _narrowed(wish, purpose, kinds)))
        self.instruments.series("cmg_memory_shortened_calls_total").inc()
        if found is None or found.status == "other_key":
            status = "degraded" if found is None else found.status
            made = await asyncio.to_thread(made_of_turns, wish, left_out, self.policies.settings.summary_tokens)
            return msgspec.structs.replace(made, status=status)
        return found

    async def find(self, wanted: Wanted, timeout_s: float) -> list[Hit]:
        """The hits of a search, best first. Raises `DatabaseAway`."""
        await self._recent.settle(wanted.owner)
        return await self._finder.find(wanted, timeout_s)

    async def settle(self, owner: Owner) -> None:
        """Wait a moment until the user's last turn is in the database, whichever worker of this machine took it."""
        await self._recent.settle(owner)

    def _as_one(self, scope: Scope, wish: Wish) -> Wish:
        """The wish of a key that reads its own users alone; with what is on its way into the database."""
        policy = self.policies.of(scope.workspace_id)
        key_id = None if policy.shared else scope.key_id
        coming: tuple[TurnBatch, ...] = ()
        if wish.kinds is None:
            coming = self._underway.of(Owner(wish.workspace_id, wish.user_id), key_id, policy.redactor)
        if key_id is None and not coming:
            return wish
        return msgspec.structs.replace(wish, key_id=key_id, coming=coming)

    async def forget(self, _erasures: Sequence[str]) -> None:
        """Somebody was erased: what is held of turns on their way goes."""
        self._underway.forget()

    def remember(self, scope: Scope, turns: Sequence[Turn]) -> list[tuple[str, bytes]]:
        """What the journal has to keep of these turns: the request's messages in order, then the answer.

        Quick and without I/O. Only what users and assistants said is kept, and nothing that carries an injected note;
        of a named thread what this process has not seen journalled, since a client sends the whole history again.
        """
        said = [turn for turn in turns if turn.role in KEPT_ROLES and turn.content and NOTE_MARK not in turn.content]
        kept, head = self._unseen(scope, said)
        if not kept:
            return []
        thread = thread_of(scope)
        batch = TurnBatch(
            thread.owner.workspace_id,
            thread.owner.user_id,
            thread.thread_id,
            thread.agent_id,
            thread.app_id,
            thread.implicit,
            tuple(kept),
            self._clock.time(),
            scope.key_id,
        )
        self._unconfirmed[scope] = batch if short(batch) else None, head
        _trim(self._unconfirmed, _UNCONFIRMED)
        self.instruments.series("cmg_memory_turns_total", "chat", "journalled").inc(len(kept))
        return [(TURNS, _encoded(batch))]

    def told(self, scope: Scope, told: Told) -> list[tuple[str, bytes]]:
        """What the journal has to keep so that the use of a note can be judged. Quick and without I/O."""
        owner = owner_of(scope.workspace_id, scope.user_id)
        return [(TOLD, encode_told(owner, told, self._clock.time()))]

    def journalled(self, scope: Scope, position: int) -> None:
        """What the last `remember` for this scope gave, if anything, is in the journal, up to `position`."""
        if scope not in self._unconfirmed:
            return
        batch, head = self._unconfirmed.pop(scope)
        owner = owner_of(scope.workspace_id, scope.user_id)
        self._recent.wrote(owner, position)
        self._underway.keep(owner, batch, position)
        if head is not None:
            self._heads.pop(head, None)
            self._heads[head] = None
            _trim(self._heads, _HEADS)

    def _unseen(self, scope: Scope, said: Sequence[Turn]) -> tuple[list[KeptTurn], int | None]:
        """The turns behind the longest known history, each with how often the same was said before it.

        And what to know this history by, if it is to be known once it is journalled.
        """
        counts: dict[tuple[str, str | None, str], int] = {}
        kept: list[KeptTurn] = []
        head = hash((scope.workspace_id, scope.user_id, scope.thread_id))
        for turn in said:
            key = (turn.role, turn.name, turn.content)
            occurrence = counts.get(key, 0)
            counts[key] = occurrence + 1
            head = hash((head, key))
            if head in self._heads:
                kept.clear()
            else:
                kept.append(KeptTurn(turn.role, turn.content, turn.created_at, turn.name, occurrence))
        return kept, None if scope.implicit else head

    def _digests(self, scope: Scope, present: Collection[str]) -> frozenset[bytes]:
        """What a request holds, as it was said and, where the workspace redacts, as it is stored.

        A client sends the whole history with each call; each text is redacted once.
        """
        found, redactor = digests(present), self.policies.of(scope.workspace_id).redactor
        if not redactor.redacts:
            return found
        stored = []
        for content in present:
            key = redactor, hash(content)
            known = self._redacted.get(key)
            if known is None:
                known = self._redacted[key] = digest(redactor.text(clean(content)))
                _trim(self._redacted, _REDACTED)
            stored.append(known)
        return found | frozenset(stored)

    async def _made(self, wish: Wish) -> Recollection | None:
        """The note within the deadline; None: there is none, whatever is in the way."""
        started = self._clock.monotonic()
        found = None
        if started >= self._paused_until:
            try:
                found = await self._notes.make(wish, self._deadline_s)
                self._failing_since = None
            except Exception:  # noqa: BLE001  a call without memory is better than no call
                self._failed()
        self._seconds.observe(self._clock.monotonic() - started)
        self.instruments.series("cmg_memory_recall_total", DEGRADED.status if found is None else found.status).inc()
        return found

    def _failed(self) -> None:
        now = self._clock.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        elif now - self._failing_since >= _PATIENCE_S:
            self._paused_until = now + _PAUSE_S


def _wish(scope: Scope, query: str, budget: int, present: frozenset[bytes], left_out: LeftOut | None = None) -> Wish:
    workspace_id, user_id = owner_of(scope.workspace_id, scope.user_id)
    return Wish(
        number=0,
        until=0.0,
        workspace_id=workspace_id,
        user_id=user_id,
        query=bounded(query),
        purpose=None,
        token_budget=budget,
        kinds=None,
        present=present,
        left_out=left_out,
    )


def _narrowed(wish: Wish, purpose: str | None, kinds: Sequence[str] | None) -> Wish:
    if purpose is None and kinds is None:
        return wish
    return msgspec.structs.replace(
        wish,
        purpose=None if purpose is None else bounded(purpose),
        kinds=None if kinds is None else msgspec.json.encode(list(kinds)).decode(),
    )


def _cleaned(turn: Turn) -> Turn:
    return msgspec.structs.replace(turn, content=clean(turn.content), name=turn.name and clean(turn.name))


def _encoded(batch: TurnBatch) -> bytes:
    try:
        return _encode(batch)
    except UnicodeEncodeError:  # a lone surrogate out of an escape in somebody's JSON
        turns = tuple(msgspec.structs.replace(turn, content=clean(turn.content)) for turn in batch.turns)
        named = tuple(msgspec.structs.replace(turn, name=turn.name and clean(turn.name)) for turn in turns)
        return _encode(msgspec.structs.replace(batch, turns=named))


def _trim(held: dict[Any, Any], bound: int) -> None:
    """Forget the oldest entry of a dict that is too large."""
    if len(held) > bound:
        del held[next(iter(held))]
