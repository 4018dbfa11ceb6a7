"""Running a test file on the embedded evaluator, moment by moment from time 0, as promtool does."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cmg.kit.clock import Clock
from cmg.timeseries.errors import QueryError
from cmg.timeseries.labels import Labels, labels_of, shown
from cmg.timeseries.promql.engine import Engine
from cmg.timeseries.promql.vectors import Vector
from cmg.timeseries.rules.alerts import Surroundings
from cmg.timeseries.rules.evaluation import Evaluation
from cmg.timeseries.rules.trials.files import AlertCase, ExpectedAlert, ExpressionCase, Trial, TrialFile, milliseconds
from cmg.timeseries.rules.trials.notation import series_of, values_of
from cmg.timeseries.rules.trials.samples import TrialSamples
from cmg.timeseries.rules.trials.wanted import parted
from cmg.timeseries.written import sample_value

Told = tuple[str, str]  # an alert's labels and annotations, or a sample's labels and value, as they are compared


@dataclass(frozen=True)
class Difference:
    """One expectation that was not met."""

    trial: str
    what: str
    at: str
    expected: tuple[Told, ...]
    found: tuple[Told, ...]


async def run(file: Path, clock: Clock) -> list[Difference]:
    """Everything in a test file that the rules do not fulfil. Raises `TrialFileError`, `NotationError`, `OSError`."""
    written = await asyncio.to_thread(TrialFile.read, file)
    found: list[Difference] = []
    for number, trial in enumerate(written.trials, 1):
        found += await _Run(written, trial, trial.name or f"test {number}", clock).differences()
    return found


class _Run:
    """One trial: its samples, and the states over its time of the rules that it needs.

    The others are evaluated only at the moments that are asked about, for the sake of those that cannot be.
    """

    def __init__(self, file: TrialFile, trial: Trial, name: str, clock: Clock) -> None:
        self._file, self._trial, self._name = file, trial, name
        self._samples = TrialSamples()
        self._engine = Engine(self._samples, clock, threads=False)
        surroundings = Surroundings(trial.external_labels or {}, trial.external_url)
        needed, others = parted(file.groups, trial)
        self._groups = [Evaluation(one, self._engine.instant, self._samples.keep, surroundings) for one in needed]
        self._others = [Evaluation(one, self._engine.instant, _forget, surroundings) for one in others]

    async def differences(self) -> list[Difference]:
        """Evaluate from 0 to the last moment that is asked about."""
        self._load()
        alerts, step = self._trial.alert_rule_test or [], self._file.interval_ms
        expressions = self._trial.promql_expr_test or []
        times = [one.eval_time for one in alerts] + [one.eval_time for one in expressions]
        asked = {milliseconds(one) // step * step for one in times}
        found: list[Difference] = []
        for at_ms in range(0, max(asked, default=0) + 1, step):
            found += await self._evaluated(self._groups, at_ms)
            if at_ms in asked:
                found += await self._evaluated(self._others, at_ms)
            due = [one for one in alerts if at_ms <= milliseconds(one.eval_time) < at_ms + step]
            found += [difference for one in due for difference in self._alerts(one)]
        for one in expressions:
            found += await self._expression(one)
        return found

    def _load(self) -> None:
        interval = milliseconds(self._trial.interval) if self._trial.interval else self._file.interval_ms
        for one in self._trial.input_series or []:
            labels = series_of(one.series)
            for place, value in enumerate(values_of(one.values)):
                if value is not None:
                    self._samples.keep(place * interval, {labels: value})

    async def _evaluated(self, groups: Collection[Evaluation], at_ms: int) -> list[Difference]:
        """Step groups; rules that cannot be evaluated are differences too."""
        return [
            Difference(self._name, outcome.rule.name, f"{at_ms / 1000:g}s", (), (("error", outcome.error),))
            for group in groups
            for outcome in await group.step(at_ms)
            if outcome.error is not None
        ]

    def _alerts(self, case: AlertCase) -> Iterable[Difference]:
        named = [states for group in self._groups for states in group.states if states.rule.alert == case.alertname]
        firing = [alert for states in named for alert in states.alerts if alert.state == "firing"]
        expected = [_alert(_labelled(one, case.alertname), one.exp_annotations or {}) for one in case.exp_alerts or []]
        found = [_alert(one.labels, one.annotations) for one in firing]
        if not named:
            found = [("error", "no rule has this name")]
        return self._compared(f"alert {case.alertname}", case.eval_time, expected, found)

    async def _expression(self, case: ExpressionCase) -> Iterable[Difference]:
        at_ms = milliseconds(case.eval_time)
        expected = [(shown(series_of(one.labels)), sample_value(one.value)) for one in case.exp_samples or []]
        try:
            answer = await self._engine.instant(case.expr, at_ms)
        except QueryError as error:
            return self._compared(case.expr, case.eval_time, expected, [("error", str(error))])
        found: list[Told] = []
        if isinstance(answer.value, Vector):
            rows = np.nonzero(answer.value.present[:, 0])[0].tolist()
            labels, values = answer.value.frame.labels, answer.value.values
            found = [(shown(labels[row]), sample_value(float(values[row, 0]))) for row in rows]
        elif isinstance(answer.value, np.ndarray):
            found = [("{}", sample_value(float(answer.value[0])))]
        return self._compared(case.expr, case.eval_time, expected, found)

    def _compared(self, what: str, at: str, expected: Sequence[Told], found: Sequence[Told]) -> list[Difference]:
        one, other = tuple(sorted(expected)), tuple(sorted(found))
        return [] if one == other else [Difference(self._name, what, at, one, other)]


def _forget(at_ms: int, samples: Mapping[Labels, float]) -> None:
    """Samples of rules that nothing of a trial reads."""


def _labelled(alert: ExpectedAlert, name: str) -> Labels:
    return labels_of({**(alert.exp_labels or {}), "alertname": name}.items())


def _alert(labels: Labels, annotations: Mapping[str, str]) -> Told:
    return shown(labels), shown(labels_of(annotations.items()))
