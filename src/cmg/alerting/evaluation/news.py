"""What an evaluator tells: what begins to fire at once, again now and then, and its end."""

from collections.abc import Collection, Sequence
from typing import Protocol

from cmg.alerting.models import Report
from cmg.kit.clock import Clock
from cmg.storage.errors import DatabaseAway
from cmg.telemetry.logs import get_logger
from cmg.timeseries.labels import Labels
from cmg.timeseries.rules.alerts import Alert

SOURCE = "rules"
REPEAT_S = 300.0
_log = get_logger("cmg.alerting.evaluation")


class Port(Protocol):
    """Where alerts go."""

    @property
    def leads(self) -> bool:
        """Whether this process is to tell them."""
        ...

    async def tell(self, reports: Sequence[Report]) -> None:
        """Take in reports. Raises `DatabaseAway`: they are told again."""
        ...

    async def reconcile(self, firing: Collection[Labels]) -> None:
        """End what an earlier process told and what is not among these. Raises `DatabaseAway`."""
        ...


class News:
    """Remembers what it told. `source` marks the reports, and what is reconciled."""

    def __init__(self, port: Port, clock: Clock, source: str = SOURCE) -> None:
        self._port, self._clock, self._source = port, clock, source
        self._reconciled = False
        self._told: dict[Labels, float] = {}  # alert that fires → when that was last reported

    @property
    def leads(self) -> bool:
        """Whether anything is told now."""
        return self._port.leads

    async def tell(self, alerts: Sequence[Alert], firing: Collection[Labels], *, whole: bool = True) -> None:
        """Report what is news among these; what cannot be reported now is reported the next time.

        `firing`: everything that is known to fire; what this process told and is not among it is over. `whole`: every
        rule was asked, so what an earlier process told and is not among it is over as well.
        """
        if not self._port.leads:
            return
        now = self._clock.time()
        begun = [one for one in alerts if one.state == "firing" and self._is_news(one, now)]
        over = [labels for labels in self._told if labels not in firing]
        ended = {one.labels: one for one in alerts if one.state == "resolved"}
        reports = [
            *(_begun(one, self._source) for one in begun),
            *(_over(labels, ended.get(labels), self._source) for labels in over),
        ]
        try:
            if reports:
                await self._port.tell(reports)
            if not self._reconciled and whole:
                await self._port.reconcile(firing)
                self._reconciled = True
        except DatabaseAway as error:
            _log.warning("alerts cannot be reported now; they are told again", error=str(error))
            return
        self._told.update(dict.fromkeys((one.labels for one in begun), now))
        for labels in over:
            self._told.pop(labels, None)  # another group may have told its end meanwhile

    def _is_news(self, alert: Alert, now: float) -> bool:
        told = self._told.get(alert.labels)
        return told is None or now - told >= REPEAT_S


def _begun(alert: Alert, source: str) -> Report:
    begun_ms = alert.active_at_ms if alert.fired_at_ms is None else alert.fired_at_ms
    return Report(
        labels=dict(alert.labels),
        annotations=dict(alert.annotations),
        starts_at=begun_ms / 1000,
        since=alert.active_at_ms / 1000,
        source=source,
    )


def _over(labels: Labels, alert: Alert | None, source: str) -> Report:
    """The end of one that was told; without its alert, its rule is gone."""
    annotations = {} if alert is None else dict(alert.annotations)
    ended_ms = None if alert is None else alert.resolved_at_ms
    ends_at = None if ended_ms is None else ended_ms / 1000
    return Report(labels=dict(labels), annotations=annotations, firing=False, ends_at=ends_at, source=source)
