"""A trace as a tree with times, and where its time went."""

from collections.abc import Iterable, Sequence
from typing import Any

from cmg.traces.spans import Span

_SHOWN = 5


def tree(spans: Sequence[Span]) -> list[dict[str, Any]]:
    """The spans that have no known parent, oldest first, each with its children; times are ms from the first one."""
    begin = min(span.start_ns for span in spans)
    below: dict[str, list[Span]] = {}
    known = {span.id for span in spans}
    roots = []
    for span in sorted(spans, key=lambda one: (one.start_ns, one.id)):
        if span.parent in known and span.parent != span.id:
            below.setdefault(span.parent, []).append(span)
        else:
            roots.append(span)
    return [_node(span, below, begin) for span in roots]


def _node(span: Span, below: dict[str, list[Span]], begin: int) -> dict[str, Any]:
    """Children are taken out of `below`, so spans that name each other as parents end the walk."""
    children = below.pop(span.id, [])
    return {
        "span_id": span.id,
        "parent_id": span.parent or None,
        "name": span.name,
        "part": span.part,
        "kind": span.kind,
        "status": "error" if span.failed else "ok",
        "start_ms": _ms(span.start_ns - begin),
        "duration_ms": _ms(span.end_ns - span.start_ns),
        "self_ms": _ms(self_ns(span, children)),
        "attributes": span.attributes,
        "children": [_node(child, below, begin) for child in children],
    }


def self_ns(span: Span, children: Iterable[Span]) -> int:
    """How much of a span's time none of its children covers."""
    covered, reached = 0, span.start_ns
    for child in sorted(children, key=lambda one: one.start_ns):
        low, high = max(child.start_ns, reached), min(child.end_ns, span.end_ns)
        if high > low:
            covered += high - low
            reached = high
    return span.end_ns - span.start_ns - covered


def where(roots: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The spans that took most of the time themselves, with their share of the whole, most first."""
    total = sum(root["duration_ms"] for root in roots)
    found: list[dict[str, Any]] = []
    waiting = list(roots)
    while waiting:
        node = waiting.pop()
        waiting += node["children"]
        found.append(
            {
                "span_id": node["span_id"],
                "name": node["name"],
                "part": node["part"],
                "self_ms": node["self_ms"],
                "share": round(node["self_ms"] / total, 4) if total else 0.0,
            }
        )
    return sorted(found, key=lambda one: -one["self_ms"])[:_SHOWN]


def _ms(ns: int) -> float:
    return round(ns / 1e6, 3)
