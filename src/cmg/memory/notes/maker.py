"""Makes a note: the passages that answer a question, as lines that fit the budget, oldest first."""

from collections.abc import Collection, Sequence

from cmg.kit.turns import MemoryStatus, Recollection
from cmg.memory.models import Filters, Hit, Owner
from cmg.memory.notes.messages import Wish, digest
from cmg.memory.packing import pack
from cmg.memory.ranking.finder import NO_FILTERS, Finder, Wanted
from cmg.memory.recent import RecentWriters
from cmg.memory.text.note import frame_tokens, line, note

NOTE_FLOOR = 0.3  # of the best score: what is injected costs tokens on every call, so weak matches stay out
NOTE_LINES = 64
_SPARE = 1.2  # more than the budget is fetched: repeated contents and those in the request fall out
_SPARE_TOKENS = 100
NOTHING = Recollection(None, 0, 0, "ok")


class NoteMaker:
    """Makes the notes of one process."""

    def __init__(self, finder: Finder, recent: RecentWriters) -> None:
        self._finder, self._recent = finder, recent

    async def make(self, wish: Wish, timeout_s: float) -> Recollection:
        """The note, with the user's own last turn in it if that is in the database in time. Raises `DatabaseAway`."""
        room = wish.token_budget - frame_tokens()
        if room <= 0:
            return NOTHING
        owner = Owner(wish.workspace_id, wish.user_id)
        wanted = Wanted(
            owner=owner,
            query=wish.query,
            purpose=wish.purpose,
            limit=NOTE_LINES,
            token_budget=int(room * _SPARE) + _SPARE_TOKENS,
            floor=NOTE_FLOOR,
            filters=NO_FILTERS if wish.kinds is None else Filters(kinds=wish.kinds),
        )
        await self._recent.settle(owner)
        return _noted(await self._finder.find(wanted, timeout_s), room, wish.present)


def _noted(hits: Sequence[Hit], room: int, present: Collection[bytes]) -> Recollection:
    """The note of the hits that fit, oldest first."""
    new = [hit for hit in hits if digest(hit.content) not in present] if present else hits
    taken = pack(new, _note_tokens, token_budget=room, max_items=NOTE_LINES)
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
