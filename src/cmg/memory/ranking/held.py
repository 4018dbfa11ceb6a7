"""What a process holds for a while, so as not to read it again: bounded, the latest kept."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from cmg.kit.clock import Clock

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Held(Generic[K, V]):
    """At most `most` values, each for `seconds` since it was put; what was held longer goes with the next one put."""

    def __init__(self, clock: Clock, most: int, seconds: float) -> None:
        self._clock, self._most, self._seconds = clock, most, seconds
        self._values: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def get(self, key: K) -> V | None:
        """None for what was not put, or too long ago."""
        until, value = self._values.get(key, (0.0, None))
        return value if until > self._clock.monotonic() else None

    def put(self, key: K, value: V) -> None:
        """Hold it from now on; what was put longest ago gives way."""
        now = self._clock.monotonic()
        self._values[key] = (now + self._seconds, value)
        self._values.move_to_end(key)
        while len(self._values) > self._most or next(iter(self._values.values()))[0] <= now:
            self._values.popitem(last=False)

    def drop(self, key: K) -> None:
        """Hold it no longer."""
        self._values.pop(key, None)
