"""What reports may hold: an alert is never refused for an odd label, it is made fit to be kept."""

import msgspec

from cmg.alerting.models import Report

MOST_ALERTS = 20_000
_MOST_LABELS = 64
_MOST_NAME, _MOST_VALUE, _MOST_NOTE = 200, 1000, 4000


def cleaned(report: Report) -> Report:
    """The report with bounded labels and annotations, and without characters that no table takes."""
    labels = {
        _fit(name, _MOST_NAME): _fit(value, _MOST_VALUE) for name, value in sorted(report.labels.items()) if value
    }
    notes = {_fit(name, _MOST_NAME): _fit(value, _MOST_NOTE) for name, value in report.annotations.items()}
    return msgspec.structs.replace(
        report,
        labels=dict(list(labels.items())[:_MOST_LABELS]),
        annotations=dict(list(notes.items())[:_MOST_LABELS]),
        generator_url=_fit(report.generator_url, _MOST_VALUE),
    )


def _fit(text: str, most: int) -> str:
    return text[:most].replace("\x00", "�").encode("utf-8", "replace").decode()
