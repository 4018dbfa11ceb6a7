"""Pictures: sparklines as plain SVG, and charts that a person can look into."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup
from nicegui import ui

from cmg.console.parts.figures import read

Points = Sequence[Sequence[float]]
_WIDE, _HIGH = 220, 48
# Apart for people who see colours differently, readable on light and on dark (Okabe and Ito, without black and yellow).
COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7a7a7a")
_INK = "#7d8894"
_NO_LABEL = {"show": False}


def sparkline(points: Points, label: str, unit: str = "") -> Markup:
    """How a figure went, without axes; `label` is what a screen reader says, with the last value."""
    if len(points) < 2:
        return Markup('<p class="cmg-empty">No figures yet.</p>')
    values = [value for _, value in points]
    low, high = min(0.0, *values), max(values)
    since, until = points[0][0], points[-1][0]
    across, up = _WIDE / ((until - since) or 1), (_HIGH - 4) / ((high - low) or 1)
    way = " ".join(f"{(at - since) * across:.1f},{_HIGH - 2 - (value - low) * up:.1f}" for at, value in points)
    told = f"{label}: now {read(values[-1], unit)}, at most {read(high, unit)}"
    return Markup(
        '<svg class="cmg-spark" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<polyline points="{}" fill="none" stroke="currentColor" stroke-width="2" vector-effect="non-scaling-stroke"/>'
        "</svg>"
    ).format(_WIDE, _HIGH, told, way)


def lines(
    series: Sequence[Mapping[str, Any]],
    unit: str,
    thresholds: Sequence[Mapping[str, Any]] = (),
    marks: Sequence[tuple[float, str]] = (),
) -> ui.echart:
    """Lines over time: `{name, points: [[epoch seconds, value]]}` each; `marks`: what happened when."""
    drawn: list[dict[str, Any]] = [
        {
            "type": "line",
            "name": one["name"],
            "showSymbol": len(one["points"]) < 3,
            "lineStyle": {"width": 1.5},
            "data": [[at * 1000, value] for at, value in one["points"]],
        }
        for one in series
    ]
    levels = _levels(thresholds, "yAxis")
    moments = [{"xAxis": at * 1000, "name": title, "lineStyle": {"color": _INK}} for at, title in marks]
    if drawn and (levels or moments):
        label = {"show": True, "formatter": "{b}", "position": "insideEndTop", "color": _INK, "fontSize": 10}
        drawn[0]["markLine"] = {"symbol": "none", "silent": True, "data": [*levels, *moments], "label": label}
    return ui.echart({**_frame(unit), "xAxis": {"type": "time", **_axis()}, "series": drawn}).classes("cmg-chart")


def bars(values: Sequence[Mapping[str, Any]], unit: str, thresholds: Sequence[Mapping[str, Any]] = ()) -> ui.echart:
    """Named values beside each other: `{name, value}` each."""
    options = _frame(unit)
    options["xAxis"], options["yAxis"] = (
        {**options["yAxis"]},
        {
            "type": "category",
            "inverse": True,
            "data": [one["name"] for one in values],
            **_axis(),
        },
    )
    drawn: dict[str, Any] = {"type": "bar", "data": [one["value"] for one in values]}
    if thresholds:
        drawn["markLine"] = {"symbol": "none", "silent": True, "data": _levels(thresholds, "xAxis"), "label": _NO_LABEL}
    options["series"] = [drawn]
    options["tooltip"] = {"trigger": "axis", "axisPointer": {"type": "shadow"}, "confine": True}
    return ui.echart(options).classes("cmg-chart")


def _levels(thresholds: Sequence[Mapping[str, Any]], axis: str) -> list[dict[str, Any]]:
    return [{axis: one["value"], "lineStyle": {"color": one["color"], "width": 2}} for one in thresholds]


def _axis() -> dict[str, Any]:
    return {"axisLabel": {"color": _INK, "hideOverlap": True}, "axisLine": {"lineStyle": {"color": _INK}}}


def _frame(unit: str) -> dict[str, Any]:
    formatter = f"value => cmg.read(value, '{unit}')"
    return {
        "animation": False,
        "color": list(COLORS),
        "aria": {"enabled": True},
        "grid": {"left": 8, "right": 16, "top": 12, "bottom": 30, "containLabel": True},
        "legend": {"type": "scroll", "bottom": 0, "textStyle": {"color": _INK}, "icon": "roundRect", "itemHeight": 8},
        "tooltip": {"trigger": "axis", "confine": True, ":valueFormatter": formatter},
        "yAxis": {
            "type": "value",
            "splitLine": {"lineStyle": {"color": _INK, "opacity": 0.25}},
            "axisLabel": {"color": _INK, ":formatter": formatter},
        },
    }
