"""The post-mortem document as Markdown, filled from the incident. What nobody wrote down yet is said to be missing."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from cmg.incidents.models import COMPONENTS, MEANING, SEVERITIES, Entry, Incident
from cmg.incidents.review.store import Action, Plot
from cmg.incidents.workflow import boxes

_MISSING = "*Not written down yet.*"
_LINES_MAX = 1000
_QUIET = frozenset({"audit"})  # in the timeline over HTTP; here it would bury what matters


def document(
    incident: Incident, timeline: Sequence[Entry], actions: Sequence[Action], plots: Sequence[Plot], now: datetime
) -> str:
    """The whole document; plots are links to `plots/<name>.svg` beside it."""
    parts = [
        f"# Post-mortem of {incident.name}: {_inline(incident.title)}",
        _head(incident),
        "## Summary",
        _text(incident.summary),
        "## Impact",
        _impact(incident),
        "## Cause",
        _text(incident.cause),
        "## Contributing factors",
        "\n".join(f"- {_inline(value)}" for value in incident.factors) or _MISSING,
        "## Workflow",
        _workflow(incident, now),
        "## Metrics",
        _plots(plots),
        "## Timeline",
        _timeline(timeline),
        "## Lessons",
        _text(incident.lessons),
        "## Action items",
        "\n".join(_action(one, now) for one in actions) or _MISSING,
    ]
    return "\n\n".join(parts) + "\n"


def _head(incident: Incident) -> str:
    affected = ", ".join(f"{COMPONENTS[name][0]}: {state}" for name, state in incident.components.items())
    rows = [
        ("Severity", f"{SEVERITIES[incident.severity - 1]}, {MEANING[incident.severity]}"),
        ("Status", incident.status),
        ("Began", _moment(incident.started_at)),
        ("Detected", _moment(incident.detected_at)),
        ("Resolved", _moment(incident.resolved_at)),
        ("Closed", _moment(incident.closed_at)),
        ("Affected", affected or "not said"),
        ("Commander", incident.commander or "nobody"),
        ("Communications", incident.communications or "nobody"),
        ("Scribe", incident.scribe or "nobody"),
    ]
    return _table(("", ""), [(name, _inline(value)) for name, value in rows])


def _impact(incident: Incident) -> str:
    parts = []
    if incident.impact is not None:
        figures = [(name.replace("_", " "), _figure(value)) for name, value in incident.impact.items()]
        parts.append(_table(("figure", "value"), figures))
    parts.append(f"Business: {incident.business_impact or _MISSING}")
    parts.append(f"Reputation: {incident.reputation or _MISSING}")
    return "\n\n".join(parts)


def _workflow(incident: Incident, now: datetime) -> str:
    rows = []
    for box in boxes(incident, now):
        late = f"{box.late_s / 60:.0f} min" if box.late_s else ""
        rows.append((box.name, box.state, _moment(box.due_at), _moment(box.done_at), late))
    return _table(("step", "state", "due", "done", "late"), rows)


def _plots(plots: Sequence[Plot]) -> str:
    if not plots:
        return "*There were no time series to draw from.*"
    return "\n\n".join(f"![{_inline(plot.title)}](plots/{plot.name}.svg)" for plot in plots)


def _timeline(timeline: Sequence[Entry]) -> str:
    shown = [entry for entry in timeline if entry.kind not in _QUIET]
    rows = [(f"{one.at:%Y-%m-%d %H:%M:%S} UTC", one.kind, _inline(one.actor), _inline(one.text)) for one in shown]
    table = _table(("when", "what", "who", ""), rows[:_LINES_MAX])
    left = len(rows) - _LINES_MAX
    return f"{table}\n\n{left} further lines are left out." if left > 0 else table


def _action(one: Action, now: datetime) -> str:
    mark = "x" if one.state == "done" else " "
    owner = f" ({_inline(one.owner)})" if one.owner else ""
    due = f", due {one.due_at:%Y-%m-%d}" if one.due_at else ""
    word = ", dropped" if one.state == "dropped" else ", **overdue**" if one.overdue(now) else ""
    return f"- [{mark}] {_inline(one.text)}{owner}{due}{word}"


def _text(value: str) -> str:
    return value.strip() or _MISSING


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = f"| {' | '.join(names)} |\n| {' | '.join('---' for _ in names)} |"
    return "\n".join([head, *(f"| {' | '.join(row)} |" for row in rows)])


def _inline(value: str) -> str:
    """On one line, and no bar that would end a table's cell."""
    return " ".join(value.split()).replace("|", "\\|").replace("<", "&lt;")


def _figure(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:.4f}".rstrip("0").rstrip(".") if isinstance(value, float) else _inline(str(value))


def _moment(value: datetime | None) -> str:
    return "" if value is None else f"{value:%Y-%m-%d %H:%M} UTC"
