"""The tables of vectors and of what waits for one; the only caller of this room's SQL."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from cmg.memory.embedding.embedder import Model
from cmg.memory.vectors.windows import Spoken, window
from cmg.storage.database import Database
from cmg.storage.named_sql import load

COUNTED = 100_000  # the queue's length is known up to here
_DROPPED = 1000
_WRITE_S = 30.0


class Claimed(NamedTuple):
    """A passage of the queue; `attempts` counts this one."""

    user_no: int
    seq: int
    attempts: int


class Passage(msgspec.Struct, frozen=True):
    """A passage and the texts to embed. `own` None: only its window changed; `surrounded` None: it has no window."""

    user_no: int
    seq: int
    seq_after: int
    own: str | None
    surrounded: str | None


class Embedded(NamedTuple):
    """A passage with its vectors as pgvector's texts."""

    passage: Passage
    own: str | None
    surrounded: str | None


class Waiting(NamedTuple):
    """How many passages wait (at most `COUNTED`), and since when the oldest."""

    passages: int
    oldest: datetime | None


class Expected(NamedTuple):
    """A user who will probably be asked for, with so many turns."""

    user_no: int
    turns: int


class VectorStore:
    """Reads and writes vectors. Every method raises `DatabaseAway`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = load("cmg.memory.vectors")

    # --- the queue

    async def claim(self, now: datetime, lease: timedelta, limit: int) -> list[Claimed]:
        """Take the newest waiting passages for a while."""
        rows = await self._database.fetch(self._sql["claim"], now, now + lease, limit)
        return [Claimed(*row) for row in rows]

    async def give_back(self, seqs: Sequence[int], at: datetime, leased_until: datetime, *, blameless: bool) -> None:
        """Let passages that are still ours be tried again from a moment."""
        await self._database.execute(self._sql["give_back"], seqs, at, leased_until, blameless)

    async def set_aside(self, passage: Claimed, model_no: int, reason: str, at: datetime) -> None:
        """Take a refused passage out of the queue."""
        await self._database.execute(self._sql["set_aside"], passage.user_no, passage.seq, model_no, reason[:500], at)

    async def forget(self, seqs: Sequence[int]) -> None:
        """Take erased passages out of the queue."""
        await self._database.execute(self._sql["forget"], seqs)

    async def waiting(self) -> Waiting:
        """The queue's length and age."""
        row = await self._database.fetchrow(self._sql["waiting"], COUNTED)
        return Waiting(row["count"], row["oldest"])

    async def passages(self, claimed: Sequence[Claimed], model_no: int) -> list[Passage]:
        """What to embed for these, and for the passages whose windows they change; erased ones are missing."""
        rows = await self._database.fetch(
            self._sql["surroundings"], [one.user_no for one in claimed], [one.seq for one in claimed], model_no
        )
        found = []
        for row in rows:
            own = Spoken(row["name"], row["content"])
            before = None if row["content_before"] is None else Spoken(row["name_before"], row["content_before"])
            after = None if row["content_after"] is None else Spoken(row["name_after"], row["content_after"])
            text = str(own) if row["given"] else None
            found.append(Passage(row["user_no"], row["seq"], row["seq_after"], text, window(before, own, after)))
        return found

    async def keep(
        self, embedded: Sequence[Embedded], model_no: int, indexed_from: int, leased_until: datetime
    ) -> None:
        """Store vectors; users with `indexed_from` turns get theirs indexed from now on.

        What was changed since it was claimed stays in the queue.
        """
        users = sorted({one.passage.user_no for one in embedded})
        async with self._database.transaction(_WRITE_S) as conn:
            await conn.fetch(self._sql["hold_users"], users)
            await conn.execute(
                self._sql["keep_vectors"],
                model_no,
                [one.passage.user_no for one in embedded],
                [one.passage.seq for one in embedded],
                [one.own for one in embedded],
                [one.surrounded for one in embedded],
                [one.passage.seq_after for one in embedded],
                leased_until,
            )
            await conn.execute(self._sql["begin_indexing"], users, indexed_from)

    # --- users who lack vectors

    async def user_to_embed(self, model_no: int, *, only_without: bool) -> int | None:
        """A user who may lack vectors of a model; `only_without`: who is not searched by another model."""
        found: int | None = await self._database.fetchval(self._sql["user_to_embed"], model_no, only_without)
        return found

    async def enqueue_missing(self, user_no: int, model_no: int, now: datetime, limit: int) -> int:
        """Queue the newest passages that a user lacks; returns how many are new in the queue."""
        seqs = await self._missing(user_no, model_no, limit)
        done = await self._database.execute(self._sql["enqueue"], user_no, seqs, now, timeout_s=_WRITE_S)
        return _rows(done)

    async def switch(self, user_no: int, model_no: int) -> bool:
        """Search a user by a model from now on, if nothing is missing; returns whether."""
        async with self._database.transaction(_WRITE_S) as conn:
            await conn.fetch(self._sql["hold_users"], [user_no])
            if await conn.fetch(self._sql["missing"], user_no, model_no, 1):
                return False
            await conn.execute(self._sql["switch_user"], user_no, model_no)
        return True

    async def drop_others(self, user_no: int, model_no: int) -> int:
        """Delete a user's vectors of other models; returns how many."""
        return await self._dropped("drop_user_vectors", user_no, model_no)

    async def _missing(self, user_no: int, model_no: int, limit: int) -> list[int]:
        rows = await self._database.fetch(self._sql["missing"], user_no, model_no, limit, timeout_s=_WRITE_S)
        return [row["seq"] for row in rows]

    # --- users with many turns

    async def index_some(self, limit: int) -> bool:
        """Move some older vectors of a user into the index; returns whether there was anything to do."""
        user_no = await self._database.fetchval(self._sql["user_being_indexed"])
        if user_no is None:
            return False
        done = await self._database.execute(self._sql["index_vectors"], user_no, limit, timeout_s=_WRITE_S)
        if not _rows(done):
            await self._database.execute(self._sql["end_indexing"], user_no)
        return True

    # --- models

    async def register(self, model: Model, now: datetime) -> int:
        """The number of a model, which is the current one from now on."""
        return int(await self._database.fetchval(self._sql["register_model"], model.name, model.dimension, now))

    async def models(self) -> dict[Model, int]:
        """The models in use and their numbers, the latest first."""
        rows = await self._database.fetch(self._sql["models"])
        return {Model(row["name"], row["dimension"]): row["model_no"] for row in rows}

    async def in_use(self, model_no: int) -> bool:
        """Whether any user is searched by a model."""
        return bool(await self._database.fetchval(self._sql["model_in_use"], model_no))

    async def retire(self, model_no: int, now: datetime) -> int:
        """Delete what is left of a model that nobody is searched by; returns how many vectors."""
        count = await self._dropped("drop_model_vectors", model_no)
        await self._database.execute(self._sql["retire_model"], model_no, now)
        return count

    # --- after a start

    async def expected(self, since: datetime, share: float) -> list[Expected]:
        """Who said something last, as many as fit in a `share` of the server's memory.

        Nobody where it started before `since`.
        """
        rows = await self._database.fetch(self._sql["expected_users"], since, share, timeout_s=_WRITE_S)
        return [Expected(*row) for row in rows]

    async def read(self, users: Sequence[int]) -> None:
        """Have the server read all turns and vectors of these users."""
        for name in ("read_turns", "read_vectors"):
            await self._database.fetchval(self._sql[name], users, timeout_s=_WRITE_S)

    async def _dropped(self, query: str, *args: int) -> int:
        total, count = 0, _DROPPED
        while count == _DROPPED:
            count = _rows(await self._database.execute(self._sql[query], *args, _DROPPED, timeout_s=_WRITE_S))
            total += count
        return total


def _rows(done: str) -> int:
    return int(done.rpartition(" ")[2])
