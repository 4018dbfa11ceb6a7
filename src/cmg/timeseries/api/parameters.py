"""Times, durations and numbers as Prometheus' HTTP API reads them."""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from cmg.timeseries.errors import BadData

Form = Mapping[str, Sequence[str]]

_MOST_POINTS = 11_000
_DURATION = re.compile(
    r"(?:(?P<y>\d+)y)?(?:(?P<w>\d+)w)?(?:(?P<d>\d+)d)?(?:(?P<h>\d+)h)?(?:(?P<m>\d+)m)?(?:(?P<s>\d+)s)?(?:(?P<ms>\d+)ms)?",
    re.ASCII,
)
_LONGEST_NUMBER = 18  # digits; Python reads no number of thousands
_UNITS_MS = {"y": 31_536_000_000, "w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_LONGEST_MS = 292 * _UNITS_MS["y"]


def first(form: Form, name: str) -> str:
    """The first value of a parameter, or an empty string."""
    values = form.get(name)
    return values[0] if values else ""


def wanted(form: Form, name: str) -> str:
    """The same of one that must be there. Raises `BadData`."""
    value = first(form, name)
    if not value:
        raise BadData(f'invalid parameter "{name}": it is missing or empty')
    return value


def time_ms(form: Form, name: str, otherwise_ms: int | None = None) -> int:
    """A moment: seconds since 1970, or RFC 3339. Raises `BadData`."""
    text = first(form, name)
    if not text and otherwise_ms is not None:
        return otherwise_ms
    wrong = BadData(f'invalid parameter "{name}": cannot parse "{text}" to a valid timestamp')
    try:
        seconds = float(text)
    except ValueError:
        return _calendar_ms(text, wrong)
    if not abs(seconds) < _LONGEST_MS:
        raise wrong
    rest, whole = math.modf(seconds)
    # Rounded to ms, then cut, as Prometheus does.
    return int(whole) * 1000 + int(math.floor(abs(rest) * 1000 + 0.5) / 1000 * 1e9) // 1_000_000 * (1, -1)[rest < 0]


def _calendar_ms(text: str, wrong: BadData) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise wrong from error
    if moment.tzinfo is None:
        raise wrong
    return round(moment.timestamp() * 1000)


def duration_ms(text: str) -> int:
    """A duration: seconds, or as `1h30m`. Raises `BadData`."""
    try:
        seconds = float(text)
    except ValueError:
        found = _DURATION.fullmatch(text)
        if not text or found is None or any(len(number or "") > _LONGEST_NUMBER for number in found.groups()):
            raise BadData(f'cannot parse "{text}" to a valid duration') from None
        ms = sum(int(number) * _UNITS_MS[unit] for unit, number in found.groupdict().items() if number)
    else:
        if not math.isfinite(seconds):
            raise BadData(f'cannot parse "{text}" to a valid duration. It overflows int64')
        ms = int(seconds * 1000)
    if abs(ms) > _LONGEST_MS:
        raise BadData(f'cannot parse "{text}" to a valid duration. It overflows int64')
    return ms


def optional_duration_ms(form: Form, name: str) -> int | None:
    """A duration that may be left out. Raises `BadData`."""
    text = first(form, name)
    if not text:
        return None
    try:
        return duration_ms(text)
    except BadData as error:
        raise BadData(f'invalid parameter "{name}": {error}') from error


def limit(form: Form) -> int:
    """How many results at most; 0 is no limit. Raises `BadData`."""
    text = first(form, "limit")
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER):
        raise BadData(f'invalid parameter "limit": {text[:40]} is no number of results')
    return int(text)


def steps(form: Form) -> tuple[int, int, int]:
    """Start, end and step of a range query, in ms. Raises `BadData`."""
    start, end = time_ms(form, "start"), time_ms(form, "end")
    if end < start:
        raise BadData('invalid parameter "end": end timestamp must not be before start time')
    step = optional_duration_ms(form, "step")
    if step is None:
        raise BadData('invalid parameter "step": cannot parse "" to a valid duration')
    if step <= 0:
        raise BadData(
            'invalid parameter "step": zero or negative query resolution step widths are not accepted. '
            "Try a positive integer"
        )
    if (end - start) // step > _MOST_POINTS:
        raise BadData(
            f"exceeded maximum resolution of {_MOST_POINTS:,} points per timeseries. "
            "Try decreasing the query resolution (?step=XX)"
        )
    return start, end, step
