"""A trace as bars over its time: a table, so that it is read by those who cannot see it."""

from collections.abc import Iterator, Mapping
from typing import Any

from markupsafe import Markup

from cmg.console.parts.markup import badge, short

_MOST = 300
_ROW = Markup(
    '<tr><td data-head="Span" style="padding-left:{indent}rem">{name} {failed}</td>'
    '<td data-head="Part">{part}</td><td data-head="Takes" class="cmg-right">{took} ms</td>'
    '<td data-head="Time" style="min-width:12rem"><svg class="cmg-bar" viewBox="0 0 1000 10" '
    'preserveAspectRatio="none" role="img" aria-label="from {start} to {end} ms" width="100%" height="12">'
    '<rect x="{x}" y="1" width="{wide}" height="8" fill="currentColor"/></svg></td></tr>'
)
_TABLE = Markup(
    '<div class="cmg-table-holder"><table class="cmg-table"><thead><tr><th scope="col">Span</th>'
    '<th scope="col">Part</th><th scope="col" class="cmg-right">Takes</th>'
    '<th scope="col">Time, of {whole} ms</th></tr></thead>'
    "<tbody>{rows}</tbody></table></div>{more}"
)


def waterfall(trace: Mapping[str, Any]) -> Markup:
    """At most 300 spans of `/admin/v1/traces/{id}`, in their order, the children below their parents."""
    whole = max(trace["duration_ms"], 0.001)
    spans = list(_flat(trace["spans"], 0))
    rows = Markup("").join(_row(span, depth, whole) for span, depth in spans[:_MOST])
    left = len(spans) - _MOST
    more = Markup('<p class="cmg-quiet">and {} more spans</p>').format(left) if left > 0 else Markup("")
    return _TABLE.format(whole=short(whole), rows=rows, more=more)


def _flat(spans: Any, depth: int) -> Iterator[tuple[Mapping[str, Any], int]]:
    for span in spans:
        yield span, depth
        yield from _flat(span["children"], depth + 1)


def _row(span: Mapping[str, Any], depth: int, whole: float) -> Markup:
    start, took = span["start_ms"], span["duration_ms"]
    return _ROW.format(
        indent=0.7 + min(depth, 12) * 1.1,
        name=span["name"],
        failed=badge("error") if span["status"] == "error" else "",
        part=span["part"],
        took=short(took),
        start=short(start),
        end=short(start + took),
        x=round(start / whole * 1000, 1),
        wide=max(2, round(took / whole * 1000, 1)),
    )
