"""The live tail: lines as they are stored, from every machine, in a stream that ends by itself and is begun anew."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

import orjson

from cmg.kit.clock import Clock
from cmg.kit.errors import RateLimited
from cmg.logbook.hot.line_store import LineStore
from cmg.logbook.models import record_of
from cmg.logbook.wanted import Wanted, number, read

_STREAM_S = 240.0  # shorter than what is between us and the client waits
_POLL_S = 0.5
_QUIET_S = 15.0  # an empty line tells that the stream lives
_LATE_S = 5.0  # a transaction may commit lines of lower numbers so much later than others
_BATCH = 1000
_REACH = timedelta(days=1)
_MOST = 20


class Tail:
    """At most 20 streams at once. A slow reader falls behind and loses nothing: lines are read when it takes them."""

    def __init__(self, store: LineStore, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._streams = 0

    async def stream(self, values: Mapping[str, Any], workspace_id: str | None) -> AsyncIterator[bytes]:
        """JSON lines; the last one, `{"next": "…"}`, names where to begin the following stream (`after`).

        Raises `InvalidRequest`, `RateLimited` before the first line.
        """
        wanted = read(values, workspace_id, self._clock.now(), _REACH)
        after = number("after", values.get("after"))
        if self._streams >= _MOST:
            raise RateLimited(f"{_MOST} tails are open already; close one", headers={"retry-after": "30"})
        return self._lines(wanted, await self._store.newest_number() if after is None else after)

    async def _lines(self, wanted: Wanted, after: int) -> AsyncIterator[bytes]:
        self._streams += 1
        try:
            reading = _Reading(self._store, self._clock, wanted, after)
            async for piece in reading.run():
                yield piece
        finally:
            self._streams -= 1


class _Reading:
    """One stream: `low` is the number up to which nothing more can come, `seen` what was given out above it."""

    def __init__(self, store: LineStore, clock: Clock, wanted: Wanted, low: int) -> None:
        self._store, self._clock, self._wanted, self._low = store, clock, wanted, low
        self._seen: set[int] = set()
        self._reached: deque[tuple[float, int]] = deque()  # when which number was reached

    async def run(self) -> AsyncIterator[bytes]:
        started = spoke = self._clock.monotonic()
        while (now := self._clock.monotonic()) - started < _STREAM_S:
            fresh = await self._fresh(now)
            if fresh:
                spoke = now
                yield b"".join(fresh)
            elif now - spoke >= _QUIET_S:
                spoke = now
                yield b"\n"
            if len(fresh) < _BATCH:
                await asyncio.sleep(_POLL_S)
        yield orjson.dumps({"next": str(self._low)}) + b"\n"

    async def _fresh(self, now: float) -> list[bytes]:
        newest = await self._store.newest_number()
        limit = _BATCH + len(self._seen)
        since = self._clock.now() - _REACH
        found = await self._store.newer(since, self._low, self._wanted.filters(), limit)
        fresh = [line for line in found if line.line_no not in self._seen]
        self._seen.update(line.line_no for line in fresh)
        self._reached.append((now, min(newest, found[-1].line_no) if len(found) >= limit else newest))
        while self._reached and now - self._reached[0][0] >= _LATE_S:
            self._low = max(self._low, self._reached.popleft()[1])
            self._seen = {number for number in self._seen if number > self._low}
        return [orjson.dumps(record_of(line)) + b"\n" for line in fresh]
