"""Who evaluates an expression: the samples of this machine, or a Prometheus elsewhere."""

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec
import numpy as np

from cmg.timeseries.api.parameters import Form
from cmg.timeseries.errors import ExecutionError, QueryError, QueryTimeout, SourceAway
from cmg.timeseries.labels import Frame, labels_of
from cmg.timeseries.promql.engine import Answer, Engine, Limits
from cmg.timeseries.promql.vectors import Grid, Vector
from cmg.timeseries.written import timestamp

_SCRAPED = ("job", "instance")
"""Labels that say who was scraped: a workspace's figures are the same whoever tells them."""


class Far(Protocol):
    """A Prometheus by its HTTP API."""

    async def answer(self, endpoint: str, form: Form) -> tuple[int, bytes]:
        """Status and JSON of one call."""
        ...


class AskHere:
    """An engine of its own, so that these rules never wait with those of the service, nor these with them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def __call__(self, text: str, at_ms: int, within_s: float) -> Answer:
        """Raises `QueryError`."""
        return await self._engine.instant(text, at_ms, Limits(timeout_s=within_s))


class _Sample(msgspec.Struct):
    metric: dict[str, str]
    value: tuple[float, str]


class _Data(msgspec.Struct):
    resultType: str  # noqa: N815  the name that Prometheus gives it
    result: list[Any]


class _Answer(msgspec.Struct):
    status: str
    data: _Data | None = None
    error: str = ""


class AskFar:
    """Labels of the scrape are taken off what it answers; of two series that are one then, the larger counts."""

    def __init__(self, prometheus: Far) -> None:
        self._prometheus = prometheus

    async def __call__(self, text: str, at_ms: int, within_s: float) -> Answer:
        """Raises `QueryError`."""
        form = {"query": [text], "time": [timestamp(at_ms)], "timeout": [f"{max(1, round(within_s * 1000))}ms"]}
        try:
            async with asyncio.timeout(within_s + 1):
                status, body = await self._prometheus.answer("query", form)
        except TimeoutError as error:
            raise QueryTimeout(f"Prometheus did not answer within {within_s:g} s") from error
        try:
            told = msgspec.json.decode(body, type=_Answer)
            if status in {502, 503}:
                raise SourceAway(told.error or f"Prometheus answered {status}")
            if told.data is None or told.data.resultType != "vector":
                raise ExecutionError(told.error or f"Prometheus answered {status} without a vector")
            found = msgspec.convert(told.data.result, list[_Sample], strict=False)
        except msgspec.MsgspecError as error:
            raise QueryError(f"Prometheus' answer cannot be read: {error}") from error
        return Answer("vector", Grid(np.array([at_ms], np.int64), 1), _vector(found))


def _vector(found: list[_Sample]) -> Vector:
    values: dict[Any, float] = {}
    for one in found:
        labels = labels_of(_without(one.metric).items())
        value = float(one.value[1])
        values[labels] = max(value, values[labels]) if labels in values else value
    column = np.array(list(values.values()), np.float64).reshape(-1, 1)
    return Vector(Frame(tuple(values)), column, np.ones(column.shape, bool))


def _without(metric: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in metric.items() if name not in _SCRAPED}
