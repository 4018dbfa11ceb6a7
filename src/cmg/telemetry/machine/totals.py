"""Counters whose totals somebody else keeps."""

from typing import Any

from cmg.telemetry.instruments import Instruments


class Totals:
    """Follows totals that the kernel, a server or a library counts: each look adds what came since the last one.

    With `from_zero` the first look adds all of it: the total began with this process. A total that fell began anew.
    """

    def __init__(self, instruments: Instruments, *, from_zero: bool = False) -> None:
        self._instruments, self._from_zero = instruments, from_zero
        self._seen: dict[tuple[str, ...], float] = {}

    def reached(self, total: float, name: str, *labels: str) -> None:
        """The series `name{labels}` has reached this total."""
        before = self._seen.get((name, *labels))
        self._seen[name, *labels] = total
        if before is None:
            before = 0.0 if self._from_zero else total
        series: Any = self._instruments.series(name, *labels)
        series.inc(total - before if total >= before else total)
