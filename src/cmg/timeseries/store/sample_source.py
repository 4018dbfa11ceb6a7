"""What queries read: the present from the head, the past from the chunks, joined without seams."""

import asyncio
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cmg.storage.errors import DatabaseAway
from cmg.timeseries.errors import ExecutionError, SourceAway
from cmg.timeseries.promql.budget import MOST_CELLS, TOO_MANY
from cmg.timeseries.promql.needs import Need
from cmg.timeseries.samples import Samples, Times, Values
from cmg.timeseries.store.chunk_store import ChunkStore, Imports, Stored
from cmg.timeseries.store.chunks import DAY_MS, WEEK_MS, DamagedChunk, decode
from cmg.timeseries.store.head import Head
from cmg.timeseries.store.index import Selection, SeriesIndex

_REFRESH_S = 0.25


class SampleSource:
    """Samples of selectors, and the index of what there is."""

    def __init__(self, head: Head, index: SeriesIndex, store: ChunkStore) -> None:
        self.index = index
        self._head, self._store = head, store
        self._imports = Imports(-1, 0)
        self._refreshing: asyncio.Task[None] | None = None

    async def select(self, wanted: Sequence[Need]) -> Mapping[Need, Samples]:
        """The samples of every need. Raises `SourceAway`, `ExecutionError`."""
        try:
            await self._refreshed_soon()
        except DatabaseAway as error:
            if any(need.after_ms < self._head.floor_ms for need in wanted):
                raise SourceAway(f"older samples cannot be read: {error}") from error
        found: dict[Need, Samples] = {}
        room = MOST_CELLS
        try:
            for need in dict.fromkeys(wanted):
                found[need] = await self._samples(need, room)
                room -= len(found[need].times)
                if room < 0:
                    raise ExecutionError(TOO_MANY)
        except DatabaseAway as error:
            raise SourceAway(f"older samples cannot be read: {error}") from error
        return found

    async def _refreshed_soon(self) -> None:
        """Refresh, and wait for a quarter of a second at most: rules are to be evaluated with a slow database as well.

        What takes longer goes on beside, one at a time; until then queries know the series they knew. Raises
        `DatabaseAway`.
        """
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self.refresh())
            self._refreshing.add_done_callback(_looked_at)
        done, _ = await asyncio.wait({self._refreshing}, timeout=_REFRESH_S)
        for task in done:
            task.result()

    async def refresh(self) -> None:
        """Learn of series that an import brought. Raises `DatabaseAway`."""
        imports = await self._store.imports()
        if imports != self._imports:
            for number, labels in (await self._store.series()).items():
                self.index.add(number, labels)
            self._imports = imports

    async def _samples(self, need: Need, room: int) -> Samples:
        selection = self.index.select(need.matchers)
        recent = self._recent(selection, need)
        # An import may have brought samples of a time that the head covers too.
        until = need.until_ms if self._imports.last_ms > self._head.floor_ms else self._head.floor_ms
        if need.after_ms >= until or not len(selection.numbers):
            return recent
        asked = (selection.numbers.tolist(), need.after_ms, min(until, need.until_ms))
        if await self._store.samples_between(*asked) > room:
            raise ExecutionError(TOO_MANY)
        chunks = await self._store.between(*asked)
        if not chunks:
            return recent
        return await asyncio.to_thread(_joined, selection, chunks, recent, need)

    def _recent(self, selection: Selection, need: Need) -> Samples:
        """What the head holds of a need."""
        generation = self._head.generation
        rows, places = selection.frame.derived(
            ("head", generation), lambda: self._head.rows_of(selection.numbers.tolist())
        )
        counts, times, values = self._head.between(rows, need.after_ms, need.until_ms)
        each = np.zeros(len(selection.numbers), np.intp)
        each[places] = counts
        return Samples(selection.frame, np.concatenate(([0], np.cumsum(each))), times, values)


def _looked_at(task: "asyncio.Task[None]") -> None:
    """Its error is told to whoever waits still; else nobody misses it."""
    if not task.cancelled():
        task.exception()


def _joined(selection: Selection, chunks: Sequence[Stored], recent: Samples, need: Need) -> Samples:
    """Chunks and the head's samples as one, by series and time, each time once."""
    place = {number: row for row, number in enumerate(selection.numbers.tolist())}
    fine = {(one.number, one.start_ms // DAY_MS) for one in chunks if one.span_ms < WEEK_MS}
    rows: list[NDArray[np.intp]] = []
    parts: list[tuple[Times, Values]] = []
    for one in sorted(chunks, key=lambda one: (place[one.number], one.span_ms == WEEK_MS, one.start_ms)):
        times, values = _read(one)
        kept = (times > need.after_ms) & (times <= need.until_ms)
        if one.span_ms == WEEK_MS:
            days = (times - 1) // DAY_MS
            has_fine = [(one.number, day) in fine for day in days[kept].tolist()]
            kept[kept] = ~np.array(has_fine, bool)
        parts.append((times[kept], values[kept]))
        rows.append(np.full(int(kept.sum()), place[one.number], np.intp))
    rows.append(np.repeat(np.arange(len(recent.frame)), np.diff(recent.offsets)))
    parts.append((recent.times, recent.values))
    return _sorted(
        selection, np.concatenate(rows), np.concatenate([one[0] for one in parts]),
        np.concatenate([one[1] for one in parts]),
    )  # fmt: skip


def _read(chunk: Stored) -> tuple[Times, Values]:
    try:
        return decode(chunk.data)
    except DamagedChunk as error:
        raise ExecutionError(f"the chunk of series {chunk.number} at {chunk.start_ms} is damaged: {error}") from error


def _sorted(selection: Selection, rows: NDArray[np.intp], times: Times, values: Values) -> Samples:
    if len(times):
        keys = rows * (int(times.max()) - int(times.min()) + 1) + (times - int(times.min()))
        rising = np.diff(keys)
        if not (rising > 0).all():
            order = np.argsort(keys, kind="stable")
            keys = keys[order]
            order = order[np.append(np.diff(keys) > 0, True)]
            rows, times, values = rows[order], times[order], values[order]
    counts = np.bincount(rows, minlength=len(selection.frame))
    return Samples(selection.frame, np.concatenate(([0], np.cumsum(counts))), times, values)
