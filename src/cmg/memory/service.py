"""What the gateway knows of the memory: recall before a call, remember after it."""

import asyncio
import contextlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from cmg.config import MemorySettings
from cmg.kit.clock import Clock
from cmg.kit.turns import NOTE_MARK, MemoryStatus, Recollection, Scope, Turn
from cmg.memory.embedding.query_embedder import QueryEmbedder
from cmg.memory.models import KEPT_ROLES, Filters, Hit, KeptTurn, Owner, TurnBatch, owner_of, thread_of
from cmg.memory.packing import pack
from cmg.memory.ranking.finder import NO_FILTERS, Finder, Wanted
from cmg.memory.recent import RecentWriters
from cmg.memory.text.cleaning import clean
from cmg.memory.text.note import frame_tokens, line, note
from cmg.memory.turn_sink import TURNS
from cmg.storage.database import Database
from cmg.storage.errors import DatabaseAway
from cmg.telemetry.instruments import Instruments

NOTE_FLOOR = 0.3  # of the best score: what is injected costs tokens on every call, so weak matches stay out
NOTE_LINES = 64
_OWN_WRITES_S = 0.1  # how long a recall waits for the user's own last turn
_LOOK_S = 0.002  # the first pause; each is longer than the one before, or a slow database would cost us looks
_LOOK_LONGER = 1.5
_HEADS = 16_384  # histories whose turns are known to be journalled
_UNCONFIRMED = 1024
_WARM_S = 5.0
_PATIENCE_S, _PAUSE_S = 2.0, 1.0  # when nothing has come back for so long, recall is not tried for a moment
_SPARE = 1.2  # more than the budget is fetched: repeated contents and those in the request fall out
_SPARE_TOKENS = 100
NOTHING = Recollection(None, 0, 0, "ok")
DEGRADED = Recollection(None, 0, 0, "degraded")
_encode = msgspec.msgpack.Encoder().encode


class Journalled(Protocol):
    """What is needed of the worker's journal."""

    @property
    def folder(self) -> Path:
        """Its folder in the spool."""
        ...


class MemoryService:
    """Recall and remember for one gateway process. All that it holds between calls is bounded."""

    def __init__(
        self,
        database: Database,
        journal: Journalled,
        settings: MemorySettings,
        clock: Clock,
        instruments: Instruments,
        questions: QueryEmbedder | None = None,
    ) -> None:
        """`questions` gives vectors; None: recall goes by words alone."""
        self._recent = RecentWriters(journal.folder)
        self._clock, self._instruments = clock, instruments
        self.settings = settings
        self.token_budget = settings.token_budget  # of a note when nobody says
        self._deadline_s = settings.recall_deadline_ms / 1000
        self._finder = Finder(database, questions, clock, self._deadline_s / 2)
        self._heads: dict[int, None] = {}
        self._unconfirmed: dict[Scope, int] = {}
        self._failing_since: float | None = None
        self._paused_until = 0.0
        frame_tokens()  # loads the vocabulary now: the first call must not wait for it
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
        started = self._clock.monotonic()
        if started < self._paused_until:
            return self._recalled(DEGRADED, started)
        budget = self.token_budget if token_budget is None else token_budget
        narrow = NO_FILTERS if kinds is None else Filters(kinds=msgspec.json.encode(list(kinds)).decode())
        try:
            async with asyncio.timeout(self._deadline_s):
                owner = owner_of(scope.workspace_id, scope.user_id)
                hits = await self._for_note(owner, (query, purpose), budget, narrow)
            found = _noted(hits, budget, present)
        except Exception:  # noqa: BLE001  a call without memory is better than no call
            self._failed()
            return self._recalled(DEGRADED, started)
        self._failing_since = None
        return self._recalled(found, started)

    async def find(self, wanted: Wanted, timeout_s: float) -> list[Hit]:
        """The hits of a search, best first. Raises `DatabaseAway`."""
        await self._own_writes(wanted.owner)
        return await self._finder.find(wanted, timeout_s)

    async def settle(self, owner: Owner) -> None:
        """Wait a moment until the user's last turn is in the database, whichever worker of this machine took it."""
        await self._own_writes(owner)

    async def warm_up(self, connections: int) -> None:
        """Have the first recalls as fast as every later one; while the database is away they are not."""
        with contextlib.suppress(DatabaseAway):
            await self._finder.warm_up(connections, _WARM_S)

    def remember(self, scope: Scope, turns: Sequence[Turn]) -> list[tuple[str, bytes]]:
        """What the journal has to keep of these turns: the request's messages in order, then the answer.

        Quick and without I/O. Only what users and assistants said is kept, and nothing that carries an injected note.
        Of an unnamed thread only the new messages and the answer are; of a named one all that this process has not
        seen journalled, since a client sends the whole history again with each call.
        """
        said = [turn for turn in turns if turn.role in KEPT_ROLES and turn.content and NOTE_MARK not in turn.content]
        if scope.implicit:
            said = _latest(said)
        kept = self._unseen(scope, said)
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
        )
        self._instruments.series("cmg_memory_turns_total", "chat", "journalled").inc(len(kept))
        return [(TURNS, _encoded(batch))]

    def journalled(self, scope: Scope, position: int) -> None:
        """The records of the last `remember` for this scope are in the journal, up to `position`."""
        self._recent.wrote(owner_of(scope.workspace_id, scope.user_id), position)
        head = self._unconfirmed.pop(scope, None)
        if head is not None:
            self._heads.pop(head, None)
            self._heads[head] = None
            _trim(self._heads, _HEADS)

    async def _for_note(self, owner: Owner, asked: tuple[str, str | None], budget: int, filters: Filters) -> list[Hit]:
        room = budget - frame_tokens()
        if room <= 0:
            return []
        wanted = Wanted(
            owner=owner,
            query=asked[0],
            purpose=asked[1],
            limit=NOTE_LINES,
            token_budget=int(room * _SPARE) + _SPARE_TOKENS,
            floor=NOTE_FLOOR,
            filters=filters,
        )
        return await self.find(wanted, self._deadline_s)

    async def _own_writes(self, owner: Owner) -> None:
        """Wait a moment until the user's last turn, of whichever worker of this machine, is in the database."""
        waited, pause = 0.0, _LOOK_S
        while self._recent.waiting(owner) and waited < _OWN_WRITES_S:
            await asyncio.sleep(pause)
            waited += pause
            pause *= _LOOK_LONGER

    def _unseen(self, scope: Scope, said: Sequence[Turn]) -> list[KeptTurn]:
        """The turns behind the longest known history, each with how often the same was said before it."""
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
        if kept and not scope.implicit:
            self._unconfirmed[scope] = head
            _trim(self._unconfirmed, _UNCONFIRMED)
        return kept

    def _failed(self) -> None:
        now = self._clock.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        elif now - self._failing_since >= _PATIENCE_S:
            self._paused_until = now + _PAUSE_S

    def _recalled(self, found: Recollection, started: float) -> Recollection:
        self._seconds.observe(self._clock.monotonic() - started)
        self._instruments.series("cmg_memory_recall_total", found.status).inc()
        return found


def _noted(hits: Sequence[Hit], budget: int, present: Collection[str]) -> Recollection:
    """The note of the hits that fit, oldest first."""
    taken = pack(hits, _note_tokens, token_budget=budget - frame_tokens(), max_items=NOTE_LINES, present=present)
    if not taken:
        return NOTHING
    taken.sort(key=_when)
    lines = [_line(hit) for hit in taken]
    status: MemoryStatus = "ok"
    return Recollection(note(lines), len(taken), frame_tokens() + sum(hit.note_tokens for hit in taken), status)


def _note_tokens(hit: Hit) -> int:
    return hit.note_tokens


def _when(hit: Hit) -> tuple[float, int]:
    return hit.created_at, hit.seq


def _line(hit: Hit) -> str:
    return line(hit.role, hit.name, hit.created_at, None if hit.implicit else hit.thread_id, hit.content)


def _latest(said: list[Turn]) -> list[Turn]:
    """The answer and what was said since the assistant spoke before it."""
    before = len(said) - 1 if said and said[-1].role == "assistant" else len(said)
    first = next((place for place in range(before, 0, -1) if said[place - 1].role == "assistant"), 0)
    return said[first:]


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
