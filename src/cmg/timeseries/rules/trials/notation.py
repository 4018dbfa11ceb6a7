"""promtool's notation of series and of their values: `up{job="a"}` and `0+1x10 _x3 stale NaN`."""

import re

from cmg.timeseries.errors import QueryError
from cmg.timeseries.labels import Labels, labels_of
from cmg.timeseries.promql.parsing import selectors
from cmg.timeseries.samples import STALE

_NUMBER = r"(?:(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|inf(?:inity)?|nan)"
_RUN = re.compile(rf"(?P<start>[-+]?{_NUMBER})(?P<step>[-+]{_NUMBER})?(?:x(?P<times>\d+))?", re.IGNORECASE)
_GAP = re.compile(r"_(?:x(?P<times>\d+))?")
_MOST = 100_000


class NotationError(ValueError):
    """What is written is no series or no value of one."""


def series_of(text: str) -> Labels:
    """The labels that a text names. Raises `NotationError`."""
    if text.strip() in {"", "{}"}:
        return ()
    try:
        matchers = selectors(text).matchers
    except QueryError as error:
        raise NotationError(f"{text!r} is no series: {error}") from error
    if any(one.op != "=" for one in matchers):
        raise NotationError(f"{text!r} is no series: its labels need =")
    return labels_of((one.name, one.value) for one in matchers)


def values_of(text: str) -> list[float | None]:
    """The values one interval apart; None is a gap. Raises `NotationError`."""
    values: list[float | None] = []
    for word in text.split():
        values += _values(word)
        if len(values) > _MOST:
            raise NotationError(f"a series has more than {_MOST} values")
    return values


def _values(word: str) -> list[float | None]:
    if word == "stale":
        return [STALE]
    gap = _GAP.fullmatch(word)
    if gap is not None:
        return [None] * _count(gap["times"], 1)
    run = _RUN.fullmatch(word)
    if run is None or (run["step"] and run["times"] is None):
        raise NotationError(f"{word!r} is no value of a series; histograms are not supported here")
    value, step = float(run["start"]), float(run["step"] or 0)
    values: list[float | None] = []
    for _ in range(_count(run["times"], 0) + 1):
        values.append(value)
        value += step
    return values


def _count(text: str | None, otherwise: int) -> int:
    count = otherwise if text is None else int(text)
    if count > _MOST:
        raise NotationError(f"a series has more than {_MOST} values")
    return count
