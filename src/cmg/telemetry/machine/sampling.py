"""Looking at an interval, on a thread: a slow disk or a long list of connections holds up no call."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from cmg.kit.clock import Clock
from cmg.telemetry.logs import get_logger

INTERVAL_S = 10.0
_log = get_logger("cmg.telemetry.machine")


class Figures(Protocol):
    """Something to look at."""

    def look(self) -> None:
        """Read it once."""
        ...


async def sample(figures: Sequence[Figures], clock: Clock, interval_s: float = INTERVAL_S) -> None:
    """Look at all of them for ever. One that fails is told of once and does not keep the others from being read."""
    failing: set[int] = set()
    while True:
        for place, one in enumerate(figures):
            try:
                await asyncio.to_thread(one.look)
                failing.discard(place)
            except Exception as error:  # noqa: BLE001  psutil raises what the system does; figures are no reason to end
                if place not in failing:
                    _log.warning("figures of this machine cannot be read", of=type(one).__name__, error=repr(error))
                failing.add(place)
        await clock.sleep(interval_s)
