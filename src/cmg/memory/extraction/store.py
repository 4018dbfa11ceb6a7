"""The SQL of the extraction's queue."""

from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta

from cmg.memory.extraction.models import Claim, Passage
from cmg.memory.models import Owner, Thread
from cmg.storage.database import Connection, Database
from cmg.storage.named_sql import load

_LONGEST_S = 60.0  # a conversation without a pause is read after so long


class ExtractionStore:
    """Reads and writes which threads are to be read, and how far they were."""

    def __init__(self) -> None:
        self._sql = load("cmg.memory.extraction")

    async def queue(self, conn: Connection, threads: Collection[tuple[int, str]], at: datetime, delay_s: float) -> None:
        """Threads (number, workspace) have new turns; in the transaction that stores the turns."""
        numbers, workspaces = zip(*threads, strict=True)
        due = at + timedelta(seconds=delay_s)
        longest = max(_LONGEST_S, delay_s)
        await conn.execute(self._sql["queue_extractions"], list(numbers), list(workspaces), at, due, longest)

    async def claim(
        self, database: Database, now: datetime, lease_s: float, limit: int, *, begun: bool = False
    ) -> list[Claim]:
        """Threads to work on until the lease ends; `begun`: which somebody has worked on before and not ended."""
        until = now + timedelta(seconds=lease_s)
        rows = await database.fetch(self._sql["claim_extractions"], now, until, limit, begun)
        return [
            Claim(
                thread_no=row["thread_no"],
                thread=Thread(Owner(row["workspace_id"], row["user_id"]), row["thread_id"], row["implicit"]),
                extracted_seq=row["extracted_seq"],
                wanted=row["wanted"],
                attempts=row["attempts"],
            )
            for row in rows
        ]

    async def unread(self, database: Database, claims: Sequence[Claim], limit: int) -> list[list[Passage]]:
        """What was said in each thread and not read yet, in order."""
        places = [claim.extracted_seq for claim in claims]
        rows = await database.fetch(self._sql["unread_passages"], *_keys(claims), places, limit)
        found: dict[int, list[Passage]] = {claim.thread_no: [] for claim in claims}
        for row in rows:
            told = dict(row)
            found[told.pop("thread_no")].append(Passage(**told))
        return [found[claim.thread_no] for claim in claims]

    async def exists(self, conn: Connection, claim: Claim) -> bool:
        """Whether the thread is still there; its user is held by the transaction."""
        return await conn.fetchval(self._sql["thread_exists"], *_key(claim)) is not None

    async def ended(
        self, conn: Connection, claims: Sequence[Claim], seqs: Sequence[int], now: datetime, *, more: bool = False
    ) -> None:
        """Threads were read up to a place each: give them back; there is nothing left to read, or more."""
        await conn.execute(self._sql["read_up_to"], *_keys(claims), list(seqs))
        if not more:
            wanted = [claim.wanted for claim in claims]
            done = await conn.execute(self._sql["end_extractions"], *_keys(claims), wanted)
            if done == f"DELETE {len(claims)}":
                return
        await conn.execute(self._sql["go_on_later"], *_keys(claims), now)

    async def failed(
        self, database: Database, claim: Claim, due: datetime, given_up_at: datetime | None, error: str
    ) -> None:
        """An attempt failed."""
        await database.execute(self._sql["try_again_later"], *_key(claim), due, given_up_at, error)

    async def backlog(self, database: Database) -> tuple[int, datetime | None]:
        """(threads that wait, since when the oldest does)."""
        row = await database.fetchrow(self._sql["extraction_backlog"])
        return row["waiting"], row["oldest"]

    async def purge_failed(self, database: Database, before: datetime) -> None:
        """Forget threads that were given up long ago, and what facts cost then."""
        await database.execute(self._sql["purge_failed_extractions"], before, timeout_s=60)
        await database.execute(self._sql["purge_extraction_costs"], before.date(), timeout_s=60)

    async def spent(self, database: Database, workspace_id: str, day: date) -> int:
        """What a workspace's facts have cost on a day, in nano-USD."""
        return int(await database.fetchval(self._sql["extraction_spent"], workspace_id, day))

    async def spend(self, database: Database, workspace_id: str, day: date, nano: int) -> None:
        """A model was asked."""
        await database.execute(self._sql["add_extraction_cost"], workspace_id, day, nano)


def _key(claim: Claim) -> tuple[int, str]:
    return claim.thread_no, claim.thread.owner.workspace_id


def _keys(claims: Sequence[Claim]) -> tuple[list[int], list[str]]:
    return [claim.thread_no for claim in claims], [claim.thread.owner.workspace_id for claim in claims]
