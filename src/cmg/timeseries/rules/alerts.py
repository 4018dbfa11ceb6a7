"""One alerting rule over time: which of its alerts are pending, firing or over, as Prometheus decides it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from cmg.timeseries.errors import ExecutionError
from cmg.timeseries.labels import NAME, Labels, labels_of
from cmg.timeseries.promql.vectors import Vector
from cmg.timeseries.rules.files import AlertingRule
from cmg.timeseries.rules.templates import Context

State = Literal["pending", "firing", "resolved"]
RESOLVED_KEPT_MS = 15 * 60_000
"""How long an alert that is over is still told of, so that a receiver that was away hears of its end."""
GRACE_MS = 10 * 60_000
"""An alert that was pending before a restart waits at least this long after it, as in Prometheus."""
ALERTS, FOR_STATE = "ALERTS", "ALERTS_FOR_STATE"


@dataclass(frozen=True)
class Surroundings:
    """What templates may show beside the series."""

    external_labels: Mapping[str, str]
    external_url: str = ""


@dataclass(frozen=True)
class Alert:
    """One alert: its labels with `alertname` are its identity. Times in ms; those that have not come are None."""

    labels: Labels
    annotations: Mapping[str, str]
    value: float
    state: State
    active_at_ms: int
    fired_at_ms: int | None = None
    resolved_at_ms: int | None = None
    kept_since_ms: int | None = None


class AlertStates:
    """The alerts of one rule. `step` is called with what its expression gave at each moment, in order of time."""

    def __init__(self, rule: AlertingRule, surroundings: Surroundings) -> None:
        self.rule = rule
        self._surroundings = surroundings
        self._known: dict[Labels, Alert] = {}
        self._past: Mapping[Labels, tuple[int, int]] = {}

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """Every alert that is pending, firing, or over for less than `RESOLVED_KEPT_MS`."""
        return tuple(self._known.values())

    def step(self, at_ms: int, found: Vector, limit: int = 0) -> dict[Labels, float]:
        """Take in one evaluation; the samples of `ALERTS` and `ALERTS_FOR_STATE`.

        Raises `ExecutionError` when two series become one alert, or more than `limit` are active: then all are dropped,
        as in Prometheus.
        """
        present, self._past = self._present(at_ms, found), {}
        for labels, alert in present.items():
            before = self._known.get(labels)
            going_on = before is not None and before.state != "resolved"
            self._known[labels] = (
                replace(before, value=alert.value, annotations=alert.annotations, kept_since_ms=None)
                if going_on and before is not None
                else alert
            )
        for labels in [one for one in self._known if one not in present]:
            self._without_series(self._known[labels], at_ms)
        active = [self._advanced(one, at_ms) for one in self._known.values() if one.state != "resolved"]
        self._known.update({one.labels: one for one in active})
        if limit and len(active) > limit:
            self._known.clear()
            raise ExecutionError(f"exceeded limit of {limit} with {len(active)} alerts")
        return dict(sample for one in active for sample in _samples(one))

    def recall(self, past: Mapping[Labels, tuple[int, int]]) -> None:
        """What was active before a restart: when last seen, and since when (ms). The next step goes on with it."""
        self._past = past

    def _began(self, labels: Labels, at_ms: int) -> int:
        """Since when an alert that appears now is active: waiting goes on where a restart broke it off."""
        if labels not in self._past or self.rule.for_ms < GRACE_MS:
            return at_ms
        seen_ms, active_at_ms = self._past[labels]
        left = self.rule.for_ms - (seen_ms - active_at_ms)
        if left <= 0:
            return active_at_ms
        return at_ms + GRACE_MS - self.rule.for_ms if left < GRACE_MS else active_at_ms + at_ms - seen_ms

    def _present(self, at_ms: int, found: Vector) -> dict[Labels, Alert]:
        present: dict[Labels, Alert] = {}
        for row in np.nonzero(found.present[:, 0])[0].tolist():
            series, value = dict(found.frame.labels[row]), float(found.values[row, 0])
            context = Context(series, value, self._surroundings.external_labels, self._surroundings.external_url)
            own = {name: one.filled(context) for name, one in self.rule.labels.items()}
            annotations = {name: one.filled(context) for name, one in self.rule.annotations.items()}
            named = {name: one for name, one in series.items() if name != NAME}
            labels = labels_of({**named, **own, "alertname": self.rule.alert}.items())
            if labels in present:
                told = "vector contains metrics with the same labelset after applying alert labels"
                raise ExecutionError(told)
            present[labels] = Alert(labels, annotations, value, "pending", self._began(labels, at_ms))
        return present

    def _without_series(self, alert: Alert, at_ms: int) -> None:
        """What becomes of an alert whose series the expression gives no longer."""
        if alert.state == "firing" and self.rule.keep_firing_for_ms:
            since = at_ms if alert.kept_since_ms is None else alert.kept_since_ms
            if at_ms - since < self.rule.keep_firing_for_ms:
                self._known[alert.labels] = replace(alert, kept_since_ms=since)
                return
        gone = alert.resolved_at_ms is not None and at_ms - alert.resolved_at_ms > RESOLVED_KEPT_MS
        if alert.state == "pending" or gone:
            del self._known[alert.labels]
        elif alert.state == "firing":
            self._known[alert.labels] = replace(alert, state="resolved", resolved_at_ms=at_ms)

    def _advanced(self, alert: Alert, at_ms: int) -> Alert:
        if alert.state == "pending" and at_ms - alert.active_at_ms >= self.rule.for_ms:
            return replace(alert, state="firing", fired_at_ms=at_ms)
        return alert


def _samples(alert: Alert) -> tuple[tuple[Labels, float], tuple[Labels, float]]:
    shown = labels_of([*alert.labels, (NAME, ALERTS), ("alertstate", alert.state)])
    since = labels_of([*alert.labels, (NAME, FOR_STATE)])
    return (shown, 1.0), (since, float(alert.active_at_ms // 1000))
