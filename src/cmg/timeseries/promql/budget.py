"""What one query may take: cells of memory, and time. Past either it ends with an error, and the process goes on."""

import threading
from collections.abc import Callable

from cmg.timeseries.errors import ExecutionError, QueryTimeout

MOST_CELLS = 10_000_000
"""Of one matrix (a number for each series and step), and of the samples of one query: 80 and 160 MB."""

_MOST_IN_ALL = 3 * MOST_CELLS
_LARGE = MOST_CELLS // 4
TOO_MANY = "query processing would load too many samples into memory in query execution"


class Budget:
    """One query's. `in_time` says whether its time is not over; `large` is held by the one large query of an engine.

    A cell counts when its matrix is made, and never comes back: how deep an expression is nested, so many matrices
    may be alive at once.
    """

    def __init__(self, in_time: Callable[[], bool], large: threading.Semaphore | None = None) -> None:
        self._in_time, self._large = in_time, large
        self._spent, self._holds = 0, False

    def check(self, cells: int) -> None:
        """Before a matrix of so many cells is made. Raises `ExecutionError`."""
        if cells > MOST_CELLS or self._spent + cells > _MOST_IN_ALL:
            raise ExecutionError(TOO_MANY)
        if self._spent + cells > _LARGE:
            self._wait()

    def charge(self, cells: int) -> None:
        """The same, and they count. Raises `ExecutionError`."""
        self.check(cells)
        self._spent += cells

    def check_time(self) -> None:
        """Raises `QueryTimeout` when the time is over."""
        if not self._in_time():
            raise QueryTimeout("query timed out in expression evaluation")

    def close(self) -> None:
        """The query is done: another large one may begin."""
        if self._holds and self._large is not None:
            self._large.release()
        self._holds = False

    def _wait(self) -> None:
        """One large query at a time, so that several do not add up to the machine's memory."""
        while self._large is not None and not self._holds:
            self._holds = self._large.acquire(timeout=0.1)
            if not self._holds:
                self.check_time()
