"""From what a target answered to samples: its labels, `up` and its kin, and markers where series ended."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from cmg.telemetry.instruments import Instruments
from cmg.telemetry.logs import get_logger
from cmg.timeseries.exposition import Point
from cmg.timeseries.labels import NAME, Labels, labels_of
from cmg.timeseries.samples import STALE
from cmg.timeseries.scrape.targets import Target
from cmg.timeseries.store.head import Head
from cmg.timeseries.store.scrape_log import Scraped, ScrapeLog

_log = get_logger("cmg.timeseries.scrape")


class Keeper:
    """Puts samples of one moment into the head and the log, and counts what found no room."""

    def __init__(self, head: Head, log: ScrapeLog, instruments: Instruments) -> None:
        self._head, self._log = head, log
        self._samples = instruments.series("cmg_timeseries_samples_total")
        self._refused = instruments.series("cmg_timeseries_samples_refused_total")
        self._shed = instruments.series("cmg_timeseries_samples_shed_total")
        self._unlogged = instruments.series("cmg_timeseries_log_failures_total")

    def keep(self, time_ms: int, samples: Mapping[Labels, float]) -> None:
        """One sample of each series."""
        scraped = Scraped(tuple(samples), time_ms, np.fromiter(samples.values(), np.float64, len(samples)))
        refused = keep(self._head, scraped)
        self._samples.inc(len(samples) - refused)
        self._refused.inc(refused)
        if self._log.sheds:
            self._shed.inc(len(samples))
            return
        try:
            self._log.append(tuple(scraped.labels), time_ms, scraped.values)
        except OSError as error:
            self._unlogged.inc()
            _log.warning("samples cannot be logged; a restart would lose them", error=repr(error))


class Recorder:
    """Records the scrapes of one target."""

    def __init__(self, target: Target, keeper: Keeper) -> None:
        self._keeper = keeper
        self._own = {"job": target.job, "instance": target.instance}
        self._known: dict[Labels, Labels] = {}
        self._present: dict[Labels, None] = {}

    def record(self, time_ms: int, points: Sequence[Point] | None, took_s: float) -> None:
        """One scrape at its planned time; None is one that failed: then every series of the target has ended."""
        found = dict(self._labelled(points or ()))
        told: dict[Labels, float] = {**found, **{one: STALE for one in self._present if one not in found}}
        self._present = dict.fromkeys(found)
        told[self._about("up")] = 0.0 if points is None else 1.0
        told[self._about("scrape_duration_seconds")] = took_s
        told[self._about("scrape_samples_scraped")] = float(len(points or ()))
        self._keeper.keep(time_ms, told)

    def _about(self, name: str) -> Labels:
        return labels_of([(NAME, name), *self._own.items()])

    def _labelled(self, points: Iterable[Point]) -> Iterable[tuple[Labels, float]]:
        """Samples under the target's own labels; the target's word for the same label becomes `exported_…`."""
        for point in points:
            labels = self._known.get(point.labels)
            if labels is None:
                if len(self._known) > 2 * len(self._present) + 1000:
                    self._known.clear()
                theirs = [(f"exported_{name}" if name in self._own else name, one) for name, one in point.labels]
                labels = self._known[point.labels] = labels_of([*theirs, *self._own.items()])
            yield labels, point.value


def keep(head: Head, scraped: Scraped) -> int:
    """Put one scrape into the head; how many of its series found no room."""
    rows = [head.row(labels) for labels in scraped.labels]
    there = [place for place, row in enumerate(rows) if row is not None]
    head.append(np.array([rows[place] for place in there], np.intp), scraped.time_ms, scraped.values[there])
    return len(rows) - len(there)
