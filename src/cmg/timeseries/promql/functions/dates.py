"""Parts of a date, UTC, of values that are seconds since 1970."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cmg.timeseries.samples import Values

_LAST_S = 2.5e11  # in the year 9892


def _seconds(values: Values) -> NDArray[np.int64]:
    return np.trunc(np.clip(np.nan_to_num(values), -_LAST_S, _LAST_S)).astype(np.int64)


def _days(values: Values) -> NDArray[np.datetime64]:
    return _seconds(values).astype("datetime64[s]").astype("datetime64[D]")


def _months(values: Values) -> NDArray[np.datetime64]:
    return _days(values).astype("datetime64[M]")


def _known(values: Values, part: NDArray[np.int64]) -> Values:
    """A part of each date; NaN where the value is no date."""
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(values) <= _LAST_S, part.astype(np.float64), np.nan)


def minute(values: Values) -> Values:
    """0 to 59."""
    return _known(values, _seconds(values) // 60 % 60)


def hour(values: Values) -> Values:
    """0 to 23."""
    return _known(values, _seconds(values) // 3600 % 24)


def day_of_week(values: Values) -> Values:
    """0 is Sunday."""
    return _known(values, (_seconds(values) // 86_400 + 4) % 7)


def day_of_month(values: Values) -> Values:
    """1 to 31."""
    return _known(values, (_days(values) - _months(values).astype("datetime64[D]")).astype(np.int64) + 1)


def day_of_year(values: Values) -> Values:
    """1 to 366."""
    years = _days(values).astype("datetime64[Y]").astype("datetime64[D]")
    return _known(values, (_days(values) - years).astype(np.int64) + 1)


def days_in_month(values: Values) -> Values:
    """28 to 31."""
    months = _months(values)
    next_ones = months + np.timedelta64(1, "M")
    return _known(values, (next_ones.astype("datetime64[D]") - months.astype("datetime64[D]")).astype(np.int64))


def month(values: Values) -> Values:
    """1 to 12."""
    return _known(values, _months(values).astype(np.int64) % 12 + 1)


def year(values: Values) -> Values:
    """With its century."""
    return _known(values, _days(values).astype("datetime64[Y]").astype(np.int64) + 1970)


DATES: dict[str, Callable[[Values], Values]] = {
    "minute": minute,
    "hour": hour,
    "day_of_week": day_of_week,
    "day_of_month": day_of_month,
    "day_of_year": day_of_year,
    "days_in_month": days_in_month,
    "month": month,
    "year": year,
}
