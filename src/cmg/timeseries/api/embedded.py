"""Prometheus' HTTP API on the samples that are kept here."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any
from urllib.parse import unquote

import msgspec

from cmg.kit.clock import Clock
from cmg.storage.errors import DatabaseAway
from cmg.timeseries.api import parameters
from cmg.timeseries.api.answers import answer_json, failure, success
from cmg.timeseries.api.parameters import Form
from cmg.timeseries.errors import BadData, ExecutionError, QueryError, SourceAway
from cmg.timeseries.exposition import Metadata
from cmg.timeseries.labels import Labels
from cmg.timeseries.promql.engine import LOOKBACK_MS, TIMEOUT_S, Answer, Engine, Limits
from cmg.timeseries.promql.needs import Span
from cmg.timeseries.promql.parsing import pretty, selectors
from cmg.timeseries.store.sample_source import SampleSource

_SEMANTICS = "3.0.0"
_TRUNCATED = "results truncated due to limit"
_MOST_NUMBERS = 5_000_000  # of an answer: 125 MB
_MOST_SELECTORS = 100  # of one question about series
_FEW_NUMBERS = 5_000  # are written at once; more would hold up whatever else this process does
_json = msgspec.json.encode


class EmbeddedPrometheus:
    """Answers every endpoint; `metadata` gives what targets said of their metrics, by target."""

    def __init__(
        self,
        source: SampleSource,
        engine: Engine,
        metadata: Callable[[], Iterable[Mapping[str, Metadata]]],
        clock: Clock,
    ) -> None:
        self._source, self._engine, self._metadata_of, self._clock = source, engine, metadata, clock
        self._endpoints: dict[str, Callable[[Form], Awaitable[bytes]]] = {
            "query": self._query,
            "query_range": self._query_range,
            "series": self._series,
            "labels": self._labels,
            "metadata": self._metadata,
            "format_query": self._format,
        }

    async def answer(self, endpoint: str, form: Form) -> tuple[int, bytes]:
        """Status and JSON of one call; `endpoint` is the path after `/api/v1/`."""
        try:
            if endpoint.startswith("label/"):
                return 200, await self._values(unquote(endpoint.split("/")[1]), form)
            if endpoint in _FIXED:
                return 200, success(_json(_FIXED[endpoint]))
            return 200, await self._endpoints[endpoint](form)
        except QueryError as error:
            return error.status, failure(error.kind, str(error))

    async def _query(self, form: Form) -> bytes:
        at_ms = parameters.time_ms(form, "time", self._now())
        limit = parameters.limit(form)
        answer = await _told("query", self._engine.instant(parameters.wanted(form, "query"), at_ms, _limits(form)))
        return await _written(answer, ranged=False, limit=limit)

    async def _query_range(self, form: Form) -> bytes:
        start, end, step = parameters.steps(form)
        query, span, limit = parameters.wanted(form, "query"), Span(start, end), parameters.limit(form)
        answer = await _told("query", self._engine.over(query, span, step, _limits(form)))
        return await _written(answer, ranged=True, limit=limit)

    async def _series(self, form: Form) -> bytes:
        if not form.get("match[]"):
            raise BadData("no match[] parameter provided")
        return _listed([dict(labels) for labels in await self._matched(form)], parameters.limit(form))

    async def _labels(self, form: Form) -> bytes:
        names = {name for labels in await self._matched(form) for name, _ in labels}
        return _listed(sorted(names), parameters.limit(form))

    async def _values(self, name: str, form: Form) -> bytes:
        values = {value for labels in await self._matched(form) for label, value in labels if label == name}
        return _listed(sorted(values), parameters.limit(form))

    async def _matched(self, form: Form) -> list[Labels]:
        """The labels of every series that a `match[]` means, or of all. Raises `QueryError`."""
        parameters.time_ms(form, "start", 0), parameters.time_ms(form, "end", 0)
        if len(form.get("match[]", ())) > _MOST_SELECTORS:
            raise BadData(f'invalid parameter "match[]": there are more than {_MOST_SELECTORS}')
        try:
            wanted = [selectors(text) for text in form.get("match[]", ())]
        except BadData as error:
            raise BadData(f'invalid parameter "match[]": {error}') from error
        try:
            await self._source.refresh()
        except DatabaseAway as error:
            raise SourceAway(str(error)) from error
        if not wanted:
            return self._source.index.every()
        return sorted({one for each in wanted for one in self._source.index.select(each.matchers).frame.labels})

    async def _metadata(self, form: Form) -> bytes:
        metric, limit = parameters.first(form, "metric"), parameters.limit(form)
        found: dict[str, list[dict[str, str]]] = {}
        for target in self._metadata_of():
            for name, told in target.items():
                entry = {"type": told.type, "help": told.help, "unit": told.unit}
                if metric in {"", name} and entry not in found.setdefault(name, []):
                    found[name].append(entry)
        return success(_json(dict(list(found.items())[: limit or None])))

    async def _format(self, form: Form) -> bytes:
        try:
            return success(_json(pretty(parameters.wanted(form, "query"))))
        except BadData as error:
            raise BadData(f'invalid parameter "query": {error}') from error

    def _now(self) -> int:
        return int(self._clock.time() * 1000)


# Rules and alerts are evaluated elsewhere; Grafana asks for what it may expect of this API.
_FIXED: dict[str, Any] = {
    "rules": {"groups": []},
    "alerts": {"alerts": []},
    "status/buildinfo": {
        "version": _SEMANTICS,
        "revision": "",
        "branch": "",
        "buildUser": "context-memory-gateway",
        "buildDate": "",
        "goVersion": "",
    },
}


async def _told(name: str, work: Awaitable[Any]) -> Any:
    """What cannot be read is said of the parameter that holds it."""
    try:
        return await work
    except BadData as error:
        raise BadData(f'invalid parameter "{name}": {error}') from error


async def _written(answer: Answer, *, ranged: bool, limit: int) -> bytes:
    """The answer as JSON; a large one on a thread, and none too large for memory. Raises `ExecutionError`."""
    numbers = answer.size
    if numbers > _MOST_NUMBERS:
        raise ExecutionError(f"the answer has {numbers:,} numbers, more than {_MOST_NUMBERS:,}: ask for longer steps")
    if numbers <= _FEW_NUMBERS:
        return answer_json(answer, ranged=ranged, limit=limit)
    return await asyncio.to_thread(answer_json, answer, ranged=ranged, limit=limit)


def _limits(form: Form) -> Limits:
    lookback = parameters.optional_duration_ms(form, "lookback_delta")
    timeout = parameters.optional_duration_ms(form, "timeout")
    return Limits(lookback or LOOKBACK_MS, TIMEOUT_S if timeout is None else min(TIMEOUT_S, timeout / 1000))


def _listed(found: list[Any], limit: int) -> bytes:
    cut = bool(limit) and len(found) > limit
    return success(_json(found[:limit] if cut else found), [_TRUNCATED] if cut else [])
