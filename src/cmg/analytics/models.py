"""What a panel's reader chose, and the figures that a panel draws."""

import json
import re
from collections.abc import Mapping
from datetime import datetime

import msgspec

from cmg.kit.clock import at
from cmg.kit.errors import InvalidRequest

STEPS_MAX = 1000
_STEPS = 200  # of a picture, where nobody asked for others
_SPAN_MAX_S = 400 * 86400
_DEFAULT_SPAN_S = 3600.0
_SCRAPE_S = 15.0
# A step is one of these, so that pictures of one span have the same steps, whoever asks.
_NICE_S = (15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800, 604800)


class Look(msgspec.Struct, frozen=True):
    """From when (epoch seconds, included) to when (left out), by which step; None: everything."""

    since: float
    until: float
    step: float
    workspace: str | None = None
    upstream: str | None = None
    instance: str | None = None

    @property
    def window_s(self) -> int:
        """Of a rate: what the panel's step covers, but four scrapes at the least."""
        return int(max(4 * _SCRAPE_S, self.step))


class Line(msgspec.Struct, frozen=True):
    """One series: [epoch seconds, value] in the order of time."""

    name: str
    points: list[tuple[float, float]]


class Value(msgspec.Struct, frozen=True):
    """One named number."""

    name: str
    value: float


class Picture(msgspec.Struct, frozen=True):
    """What a panel draws, by its form: lines, values (number and bars), or a table's heads and rows."""

    lines: list[Line] = []
    values: list[Value] = []
    columns: list[str] = []
    rows: list[list[str | float | None]] = []

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not (self.lines or self.values or self.rows)


class Event(msgspec.Struct, frozen=True):
    """Something that happened, of a kind of annotation; epoch seconds, `until` None: a moment, or it goes on."""

    kind: str
    since: float
    until: float | None
    text: str
    tags: list[str]


def look(asked: Mapping[str, str | None], now: float) -> Look:
    """The parameters `from`, `to`, `step`, `workspace`, `upstream`, `instance`; the last hour where none is given.

    Moments are RFC 3339 with an offset or epoch seconds. Raises `InvalidRequest` naming the field.
    """
    for name, value in asked.items():
        if value is not None and ("\x00" in value or len(value) > 200):
            raise InvalidRequest(f"`{name}` is too long or holds a NUL character", param=name)
    until = _moment("to", asked.get("to"), now)
    since = _moment("from", asked.get("from"), until - _DEFAULT_SPAN_S)
    if not 0 < until - since <= _SPAN_MAX_S:
        raise InvalidRequest("`from` must be before `to`, by at most 400 days", param="from")
    step = _step(asked.get("step"), until - since)
    names = (asked.get("workspace") or None, asked.get("upstream") or None, asked.get("instance") or None)
    return Look(since, until, step, *names)


def matcher(value: str | None) -> str:
    """A regular expression inside a PromQL string that means this label value; None: every value."""
    if value is None:
        return ".*"
    return json.dumps(re.escape(value), ensure_ascii=False)[1:-1]  # the escapes of JSON are PromQL's, too


def _moment(name: str, text: str | None, default: float) -> float:
    if not text:
        return default
    try:
        moment = float(text)
    except ValueError:
        moment = _dated(name, text)
    try:
        at(moment)
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidRequest(f"`{name}` is no moment of a calendar", param=name) from error
    return moment


def _dated(name: str, text: str) -> float:
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))  # an unencoded + arrives as a space
    except ValueError as error:
        raise InvalidRequest(
            f"`{name}` is a moment like 2026-11-23T20:27:28Z or seconds since 1970", param=name
        ) from error
    if moment.tzinfo is None:
        raise InvalidRequest(f"`{name}` needs an offset, like 2026-11-23T20:27:28Z", param=name)
    return moment.timestamp()


def _step(text: str | None, span: float) -> float:
    if not text:
        return next((float(nice) for nice in _NICE_S if nice * _STEPS >= span), float(_NICE_S[-1]))
    try:
        step = float(text)
    except ValueError:
        step = 0
    if not (1 <= step <= _SPAN_MAX_S and span / step <= STEPS_MAX):
        raise InvalidRequest(
            f"`step` is in seconds, at least 1, with at most {STEPS_MAX} steps in the span", param="step"
        )
    return step
