"""The background work in backstage: every passage gets its vectors, and every user the current model.

First what waits in the queue, the newest first. When that is done, users who lack vectors are found (all of them after
a change of the model) and their passages queued, so that there is one way only. A user is searched by the earlier
model until nothing is missing, then by the current one, and the earlier vectors go.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from cmg.kit.clock import Clock
from cmg.memory.embedding.embedder import Embedder, EmbeddingFailed, Model, as_text
from cmg.memory.vectors.index_store import IndexStore
from cmg.memory.vectors.store import Claimed, Embedded, Passage, VectorStore
from cmg.storage.errors import DatabaseAway
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.logs import get_logger

BATCH = 32  # passages: about a second of one core
ATTEMPTS = 3
INDEXED_FROM = 15_000  # turns of a user from which on vectors go into the index, to be there when there are very many
POLL_S = 0.25
_LEASE = timedelta(seconds=60)
_EMBED_S = 30.0
_DESCRIBE_S = 5.0
_QUEUED = 500
_INDEXED = 200
_BACKOFF_S = (0.5, 5.0)
_AGAIN = timedelta(seconds=5)
_MEASURE_S = 2.0
_log = get_logger("cmg.memory.backlog")


class _Work(NamedTuple):
    """A claim: the model, its number, the passages by `seq`, and until when they are ours."""

    model: Model
    model_no: int
    claimed: dict[int, Claimed]
    until: datetime

    def last(self, passage: Passage) -> bool:
        """Whether this is the passage's last attempt."""
        return passage.seq in self.claimed and self.claimed[passage.seq].attempts >= ATTEMPTS


class Backlog:
    """One for a machine; several machines share the queue. `wake` ends a sleep early."""

    def __init__(
        self, embedder: Embedder, store: VectorStore, indexes: IndexStore, clock: Clock, instruments: Instruments
    ) -> None:
        self._embedder, self._store, self._indexes = embedder, store, indexes
        self._clock, self._instruments = clock, instruments
        self._model: Model | None = None
        self._model_no = 0
        self._woken = asyncio.Event()
        self._measured_at = float("-inf")
        self.trouble: str | None = "the embedder has not answered yet"

    def wake(self) -> None:
        """There is something new in the queue."""
        self._woken.set()

    async def run(self) -> None:
        """Work until cancelled; whatever is away is waited for, and nothing is lost meanwhile."""
        backoff = _BACKOFF_S[0]
        while True:
            self._woken.clear()
            try:
                await self._measure()
                busy = await self.step()
            except (EmbeddingFailed, DatabaseAway) as error:
                if self.trouble is None:
                    _log.warning("passages wait for the embedder", error=str(error))
                self.trouble = str(error)
                await self._clock.sleep(backoff)
                backoff = min(backoff * 2, _BACKOFF_S[1])
                continue
            except Exception as error:  # noqa: BLE001  the queue is in the database: try again
                self.trouble = repr(error)
                _log.error("a step of the embedding failed", exc_info=error)
                await self._clock.sleep(_BACKOFF_S[1])
                continue
            backoff, self.trouble = _BACKOFF_S[0], None
            if not busy:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_S):
                        await self._woken.wait()

    async def step(self) -> bool:
        """One bounded piece of work; false when there was none. Raises `EmbeddingFailed`, `DatabaseAway`."""
        model = await self._described()
        now = self._clock.now()
        claimed = await self._store.claim(now, _LEASE, BATCH)
        if claimed:
            await self._embed(_Work(model, self._model_no, {one.seq: one for one in claimed}, now + _LEASE))
        if len(claimed) == BATCH:
            return True
        return any((claimed, await self._look_after_users(model), await self._store.index_some(_INDEXED)))

    async def _described(self) -> Model:
        """The current model, registered, with its index."""
        model = await self._embedder.describe(_DESCRIBE_S)
        if model != self._model:
            self._model_no = await self._store.register(model, self._clock.now())
            await self._indexes.ensure(model, self._model_no)
            if self._model is not None:
                self._instruments.series("cmg_memory_embedder_up", self._model.name).set(0)
            self._model = model
            _log.info("embedding with", model=model.name, dimension=model.dimension, instead_of=model.instead_of)
        return model

    # --- the queue

    async def _embed(self, work: _Work) -> None:
        found = await self._store.passages(list(work.claimed.values()), work.model_no)
        passages = [_last_try(one) if work.last(one) else one for one in found]
        # What failed before is embedded alone, so that only the culprit uses up attempts.
        alone = any(one.attempts > 1 for one in work.claimed.values())
        waiting = [[passage] for passage in passages] if alone else [passages] if passages else []
        try:
            while waiting:
                group = waiting[-1]
                try:
                    done = await self._vectors(group)
                except EmbeddingFailed as error:
                    if len(group) > 1 and error.refused:  # which of them?
                        waiting[-1:] = [group[: len(group) // 2], group[len(group) // 2 :]]
                        continue
                    if not error.refused and not error.lost:
                        raise
                    waiting.pop()
                    for passage in group:  # when it was lost, one of them may be the reason
                        await self._failed(work, passage, str(error))
                else:
                    waiting.pop()
                    await self._store.keep(done, work.model_no, INDEXED_FROM, work.until)
                    self._count("done", len(group))
        except (EmbeddingFailed, DatabaseAway):
            left = [passage.seq for group in waiting for passage in group if passage.seq in work.claimed]
            await self._give_back(work, left, blameless=True)
            raise
        gone = work.claimed.keys() - {passage.seq for passage in passages}
        if gone:  # erased since they were queued
            await self._store.forget(sorted(gone))

    async def _vectors(self, passages: Sequence[Passage]) -> list[Embedded]:
        texts = [text for one in passages for text in (one.own, one.surrounded) if text is not None]
        rows = iter(await self._embedder.embed(texts, _EMBED_S)) if texts else iter(())
        return [
            Embedded(
                one,
                None if one.own is None else as_text(next(rows)),
                None if one.surrounded is None else as_text(next(rows)),
            )
            for one in passages
        ]

    async def _failed(self, work: _Work, passage: Passage, reason: str) -> None:
        """One passage that cannot be embedded: later again, at last not at all."""
        claimed = work.claimed.get(passage.seq)
        if claimed is None:  # the window of an earlier one: it keeps the window that it has
            return
        if not work.last(passage):
            await self._give_back(work, [passage.seq], blameless=False)
            self._count("failed", 1)
            return
        await self._store.set_aside(claimed, work.model_no, reason, self._clock.now())
        self._count("set_aside", 1)
        _log.error("a passage cannot be embedded and is found by its words alone", seq=passage.seq, reason=reason)

    async def _give_back(self, work: _Work, seqs: list[int], *, blameless: bool) -> None:
        at = self._clock.now() + (timedelta() if blameless else _AGAIN)
        with contextlib.suppress(DatabaseAway):  # then the lease ends by itself
            await self._store.give_back(seqs, at, work.until, blameless=blameless)

    # --- users

    async def _look_after_users(self, model: Model) -> bool:
        """Queue what one user lacks, or let the user be searched by the current model."""
        replaced = model.instead_of is not None  # a stand-in takes nobody over from a better model
        user_no = await self._store.user_to_embed(self._model_no, only_without=replaced)
        if user_no is None:
            return not replaced and await self._retire_one()
        if await self._store.switch(user_no, self._model_no):
            if not replaced:
                await self._store.drop_others(user_no, self._model_no)
            return True
        return await self._store.enqueue_missing(user_no, self._model_no, self._clock.now(), _QUEUED) > 0

    async def _retire_one(self) -> bool:
        """Remove what is left of a model that is not used any more."""
        for model, number in (await self._store.models()).items():
            if number != self._model_no and not await self._store.in_use(number):
                count = await self._store.retire(number, self._clock.now())
                await self._indexes.drop(number)
                _log.info("an earlier embedding model is out of use", model=model.name, vectors_left=count)
                return True
        return False

    # --- figures

    async def _measure(self) -> None:
        now = self._clock.monotonic()
        if now - self._measured_at < _MEASURE_S:
            return
        self._measured_at = now
        if self._model is not None:
            self._instruments.series("cmg_memory_embedder_up", self._model.name).set(self.trouble is None)
        waiting = await self._store.waiting()
        age_s = 0.0 if waiting.oldest is None else (self._clock.now() - waiting.oldest).total_seconds()
        self._instruments.series("cmg_memory_embedding_entries_waiting").set(waiting.passages)
        self._instruments.series("cmg_memory_embedding_age_seconds").set(max(0.0, age_s))

    def _count(self, outcome: str, count: int) -> None:
        self._instruments.series("cmg_memory_passages_embedded_total", outcome).inc(count)


def _last_try(passage: Passage) -> Passage:
    """Without its window: what was refused may be a neighbour."""
    return msgspec.structs.replace(passage, surrounded=None)
