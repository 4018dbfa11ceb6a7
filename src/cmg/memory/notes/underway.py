"""What a gateway has journalled and the drain not stored yet: a user's next note need not wait until it is."""

from collections import deque

import msgspec

from cmg.memory.models import Owner, TurnBatch, walled
from cmg.memory.recent import RecentWriters
from cmg.memory.text.cleaning import clean
from cmg.memory.text.redaction import Redactor

MOST = 256  # batches that are held; the drain stores hundreds at once
CHARACTERS = 16000  # of one user's: more is waited for
MUCH = 6000  # of one user's: the drain shall not rest any longer


class _Kept:
    """A batch, and as it is stored: it goes along with each wish of its user."""

    def __init__(self, position: int, owner: Owner, batch: TurnBatch) -> None:
        self.position, self.owner, self.batch = position, owner, batch
        self._stored: tuple[Redactor, TurnBatch] | None = None

    def stored(self, redactor: Redactor) -> TurnBatch:
        if self._stored is None or self._stored[0] is not redactor:
            self._stored = redactor, _redacted(self.batch, redactor)
        return self._stored[1]


class Underway:
    """Holds at most `MOST` batches of one worker's journal until they are stored."""

    def __init__(self, recent: RecentWriters) -> None:
        self._recent = recent
        self._kept: deque[_Kept] = deque()
        self._gap = 0  # what lies before this position may not be held

    def keep(self, owner: Owner, batch: TurnBatch | None, position: int) -> None:
        """A batch is in the journal, before `position`; None: one that is not `short`."""
        drained = self._recent.drained
        while self._kept and self._kept[0].position <= drained:
            self._kept.popleft()
        if batch is None:
            self._gap = position
            return
        if len(self._kept) >= MOST:
            self._gap = self._kept.popleft().position
        self._kept.append(_Kept(position, owner, batch))

    def of(self, owner: Owner, key_id: str | None, redactor: Redactor) -> tuple[TurnBatch, ...]:
        """A user's batches as they will be stored; none where there are none, or more may be on its way than these.

        `key_id`: the key that asks, where it reads its own users alone.
        """
        last, drained = self._recent.own(owner), self._recent.drained
        if last is None or last <= drained or self._gap > drained:
            return ()
        mine = [one for one in self._kept if one.owner == owner and one.position > drained]
        size = sum(_size(one.batch) for one in mine)
        if size > MUCH:
            self._recent.hasten()
        if not mine or mine[-1].position != last or size > CHARACTERS:
            return ()
        return tuple(one.stored(redactor) for one in mine if not walled(key_id, one.batch.key_id))

    def forget(self) -> None:
        """Somebody was erased: hold nothing of what is on its way now."""
        if self._kept:
            self._gap = self._kept[-1].position
            self._kept.clear()


def short(batch: TurnBatch) -> bool:
    """Whether a batch may be held."""
    return _size(batch) <= CHARACTERS


def _size(batch: TurnBatch) -> int:
    return sum(len(turn.content) for turn in batch.turns)


def _redacted(batch: TurnBatch, redactor: Redactor) -> TurnBatch:
    def text(given: str) -> str:
        return redactor.text(clean(given))

    turns = tuple(
        msgspec.structs.replace(turn, content=text(turn.content), name=turn.name and text(turn.name))
        for turn in batch.turns
    )
    return msgspec.structs.replace(batch, turns=turns)
