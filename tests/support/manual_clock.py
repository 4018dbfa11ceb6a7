"""A clock that tests move by hand."""

import asyncio
import heapq
import itertools
from datetime import UTC, datetime

START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC).timestamp()


class ManualClock:
    """Stands still until `advance`; sleepers wake in the order of their times. `time` begins on 24 November 2026."""

    def __init__(self, epoch_s: float = START) -> None:
        self._epoch_s = epoch_s
        self._elapsed_s = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def time(self) -> float:
        """Seconds since the Unix epoch."""
        return self._epoch_s + self._elapsed_s

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment."""
        return 1000.0 + self._elapsed_s

    def now(self) -> datetime:
        """The same as `time`, as an aware UTC datetime."""
        return datetime.fromtimestamp(self.time(), UTC)

    async def sleep(self, seconds: float) -> None:
        """Return when the clock was moved that far."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed_s + seconds, next(self._order), future))
        await future

    def set(self, moment: datetime) -> None:
        """Jump to a wall-clock time without waking anybody."""
        self._epoch_s = moment.timestamp() - self._elapsed_s

    def advance(self, seconds: float) -> None:
        """Move on; whoever sleeps until then is woken (they run at the test's next await)."""
        self._elapsed_s += seconds
        while self._sleepers and self._sleepers[0][0] <= self._elapsed_s:
            future = heapq.heappop(self._sleepers)[2]
            if not future.done():
                future.set_result(None)

    async def run(self, seconds: float, step_s: float = 1.0) -> None:
        """Move on in steps, letting woken tasks run in between."""
        end = self._elapsed_s + seconds
        while self._elapsed_s < end - 1e-9:
            self.advance(min(step_s, end - self._elapsed_s))
            for _ in range(10):
                await asyncio.sleep(0)
