"""The SQL of the extraction's queue."""

from collections.abc import Collection
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

    async def claim(self, database: Database, now: datetime, lease_s: float, limit: int) -> list[Claim]:
        """Threads to work on until the lease ends."""
        rows = await database.fetch(self._sql["claim_extractions"], now, now + timedelta(seconds=lease_s), limit)
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

    async def unread(self, database: Database, claim: Claim, limit: int) -> list[Passage]:
        """What was said in a thread and not read yet, in order."""
        args = (*_key(claim), claim.extracted_seq, limit)
        return [Passage(**dict(row)) for row in await database.fetch(self._sql["unread_passages"], *args)]

    async def exists(self, conn: Connection, claim: Claim) -> bool:
        """Whether the thread is still there; its user is held by the transaction."""
        return await conn.fetchval(self._sql["thread_exists"], *_key(claim)) is not None

    async def read(self, conn: Connection, claim: Claim, seq: int) -> None:
        """The thread was read up to a place."""
        await conn.execute(self._sql["read_up_to"], *_key(claim), seq)

    async def end(self, conn: Connection, claim: Claim, now: datetime, *, more: bool) -> None:
        """Give a thread back: there is nothing left to read, or more."""
        if not more:
            done = await conn.execute(self._sql["end_extraction"], *_key(claim), claim.wanted)
            if done.endswith(" 1"):
                return
        await conn.execute(self._sql["go_on_later"], *_key(claim), now)

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
