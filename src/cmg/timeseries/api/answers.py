"""Answers of queries as JSON, in Prometheus' shapes and its way to write numbers."""

from collections.abc import Iterable, Iterator

import msgspec
import numpy as np

from cmg.timeseries.labels import Labels
from cmg.timeseries.promql.engine import Answer
from cmg.timeseries.promql.vectors import Vector
from cmg.timeseries.samples import Samples, Times, Values
from cmg.timeseries.written import sample_value, timestamp

_quoted = msgspec.json.encode
_TRUNCATED = "results truncated due to limit"


def success(data: bytes, warnings: Iterable[str] = ()) -> bytes:
    """The envelope around `data`, which is JSON."""
    told = [*warnings]
    tail = b',"warnings":' + _quoted(told) if told else b""
    return b'{"status":"success","data":' + data + tail + b"}"


def failure(kind: str, message: str) -> bytes:
    """The envelope of an error."""
    return _quoted({"status": "error", "errorType": kind, "error": message})


def answer_json(answer: Answer, *, ranged: bool, limit: int) -> bytes:
    """What `/api/v1/query` (or `query_range`) answers; at most `limit` series when it is not 0."""
    kind, rows = _rows(answer, ranged=ranged)
    if kind in {"scalar", "string"}:
        return success(b'{"resultType":"%s","result":%s}' % (kind.encode(), b"".join(rows)))
    found = list(rows)
    warnings = [_TRUNCATED] if limit and len(found) > limit else []
    body = b",".join(found[:limit] if limit else found)
    return success(b'{"resultType":"%s","result":[%s]}' % (kind.encode(), body), warnings)


def _rows(answer: Answer, *, ranged: bool) -> tuple[str, Iterator[bytes]]:
    value, times = answer.value, answer.grid.times
    if isinstance(value, str):
        return "string", iter([b"[%s,%s]" % (timestamp(int(times[0])).encode(), _quoted(value))])
    if isinstance(value, Samples):
        return "matrix", _raw(value)
    if isinstance(value, Vector):
        return ("matrix", _matrix(value, times)) if ranged else ("vector", _instant(value, times))
    if ranged:
        return "matrix", iter([_series((), times, value)])
    return "scalar", iter([_pair(int(times[0]), float(value[0]))])


def _instant(vector: Vector, times: Times) -> Iterator[bytes]:
    for row in np.nonzero(vector.present[:, 0])[0]:
        labels = _quoted(dict(vector.frame.labels[row]))
        yield b'{"metric":%s,"value":%s}' % (labels, _pair(int(times[0]), float(vector.values[row, 0])))


def _matrix(vector: Vector, times: Times) -> Iterator[bytes]:
    """Sorted by labels, as Prometheus gives them; series without any value are left out."""
    rows = np.nonzero(vector.present.any(axis=1))[0].tolist()
    for row in sorted(rows, key=vector.frame.labels.__getitem__):
        there = vector.present[row]
        yield _series(vector.frame.labels[row], times[there], vector.values[row][there])


def _raw(samples: Samples) -> Iterator[bytes]:
    for row, labels in enumerate(samples.frame.labels):
        part = slice(samples.offsets[row], samples.offsets[row + 1])
        if part.stop > part.start:
            yield _series(labels, samples.times[part], samples.values[part])


def _series(labels: Labels, times: Times, values: Values) -> bytes:
    pairs = b",".join(_pair(time, value) for time, value in zip(times.tolist(), values.tolist(), strict=True))
    return b'{"metric":%s,"values":[%s]}' % (_quoted(dict(labels)), pairs)


def _pair(time_ms: int, value: float) -> bytes:
    return f'[{timestamp(time_ms)},"{sample_value(value)}"]'.encode()
