"""Reads and writes summaries; the only caller of this folder's SQL."""

from datetime import datetime
from typing import Any

import msgspec

from cmg.memory.condensing.lines import Line
from cmg.memory.extraction.models import Claim, Passage
from cmg.memory.models import Thread
from cmg.storage.database import Connection, Database
from cmg.storage.named_sql import load

_lines = msgspec.json.Decoder(list[Line])
_PASSAGE = Passage.__struct_fields__


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A thread's summary, read up to a place: picked lines, and `told` by a model, if one wrote it."""

    lines: list[Line] = []
    told: str | None = None
    up_to_seq: int = 0


class Unread(msgspec.Struct, frozen=True):
    """What was said behind the place that a summary was read up to: passages, their tokens, and what may change."""

    passages: list[Passage]
    tokens: int
    newest: datetime | None


class SummaryStore:
    """Summaries of threads."""

    def __init__(self) -> None:
        self._sql = load("cmg.memory.condensing")

    async def of(self, database: Database, thread: Thread, timeout_s: float) -> Summary | None:
        """The summary of a thread. Raises `DatabaseAway`."""
        row = await database.fetchrow(self._sql["summary_of"], *thread.owner, thread.thread_id, timeout_s=timeout_s)
        return None if row is None else Summary(lines=_lines.decode(row["lines"]), told=row["told"])

    async def known(self, source: Connection | Database, claim: Claim) -> Summary:
        """The summary of a claimed thread, an empty one when there is none."""
        row = await source.fetchrow(self._sql["summary_by_number"], *_key(claim))
        if row is None:
            return Summary()
        return Summary(lines=_lines.decode(row["lines"]), told=row["told"], up_to_seq=row["up_to_seq"])

    async def unread(self, database: Database, claim: Claim, behind: int, limit: int) -> Unread:
        """What was said behind a place, a bounded number."""
        rows = await database.fetch(self._sql["unsummarised"], *_key(claim), behind, limit)
        passages = [Passage(**{name: row[name] for name in _PASSAGE}) for row in rows]
        newest = max((row["recorded_at"] for row in rows), default=None)
        return Unread(passages, int(rows[0]["tokens"]) if rows else 0, newest)

    async def still(self, conn: Connection, claim: Claim, behind: int, unread: Unread) -> bool:
        """Whether nothing of it was deleted or edited since."""
        row: Any = await conn.fetchrow(self._sql["still_said"], *_key(claim), behind, unread.passages[-1].seq)
        return (row["turns"], row["newest"]) == (len(unread.passages), unread.newest)

    async def keep(self, conn: Connection, claim: Claim, summary: Summary, at: datetime) -> None:
        """Store a summary."""
        lines = msgspec.json.encode(summary.lines).decode()
        await conn.execute(self._sql["keep_summary"], *_key(claim), summary.up_to_seq, lines, summary.told, at)


def _key(claim: Claim) -> tuple[int, str]:
    return claim.thread_no, claim.thread.owner.workspace_id
