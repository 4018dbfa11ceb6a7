"""Python reads this at its start where the folder is on PYTHONPATH: a gateway whose metrics move nothing.

One side of `instruments_cost.py`, whose settings turn traces and lines off as well. No user's setting does this.
"""

import sys
from typing import Any

if "gateway" in sys.orig_argv:
    from cmg.telemetry.instruments import Instruments

    class _Nothing:
        """A series that nothing moves."""

        def inc(self, amount: float = 1, exemplar: dict[str, str] | None = None) -> None:
            """Nothing."""

        def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
            """Nothing."""

        def set(self, value: float) -> None:
            """Nothing."""

        def info(self, values: dict[str, str]) -> None:
            """Nothing."""

    _nothing = _Nothing()

    def _series(_self: Instruments, _name: str, *_labels: str) -> Any:
        return _nothing

    Instruments.series = _series  # type: ignore[method-assign]
