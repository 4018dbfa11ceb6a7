"""What is given up when the disk fills: logs, then traces, then series; never the ledger, turns or audit."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from cmg.kit.clock import Clock

Kind = Literal["logs", "traces", "series"]
_GB = 2**30
# Less than this share of the disk, and less than so many bytes, must be free before a kind is given up.
_ORDER: dict[str, tuple[float, int]] = {
    "logs": (0.10, 2 * _GB),
    "traces": (0.07, 14 * _GB // 10),
    "series": (0.05, _GB),
}
_BACK = 1.25  # times that much must be free before it is kept again
_FRESH_S = 1.0


class DiskGuard:
    """Asks the disk of a folder at most once a second; a disk that does not answer sheds nothing."""

    def __init__(self, folder: Path, clock: Clock, statvfs: Callable[[Path], Any] = os.statvfs) -> None:
        self._folder, self._clock, self._statvfs = folder, clock, statvfs
        self._shed: set[str] = set()
        self._asked_at = float("-inf")

    def sheds(self, kind: Kind) -> bool:
        """Whether this kind is given up now."""
        now = self._clock.monotonic()
        if now - self._asked_at >= _FRESH_S:
            self._asked_at = now
            self._look()
        return kind in self._shed

    def _look(self) -> None:
        try:
            found = self._statvfs(self._folder)
        except OSError:
            self._shed = set()
            return
        free, size = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
        for kind, (share, least) in _ORDER.items():
            bound = min(size * share, least)
            if free < bound:
                self._shed.add(kind)
            elif free >= bound * _BACK:
                self._shed.discard(kind)
