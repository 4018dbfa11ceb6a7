"""Small pieces of HTML for cells and facts. What comes from outside is escaped; moments are in the viewer's zone."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec
from markupsafe import Markup, escape

from cmg.kit.clock import rfc3339

Tone = Literal["good", "warn", "bad", "quiet", "info"]
NOTHING = Markup('<span class="cmg-quiet" role="img" aria-label="none">&#8211;</span>')
_TONES: Mapping[str, Tone] = {
    "active": "good", "operational": "good", "healthy": "good", "resolved": "good", "done": "good", "closed": "good",
    "degraded": "warn", "suspended": "warn", "acknowledged": "warn", "pending": "warn", "warning": "warn",
    "unhealthy": "bad", "critical": "bad", "firing": "bad", "failed": "bad", "error": "bad", "open": "bad",
}  # fmt: skip


def link(label: object, href: str) -> Markup:
    """A link of this console; a slash begins it."""
    return Markup('<a href="{}">{}</a>').format(href if href.startswith(("/", "https://", "http://")) else "#", label)


def moment(value: str | float | None, *, relative: bool = True) -> Markup:
    """A time, RFC 3339 or epoch seconds: how long ago, the date and clock in its tooltip; or those themselves."""
    if value is None or value == "":
        return NOTHING
    told = rfc3339(value) if isinstance(value, int | float) else str(value)
    form = "relative" if relative else "absolute"
    return Markup('<time datetime="{0}" data-cmg="{1}">{0}</time>').format(told, form)


def badge(word: object, tone: Tone | None = None) -> Markup:
    """A word with a colour, by its meaning where none is given."""
    chosen = tone or _TONES.get(str(word).lower(), "quiet")
    return Markup('<span class="cmg-badge cmg-{}">{}</span>').format(chosen, word)


def badges(words: Iterable[object], tone: Tone = "quiet") -> Markup:
    """Several of them."""
    return Markup(" ").join(badge(word, tone) for word in words) or NOTHING


def code(value: object) -> Markup:
    """An id, a key, an expression."""
    return NOTHING if value in (None, "") else Markup("<code>{}</code>").format(value)


def text(value: object) -> Markup:
    """Text, or a dash for nothing."""
    return NOTHING if value in (None, "", [], {}) else escape(value)


def usd(value: float | str | None) -> Markup:
    """Dollars, with as many places as make a difference."""
    return NOTHING if value is None else Markup('<span class="cmg-number">{}</span>').format(dollars(float(value)))


def dollars(value: float) -> str:
    """`$1,234.50`, `$0.0042`."""
    if value and abs(value) < 1:
        return f"${value:.6f}".rstrip("0").rstrip(".")
    return f"${value:,.2f}"


def number(value: float | None, unit: str = "") -> Markup:
    """A number with its thousands apart."""
    return NOTHING if value is None else Markup('<span class="cmg-number">{}{}</span>').format(short(value), unit)


def short(value: float) -> str:
    """`1,234`, `0.25`."""
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 100 else f"{value:,.3g}"


def facts(pairs: Iterable[tuple[str, object]]) -> Markup:
    """What is known of one thing: names and values."""
    rows = Markup("").join(Markup("<dt>{}</dt><dd>{}</dd>").format(name, _shown(value)) for name, value in pairs)
    return Markup('<dl class="cmg-facts">{}</dl>').format(rows)


def pre(value: Any) -> Markup:
    """A document or a structure as it is."""
    told = value if isinstance(value, str) else msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    return Markup('<pre class="cmg-pre" tabindex="0">{}</pre>').format(told)


def _shown(value: object) -> Markup:
    if isinstance(value, Markup):
        return value
    if isinstance(value, bool):
        return escape("yes" if value else "no")
    if isinstance(value, list | tuple):
        return text(", ".join(map(str, value)))
    return text(value)
