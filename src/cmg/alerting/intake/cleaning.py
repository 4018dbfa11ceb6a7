"""What reports may hold: an alert is never refused for an odd label, it is made fit to be kept."""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from cmg.alerting.models import Report

MOST_ALERTS = 20_000
_MOST_LABELS = 64
_FIRST = ("alertname", "severity", "service", "component", "incident", "runbook_url", "summary", "description")
_YEARS = 1971, 9998
_MOST_NAME, _MOST_VALUE, _MOST_NOTE = 200, 1000, 4000


def cleaned(report: Report) -> Report:
    """The report with bounded labels and annotations, and without characters that no table takes."""
    return msgspec.structs.replace(
        report,
        labels=_bounded({name: value for name, value in report.labels.items() if value}, _MOST_VALUE),
        annotations=_bounded(report.annotations, _MOST_NOTE),
        generator_url=_fit(report.generator_url, _MOST_VALUE),
    )


def known_moment(read: datetime | None) -> float | None:
    """Epoch seconds; None for what stands for no time, as Go's year 1, and for the end of all times."""
    return read.timestamp() if read is not None and _YEARS[0] <= read.year <= _YEARS[1] else None


def _bounded(told: Mapping[str, str], most: int) -> dict[str, str]:
    """By name; of too many, those that say what it is and how urgent stay."""
    kept = sorted(told, key=lambda name: (name not in _FIRST, name))[:_MOST_LABELS]
    return {_fit(name, _MOST_NAME): _fit(told[name], most) for name in sorted(kept)}


def _fit(text: str, most: int) -> str:
    return text[:most].replace("\x00", "�").encode("utf-8", "replace").decode()
