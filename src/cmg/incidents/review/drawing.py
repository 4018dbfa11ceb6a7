"""Lines over time as SVG: axes with round numbers, a mark where the incident began and ended. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

_WIDTH, _HEIGHT = 720, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 32, 36
_COLOURS = ("#3b5bdb", "#c2500a", "#2a7d46", "#862e9c", "#5c5f66")
_STYLE = "font-family:system-ui,sans-serif;font-size:12px"
_ANCHORS = ("start", "middle", "middle", "end")
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Line:
    """One series: its name, and (epoch seconds, value) in order of time. Values that are no numbers are gaps."""

    name: str
    points: Points


@dataclass(frozen=True)
class Figure:
    """What is drawn: `since` to `until` in epoch seconds; `marks` are moments with a word each."""

    title: str
    unit: str
    since: float
    until: float
    lines: Sequence[Line]
    marks: Sequence[tuple[float, str]] = ()


def svg(figure: Figure) -> str:
    """The drawing of at most five lines; one without points says that there were no samples."""
    values = [value for line in figure.lines for _, value in line.points if math.isfinite(value)]
    top = round_up(max([0.0, *values]))
    title = escape(figure.title)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
            f'height="{_HEIGHT}" role="img" aria-label="{title}" style="{_STYLE}">'
        ),
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="18" font-weight="600">{title}</text>',
        *_grid(figure, top),
        *_marks(figure),
        *_lines(figure, top),
    ]
    if not values:
        parts.append(f'<text x="{_WIDTH // 2}" y="{_HEIGHT // 2}" text-anchor="middle">no samples of this time</text>')
    return "".join([*parts, "</svg>"])


def round_up(value: float) -> float:
    """The next of 1, 2, 2.5, 5 times a power of ten; 1 of nothing."""
    if value <= 0 or not math.isfinite(value):
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 2.5, 5, 10, 20) if value <= step * power)


def _x(figure: Figure, moment: float) -> float:
    share = (moment - figure.since) / max(1e-9, figure.until - figure.since)
    return round(_LEFT + min(1.0, max(0.0, share)) * (_WIDTH - _LEFT - _RIGHT), 1)


def _y(value: float, top: float) -> float:
    return round(_HEIGHT - _BOTTOM - min(1.0, max(0.0, value / top)) * (_HEIGHT - _TOP - _BOTTOM), 1)


def _grid(figure: Figure, top: float) -> list[str]:
    parts = []
    for value in (top * step / 4 for step in range(5)):
        y, told = _y(value, top), escape(_number(value, figure.unit))
        parts.append(f'<path d="M{_LEFT} {y}H{_WIDTH - _RIGHT}" stroke="#dee2e6"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{told}</text>')
    for step, anchor in enumerate(_ANCHORS):
        moment = figure.since + (figure.until - figure.since) * step / 3
        told = datetime.fromtimestamp(moment, UTC).strftime("%d %b %H:%M")
        parts.append(f'<text x="{_x(figure, moment)}" y="{_HEIGHT - 18}" text-anchor="{anchor}">{told}</text>')
    return parts


def _marks(figure: Figure) -> list[str]:
    parts = []
    for moment, word in figure.marks:
        x = _x(figure, moment)
        parts.append(f'<path d="M{x} {_TOP}V{_HEIGHT - _BOTTOM}" stroke="#b3261e" stroke-dasharray="4 3"/>')
        parts.append(f'<text x="{x + 3}" y="{_TOP + 10}" fill="#b3261e">{escape(word)}</text>')
    return parts


def _lines(figure: Figure, top: float) -> list[str]:
    parts = []
    for place, (line, colour) in enumerate(zip(figure.lines, _COLOURS, strict=False)):
        drawn = _path(figure, line, top)
        if drawn:
            parts.append(f'<path d="{drawn}" fill="none" stroke="{colour}" stroke-width="1.5" stroke-linecap="round"/>')
        if len(figure.lines) > 1:
            x = _LEFT + place * 130
            parts.append(f'<text x="{x}" y="{_HEIGHT - 4}" fill="{colour}">{escape(line.name[:20])}</text>')
    return parts


def _path(figure: Figure, line: Line, top: float) -> str:
    """The pen is lifted where there is no number."""
    path, down = [], False
    for moment, value in line.points:
        if math.isfinite(value):
            path.append(f"{'L' if down else 'M'}{_x(figure, moment)} {_y(value, top)}")
        down = math.isfinite(value)
    return "".join(path)


def _number(value: float, unit: str) -> str:
    return f"{value * 100:g} %" if unit == "%" else f"{value:.4g} {unit}".strip()
