"""What stands in a call's note for the turns that the call leaves out."""

import asyncio
from collections.abc import Sequence

import msgspec

from cmg.kit.turns import Turn
from cmg.ledger import tokens
from cmg.memory.condensing import on_the_spot
from cmg.memory.condensing.lines import chosen
from cmg.memory.condensing.store import Summary, SummaryStore
from cmg.memory.extraction.models import Passage
from cmg.memory.models import Thread
from cmg.memory.text.note import said
from cmg.storage.database import Database


class Condensed(msgspec.Struct, frozen=True):
    """Lines of the summary, and passages that are quoted since no recall may know them yet."""

    summary: list[str]
    quotes: list[Passage]


class Condenser:
    """Reads the stored summary of a thread; while there is none, summary and quotes are made from the turns at hand."""

    def __init__(self, database: Database, budget: int) -> None:
        """`budget`: tokens of a summary."""
        self._database, self._budget = database, budget
        self._store = SummaryStore()

    async def stored(self, thread: Thread, timeout_s: float) -> Summary | None:
        """The summary that is kept; None: there is none yet. Raises `DatabaseAway`."""
        return None if thread.implicit else await self._store.of(self._database, thread, timeout_s)

    async def condensed(self, stored: Summary | None, query: str, turns: Sequence[Turn], note_tokens: int) -> Condensed:
        """The summary has its budget at most and no more than half of the note; quotes fill the rest."""
        if stored is None:
            return await asyncio.to_thread(of_turns, query, turns, note_tokens, self._budget)
        budget = min(self._budget, note_tokens // 2)
        if stored.told is not None:
            line = said("summary", None, stored.told)
            if tokens.count(line) <= budget:
                return Condensed([line], [])
        return Condensed([line.written for line in chosen(stored.lines, budget)], [])


def of_turns(query: str, turns: Sequence[Turn], note_tokens: int, budget: int) -> Condensed:
    """The same from nothing but turns (30 ms at most)."""
    told, budget = on_the_spot.looked_at(turns), min(budget, note_tokens // 2)
    summary = [line.written for line in on_the_spot.summary(told, budget)]
    return Condensed(summary, on_the_spot.quotes(told, query, note_tokens - budget))
