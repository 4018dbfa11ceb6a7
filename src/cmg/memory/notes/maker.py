"""Makes a note: the passages that answer a question, as lines that fit the budget, oldest first."""

import asyncio
import os
from collections.abc import Collection, Sequence

import msgspec

from cmg.kit.clock import Clock
from cmg.kit.turns import Recollection
from cmg.ledger import tokens
from cmg.memory.condensing.condenser import Condensed, Condenser, of_turns
from cmg.memory.models import Filters, Hit, Owner, Thread, UserOfAnotherKey
from cmg.memory.notes.messages import LeftOut, Wish, digest, digests
from cmg.memory.notes.turns import NewestFirst
from cmg.memory.notes.unstored import Reader
from cmg.memory.packing import pack
from cmg.memory.ranking.finder import NO_FILTERS, Finder, Wanted
from cmg.memory.recent import RecentWriters
from cmg.memory.text.note import frame_tokens, line, note, note_for, said

NOTE_FLOOR = 0.4  # of the best score: what is injected costs tokens on every call, so weak matches stay out
NOTE_LINES = 64
# So many are made at the same time; more would only make each slower until none is done within its deadline.
MADE_AT_ONCE = max(4, 2 * (os.cpu_count() or 1))
_SPARE = 1.2  # more than the budget is fetched: repeated contents and those in the request fall out
_SPARE_TOKENS = 100
NOTHING = Recollection(None, 0, 0, "ok")
OF_ANOTHER_KEY = Recollection(None, 0, 0, "other_key")


class NoteMaker:
    """Makes the notes of one process."""

    def __init__(self, finder: Finder, recent: RecentWriters, condenser: Condenser, clock: Clock) -> None:
        self._finder, self._recent, self._condenser, self._coming = finder, recent, condenser, Reader(clock)
        self._turns = NewestFirst(MADE_AT_ONCE)

    async def make(self, wish: Wish, timeout_s: float) -> Recollection:
        """The note; the user's own last turn may be in it, if it came with the wish or is in the database in time.

        Raises `DatabaseAway`, `TimeoutError`.
        """
        room = wish.token_budget - frame_tokens()
        if room <= 0:
            return NOTHING
        until = asyncio.get_running_loop().time() + timeout_s
        async with asyncio.timeout_at(until):
            if wish.coming:
                found = await self._in_turn(wish, room, until)
                if found is not NOTHING or self._finder.knows(_owner(wish)):
                    return found
                wish = msgspec.structs.replace(wish, coming=())  # it is all that was ever said
            await self._recent.settle(_owner(wish))  # meanwhile others' notes are made
            return await self._in_turn(wish, room, until)

    async def _in_turn(self, wish: Wish, room: int, until: float) -> Recollection:
        async with self._turns:
            return await self._made(wish, room, until - asyncio.get_running_loop().time())

    async def _made(self, wish: Wish, room: int, timeout_s: float) -> Recollection:
        try:
            if wish.left_out is not None:
                return await self._standing_for(wish, wish.left_out, timeout_s)
            return _noted(await self._found(wish, room, timeout_s), room, wish.present)
        except UserOfAnotherKey:
            return OF_ANOTHER_KEY

    async def _standing_for(self, wish: Wish, left_out: LeftOut, timeout_s: float) -> Recollection:
        """The note that stands for what a call leaves out: a summary, and what was recalled."""
        thread = Thread(_owner(wish), left_out.thread_id, left_out.implicit)
        stored, hits = await asyncio.gather(
            self._condenser.stored(thread, timeout_s), self._found(wish, wish.token_budget, timeout_s)
        )
        condensed = await self._condenser.condensed(stored, wish.query, left_out.turns, wish.token_budget)
        return _condensed(wish, left_out, condensed, hits)

    async def _found(self, wish: Wish, room: int, timeout_s: float) -> list[Hit]:
        """What may stand in a note of so many tokens, best first."""
        wanted = Wanted(
            owner=_owner(wish),
            query=wish.query,
            purpose=wish.purpose,
            limit=NOTE_LINES,
            token_budget=int(room * _SPARE) + _SPARE_TOKENS,
            floor=NOTE_FLOOR,
            filters=NO_FILTERS if wish.kinds is None else Filters(kinds=wish.kinds),
            key_id=wish.key_id,
        )
        return await self._finder.find(wanted, timeout_s, self._coming.read(wish.coming))


def made_of_turns(wish: Wish, left_out: LeftOut, summary_tokens: int) -> Recollection:
    """A note that stands for what a call leaves out, from nothing but its turns: where no memory answers."""
    if wish.token_budget <= frame_tokens():
        return Recollection(None, 0, 0, "degraded")
    condensed = of_turns(wish.query, left_out.turns, wish.token_budget, summary_tokens)
    return msgspec.structs.replace(_condensed(wish, left_out, condensed, []), status="degraded")


def _owner(wish: Wish) -> Owner:
    return Owner(wish.workspace_id, wish.user_id)


def _noted(hits: Sequence[Hit], room: int, present: Collection[bytes]) -> Recollection:
    """The note of the hits that fit, oldest first."""
    taken = pack(_new(hits, present), _note_tokens, token_budget=room, max_items=NOTE_LINES)
    if not taken:
        return NOTHING
    taken.sort(key=_when)
    size = frame_tokens() + sum(hit.note_tokens for hit in taken)
    return Recollection(note([_line(hit) for hit in taken]), len(taken), size, "ok", _ids(taken))


def _condensed(wish: Wish, left_out: LeftOut, condensed: Condensed, hits: Sequence[Hit]) -> Recollection:
    """The summary, then what the left out turns say themselves, then what was recalled, while there is room."""
    lines = [said(one.role, one.name, one.content) for one in condensed.quotes]
    while lines and tokens.count(note_for(left_out.messages, condensed.summary, lines)) > wish.token_budget:
        lines.pop()  # the least fitting: the frame takes its part too
    room = wish.token_budget - tokens.count(note_for(left_out.messages, condensed.summary, lines))
    present = wish.present | digests([one.content for one in condensed.quotes[: len(lines)]])
    taken = pack(_new(hits, present), _note_tokens, token_budget=room, max_items=NOTE_LINES - len(lines))
    taken.sort(key=_when)
    text = note_for(left_out.messages, condensed.summary, [*lines, *map(_line, taken)])
    return Recollection(text, len(lines) + len(taken), tokens.count(text), "ok", _ids(taken))


def _new(hits: Sequence[Hit], present: Collection[bytes]) -> Sequence[Hit]:
    """What the request does not hold already."""
    return [hit for hit in hits if digest(hit.content) not in present] if present else hits


def _ids(hits: Sequence[Hit]) -> tuple[bytes, ...]:
    return tuple(bytes.fromhex(hit.id.replace("-", "")) for hit in hits)


def _note_tokens(hit: Hit) -> int:
    return hit.note_tokens


def _when(hit: Hit) -> tuple[float, int]:
    return hit.created_at, hit.seq


def _line(hit: Hit) -> str:
    return line(hit.role, hit.name, hit.created_at, None if hit.implicit else hit.thread_id, hit.content)
