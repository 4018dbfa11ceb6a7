"""A group of rules at one moment after the other: what each gives, what is to be kept, where series ended."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from cmg.timeseries.errors import ExecutionError, QueryError
from cmg.timeseries.labels import NAME, UNLABELLED, Labels, labels_of
from cmg.timeseries.promql.engine import Answer
from cmg.timeseries.promql.vectors import Vector
from cmg.timeseries.rules.alerts import FOR_STATE, Alert, AlertStates, Surroundings
from cmg.timeseries.rules.files import Group, RecordingRule, Rule
from cmg.timeseries.samples import STALE, Samples

Query = Callable[[str, int], Awaitable[Answer]]
"""An expression at a moment (ms): `Engine.instant` is one. Raises `QueryError`."""


class Keep(Protocol):
    """Where samples of rules go. They have to be there for the next rule of the group."""

    def __call__(self, at_ms: int, samples: Mapping[Labels, float]) -> None:
        """Keep one sample of each series, all of one moment; `STALE` ends a series."""
        ...


@dataclass(frozen=True)
class Outcome:
    """What one rule gave: its samples (ends of series included), its alerts, or what was wrong."""

    rule: Rule
    samples: Mapping[Labels, float]
    alerts: tuple[Alert, ...] = ()
    error: str | None = None


class Evaluation:
    """The rules of one group over time. No clock of its own: whoever calls says which moment it is."""

    def __init__(self, group: Group, query: Query, keep: Keep, surroundings: Surroundings) -> None:
        self.group = group
        self._query, self._keep = query, keep
        self._states = [
            None if isinstance(rule, RecordingRule) else AlertStates(rule, surroundings) for rule in group.rules
        ]
        self._shown: list[frozenset[Labels]] = [frozenset() for _ in group.rules]

    @property
    def states(self) -> tuple[AlertStates, ...]:
        """The alerting rules' states, in the file's order."""
        return tuple(one for one in self._states if one is not None)

    async def restore(self, at_ms: int) -> None:
        """Before the first step after a restart: alerts that were active within the last hour go on waiting.

        Raises `QueryError`.
        """
        for states in self.states:
            name = states.rule.alert.replace("\\", "\\\\").replace('"', '\\"')
            answer = await self._query(f'{FOR_STATE}{{alertname="{name}"}}[1h]', at_ms)
            if isinstance(answer.value, Samples):
                states.recall(_last(answer.value))

    async def step(self, at_ms: int) -> tuple[Outcome, ...]:
        """Evaluate every rule in order at a moment later than the last one.

        A rule that fails says so in its outcome; its alerts stay as they were and the rules behind it go on.
        """
        outcomes = []
        for place, rule in enumerate(self.group.rules):
            states = self._states[place]
            try:
                found = _vector(await self._query(rule.expr, at_ms))
                if states is None:
                    samples = _recorded(rule, found, self.group.limit)
                else:
                    samples = states.step(at_ms, found, self.group.limit)
            except QueryError as error:
                outcomes.append(Outcome(rule, {}, states.alerts if states else (), str(error)))
                continue
            ended = self._shown[place] - samples.keys()
            self._shown[place] = frozenset(samples)
            samples |= dict.fromkeys(ended, STALE)
            if samples:
                self._keep(at_ms, samples)
            outcomes.append(Outcome(rule, samples, states.alerts if states else ()))
        return tuple(outcomes)


def _last(samples: Samples) -> dict[Labels, tuple[int, int]]:
    """The time and value (s, as ms) of each series' last sample, under its labels without the metric's name."""
    found = {}
    for row, labels in enumerate(samples.frame.labels):
        end = int(samples.offsets[row + 1])
        if end > samples.offsets[row]:
            named = labels_of(pair for pair in labels if pair[0] != NAME)
            found[named] = int(samples.times[end - 1]), int(samples.values[end - 1]) * 1000
    return found


def _vector(answer: Answer) -> Vector:
    if isinstance(answer.value, Vector):
        return answer.value
    if answer.kind != "scalar" or not isinstance(answer.value, np.ndarray):
        raise ExecutionError("rule result is not a vector or scalar")
    return Vector(UNLABELLED, answer.value[None, :], np.ones((1, 1), bool))


def _recorded(rule: Rule, found: Vector, limit: int) -> dict[Labels, float]:
    assert isinstance(rule, RecordingRule)
    samples: dict[Labels, float] = {}
    own = {NAME: rule.record, **rule.labels}
    rows = np.nonzero(found.present[:, 0])[0].tolist()
    for row in rows:
        samples[labels_of({**dict(found.frame.labels[row]), **own}.items())] = float(found.values[row, 0])
    if len(samples) < len(rows):
        raise ExecutionError("vector contains metrics with the same labelset after applying rule labels")
    if limit and len(samples) > limit:
        raise ExecutionError(f"exceeded limit of {limit} with {len(samples)} series")
    return samples
