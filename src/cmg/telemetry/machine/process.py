"""This process: CPU, memory, threads, open files, and what the garbage collector takes."""

import gc
from collections.abc import Mapping
from time import perf_counter

import psutil

from cmg.telemetry.instruments import Instruments
from cmg.telemetry.machine.totals import Totals


class ProcessFigures:
    """Reads this process; `name` is its kind (gateway, backstage, …), the same for all of a kind."""

    def __init__(self, name: str, instruments: Instruments) -> None:
        self._name, self._process = name, psutil.Process()
        self._totals = Totals(instruments, from_zero=True)
        series = instruments.series
        self._resident = series("cmg_process_resident_bytes", name)
        self._threads = series("cmg_process_threads", name)
        self._files = series("cmg_process_files_open", name)
        self._pauses = series("cmg_process_gc_pause_seconds_total", name)
        self._paused_at = 0.0
        gc.callbacks.append(self._collecting)

    def close(self) -> None:
        """Stop listening to the collector."""
        if self._collecting in gc.callbacks:
            gc.callbacks.remove(self._collecting)

    def look(self) -> None:
        """Read everything once."""
        with self._process.oneshot():
            spent = self._process.cpu_times()
            self._totals.reached(spent.user, "cmg_process_cpu_seconds_total", self._name, "user")
            self._totals.reached(spent.system, "cmg_process_cpu_seconds_total", self._name, "system")
            self._resident.set(self._process.memory_info().rss)
            self._threads.set(self._process.num_threads())
            self._files.set(self._process.num_fds())
        for generation, told in enumerate(gc.get_stats()):
            collections = told["collections"]
            self._totals.reached(collections, "cmg_process_gc_collections_total", self._name, str(generation))

    def _collecting(self, phase: str, _info: Mapping[str, int]) -> None:
        if phase == "start":
            self._paused_at = perf_counter()
        else:
            self._pauses.inc(perf_counter() - self._paused_at)
