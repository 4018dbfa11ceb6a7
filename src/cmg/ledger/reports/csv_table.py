"""A report as CSV (RFC 4180) whose cells no spreadsheet takes for a formula."""

import csv
import io
from typing import Any

from cmg.ledger.reports.usage_reports import SUMS, UsageReport

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_table(report: UsageReport) -> str:
    """One line of names, then one line an item; the same columns as in JSON."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*report.groups, *SUMS])
    for item in report.items:
        writer.writerow([*(_cell(item[group]) for group in report.groups), *(_number(item[name]) for name in SUMS)])
    return text.getvalue()


def _cell(value: Any) -> str:
    """Names that callers choose: one that begins like a formula gets the apostrophe that makes it text."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _number(value: float) -> str:
    return f"{value:.9f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
