"""Who may work next where more is asked than can be done: the newest, whose time is not yet spent on waiting."""

import asyncio
from types import TracebackType


class NewestFirst:
    """So many at once; of those that wait the newest goes first, so that what is begun can still be of use.

    In order of their coming all would wait until their deadline is near, and under load none would be done in time.
    """

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._waiting: list[asyncio.Future[None]] = []

    async def __aenter__(self) -> None:
        """Wait for a place."""
        if self._free:
            self._free -= 1
            return
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._hand_on()  # it was given the place in the same moment
            elif place in self._waiting:  # else a place that came free has passed it over meanwhile
                self._waiting.remove(place)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the place to the newest that waits."""
        self._hand_on()

    def _hand_on(self) -> None:
        while self._waiting:
            place = self._waiting.pop()
            if not place.done():
                place.set_result(None)
                return
        self._free += 1
