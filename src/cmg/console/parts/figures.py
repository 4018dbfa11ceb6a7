"""Numbers as people read them, and cards that show one."""

from collections.abc import Iterator
from contextlib import contextmanager

from markupsafe import Markup
from nicegui import ui

from cmg.console.parts.markup import dollars, short
from cmg.console.parts.places import known

_BYTES = ("B", "KiB", "MiB", "GiB", "TiB")


def read(value: float, unit: str) -> str:
    """A figure with its unit, as dashboards name units. `static/console.js` has the same for charts."""
    if unit == "usd":
        return dollars(value)
    if unit == "ratio":
        return f"{value * 100:.3g} %"
    if unit == "s":
        return _seconds(value)
    if unit in {"bytes", "bytes_per_s"}:
        return _bytes(value) + ("/s" if unit == "bytes_per_s" else "")
    return short(value) + ("/s" if unit == "per_s" else "")


def _seconds(value: float) -> str:
    if abs(value) < 1:
        return f"{value * 1000:.3g} ms"
    if abs(value) < 120:
        return f"{value:.3g} s"
    return f"{value / 60:.3g} min" if abs(value) < 7200 else f"{value / 3600:.3g} h"


def _bytes(value: float) -> str:
    size, place = float(value), 0
    while abs(size) >= 1024 and place < len(_BYTES) - 1:
        size, place = size / 1024, place + 1
    return f"{size:.3g} {_BYTES[place]}"


@contextmanager
def card(title: str, href: str = "", *, wide: bool = False) -> Iterator[None]:
    """A titled box of the page, its title a link where such a page is."""
    with ui.element("section").classes(f"cmg-card{' cmg-wide' if wide else ''}"):
        head = Markup('<a href="{}">{}</a>').format(href, title) if known(href) else title
        ui.html(Markup("<h2>{}</h2>").format(head), sanitize=False)
        yield


def grid() -> ui.element:
    """Cards beside each other, as many as fit."""
    return ui.element("div").classes("cmg-grid")


def big(value: str) -> None:
    """The one number of a card."""
    ui.html(Markup('<p class="cmg-big">{}</p>').format(value), sanitize=False)


def html(piece: Markup) -> ui.html:
    """A piece of `markup` in the page."""
    return ui.html(piece, sanitize=False)
