"""Ninety days of a component as a small drawing, and in words for those who cannot see it."""

from collections.abc import Sequence
from html import escape

from cmg.incidents.status.models import Day

# State → class, and the height of its bar: trouble is told by the shape too, not by colour alone.
_DRAWN = {
    "operational": ("ok", 20),
    "under_maintenance": ("w", 12),
    "degraded_performance": ("d", 24),
    "partial_outage": ("p", 28),
    "major_outage": ("m", 32),
    None: ("n", 4),
}
_HEIGHT = 32


def bars(days: Sequence[Day], label: str) -> str:
    """One bar a day, oldest first; bars of one kind are one path."""
    paths: dict[str, list[str]] = {}
    for place, day in enumerate(days):
        kind, height = _DRAWN[day.state]
        paths.setdefault(kind, []).append(f"M{place * 4} {_HEIGHT - height}h3v{height}h-3z")
    drawn = "".join(f'<path class="{kind}" d="{"".join(parts)}"/>' for kind, parts in paths.items())
    box = f"0 0 {len(days) * 4 - 1} {_HEIGHT}"
    return f'<svg viewBox="{box}" preserveAspectRatio="none" role="img" aria-label="{escape(label)}">{drawn}</svg>'


def trouble(days: Sequence[Day]) -> str:
    """The days with trouble, newest first, for how long each."""
    told = [f"<li>{day.day:%-d %b %Y}: {words}</li>" for day in reversed(days) if (words := _words(day))]
    if not told:
        return ""
    days_word = "day" if len(told) == 1 else "days"
    summary = f"<summary>{len(told)} {days_word} with trouble</summary>"
    return f'<details class="small">{summary}<ul>{"".join(told)}</ul></details>'


def _words(day: Day) -> str:
    parts = (
        ("major outage", day.major_s),
        ("partial outage", day.partial_s),
        ("degraded", day.degraded_s),
    )
    return ", ".join(f"{name} {round(seconds / 60)} min" for name, seconds in parts if seconds >= 60)
