"""English words for days, resolved relative to when they were said.

Understood are: today, yesterday, tomorrow, the days next to them, "last night", "three days ago", "in two weeks",
"last/this/next/on Friday", "last/next week|month|year" (its first day), "2026-05-05", "5 May", "May 5th, 2026" and
"in May 2026" (its first day). A date without a year is the one nearest to when it was said, in a sentence about the
past the last one; "on Friday" is the coming one, or in such a sentence the last one. Anything else is no date.
"""

import calendar
import re
from collections.abc import Iterable
from datetime import date, timedelta
from typing import NamedTuple

_WEEKDAYS = {name.lower(): place for place, name in enumerate(calendar.day_name)}
_MONTHS = {name.lower(): place for place, name in enumerate(calendar.month_name) if name}
_MONTHS |= {name.lower(): place for place, name in enumerate(calendar.month_abbr) if name} | {"sept": 9}
_NUMBERS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
            "nine": 9, "ten": 10, "a couple of": 2, "a few": 3}  # fmt: skip
_DAYS = {"day": 1, "week": 7, "month": 30, "year": 365}
_NEAR = {
    "the day before yesterday": -2,
    "yesterday": -1,
    "last night": -1,
    "today": 0,
    "tonight": 0,
    "this morning": 0,
    "this afternoon": 0,
    "this evening": 0,
    "tomorrow": 1,
    "the day after tomorrow": 2,
}


def _any(names: Iterable[str]) -> str:
    """An expression for any of these names, the longest first, that stands blanks in a verbose expression."""
    return "|".join(sorted(names, key=len, reverse=True)).replace(" ", r"\s")


_NUMBER = rf"(?:\d{{1,3}}|{_any(_NUMBERS)})"
_MONTH = rf"(?:{_any(_MONTHS)})"
_WEEKDAY = rf"(?:{_any(_WEEKDAYS)})"
_EXPRESSION = re.compile(
    rf"""\b(?:
      (?P<iso>\d{{4}}-\d{{2}}-\d{{2}})
    | (?P<near>{_any(_NEAR)})
    | (?P<ago>{_NUMBER})\s(?P<ago_unit>day|week|month|year)s?\sago
    | in\s(?P<ahead>{_NUMBER})\s(?P<ahead_unit>day|week|month|year)s?
    | (?P<which>last|this|this\scoming|next|on)\s(?P<weekday>{_WEEKDAY})
    | (?P<turn>last|next)\s(?P<turn_unit>week|month|year)
    | (?:the\s)?(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\s(?:of\s)?(?P<month>{_MONTH})\.?(?:,?\s(?P<year>\d{{4}}))?
    | (?P<month2>{_MONTH})\.?\s(?P<day2>\d{{1,2}})(?:st|nd|rd|th)?(?:,?\s(?P<year2>\d{{4}}))?
    | in\s(?P<month3>{_MONTH})(?:\s(?P<year3>\d{{4}}))?
    )\b""",
    re.IGNORECASE | re.VERBOSE,
)
_AHEAD = re.compile(  # what was planned, or moved to a day, lies ahead however it is told
    r"\b(?:will|going to|shall|plan\w*|schedul\w+|book(?:ed|ing)|reserv\w+|decid\w+|agreed|promis\w+|want\w*|"
    r"hop(?:e|ed|ing)|expect\w*|invit\w+|postponed|rescheduled)\b|['\u2019]ll\b",
    re.IGNORECASE,
)
_UP_TO = re.compile(r"\b(?:for|to|until|till|by)\s*$", re.IGNORECASE)
_PAST = re.compile(r"\b(?:was|were|went|had|did|got|met|saw|came|took|bought|made|\w{2,}ed)\b", re.IGNORECASE)


class When(NamedTuple):
    """A day, and how exactly the words name it: `day`, `week`, `month` or `year`."""

    day: date
    exact: str = "day"

    @property
    def text(self) -> str:
        """As it is written for search: "Tuesday, 5 May 2026", "week of 4 May 2026", "May 2026", "2026"."""
        if self.exact == "year":
            return str(self.day.year)
        month = f"{calendar.month_name[self.day.month]} {self.day.year}"
        if self.exact == "month":
            return month
        if self.exact == "week":
            return f"week of {self.day.day} {month}"
        return f"{calendar.day_name[self.day.weekday()]}, {self.day.day} {month}"


def when(sentence: str, said_on: date) -> When | None:
    """The first date that a sentence names."""
    found = _EXPRESSION.search(sentence)
    if found is None:
        return None
    given = {name: text.lower() for name, text in found.groupdict().items() if text is not None}
    try:
        past = _PAST.search(sentence) is not None
        if "month" in given or "month2" in given or "month3" in given:
            past = past and not _AHEAD.search(sentence) and not _UP_TO.search(sentence, 0, found.start())
        day = _day(given, said_on, past=past)
    except (ValueError, OverflowError):  # the 31st of June
        return None
    unit = given.get("ago_unit") or given.get("ahead_unit") or given.get("turn_unit") or "day"
    return When(day, "month" if "month3" in given else unit)


def _day(given: dict[str, str], said_on: date, *, past: bool) -> date:
    if "iso" in given:
        return date.fromisoformat(given["iso"])
    if "near" in given:
        return said_on + timedelta(days=_NEAR[" ".join(given["near"].split())])
    if "ago" in given:
        return _moved(said_on, -_number(given["ago"]), given["ago_unit"])
    if "ahead" in given:
        return _moved(said_on, _number(given["ahead"]), given["ahead_unit"])
    if "weekday" in given:
        back = given["which"] == "last" or (given["which"] == "on" and past)
        return _weekday(said_on, _WEEKDAYS[given["weekday"]], back=back)
    if "turn" in given:
        return _turn(said_on, given["turn_unit"], -1 if given["turn"] == "last" else 1)
    month = _MONTHS[given.get("month") or given.get("month2") or given["month3"]]
    day = int(given.get("day") or given.get("day2") or 1)
    year = given.get("year") or given.get("year2") or given.get("year3")
    return date(int(year), month, day) if year else _nearest(said_on, month, day, past=past)


def _number(words: str) -> int:
    return int(words) if words.isdigit() else _NUMBERS[words]


def _moved(said_on: date, count: int, unit: str) -> date:
    if unit in {"day", "week"}:
        return said_on + timedelta(days=count * _DAYS[unit])
    months = said_on.month - 1 + count * (12 if unit == "year" else 1)
    year, month = said_on.year + months // 12, months % 12 + 1
    return date(year, month, min(said_on.day, calendar.monthrange(year, month)[1]))


def _weekday(said_on: date, weekday: int, *, back: bool) -> date:
    """The nearest such day, strictly before or strictly after."""
    if back:
        return said_on - timedelta(days=(said_on.weekday() - weekday - 1) % 7 + 1)
    return said_on + timedelta(days=(weekday - said_on.weekday() - 1) % 7 + 1)


def _turn(said_on: date, unit: str, step: int) -> date:
    """The first day of the week, month or year before or after."""
    if unit == "week":
        return said_on - timedelta(days=said_on.weekday()) + timedelta(days=7 * step)
    if unit == "month":
        return _moved(said_on.replace(day=1), step, "month")
    return date(said_on.year + step, 1, 1)


def _nearest(said_on: date, month: int, day: int, *, past: bool) -> date:
    days = [date(year, month, day) for year in (said_on.year - 1, said_on.year, said_on.year + 1)]
    return min((one for one in days if one <= said_on or not past), key=lambda one: abs((one - said_on).days))
