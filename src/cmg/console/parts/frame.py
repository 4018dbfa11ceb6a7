"""The frame around every page: navigation, search, dark mode, refusals; and what makes a page of a function."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from fastapi import Request
from nicegui import Client, ui

from cmg.console.parts.places import PLACES, Place, rank
from cmg.console.parts.refusals import banner, tell
from cmg.console.plane import Refused
from cmg.console.visit import VISIT, View
from cmg.kit.scopes import READING
from cmg.telemetry.logs import get_logger

Show = Callable[[View], Awaitable[None]]
_TITLE = "Context Memory Gateway"
_BUILD_S = 40.0
_log = get_logger("cmg.console")


def page(path: str, *, title: str, icon: str = "", group: str = "", needs: str = READING) -> Callable[[Show], Show]:
    """Make a page of a function that draws it. `needs`: the scope without which it is not in the navigation."""
    place = Place(path, title, icon, group, needs)

    def register(show: Show) -> Show:
        PLACES.append(place)

        @ui.page(path, title=f"{title} · {_TITLE}", response_timeout=_BUILD_S)
        async def shown(request: Request, client: Client) -> None:
            view = View(request.scope[VISIT], request.path_params, request.query_params)
            client.on_exception(_told)
            with framed(view, place):
                await drawn(show, view)

        return show

    return register


async def drawn(draw: Callable[[View], Awaitable[None]], view: View) -> None:
    """Draw a page or a part of it; what the control plane refuses stands in its place."""
    try:
        await draw(view)
    except Refused as refused:
        if refused.status == 401:
            ui.navigate.reload()
        banner(refused.message)


def _told(error: Exception) -> None:
    """What a handler raised, after the page was sent."""
    if isinstance(error, Refused):
        if error.status == 401:
            ui.navigate.reload()
        tell(error)
        return
    _log.error("a handler of a page crashed", exc_info=error)
    ui.notify("Something went wrong here; the log has the details.", type="negative")


@contextmanager
def framed(view: View, place: Place) -> Iterator[None]:
    """Header, navigation and the page's title; what is drawn inside is the page."""
    ui.add_head_html('<link rel="stylesheet" href="/static/console.css"><script src="/static/console.js"></script>')
    with ui.header().classes("cmg-header"):
        ui.html('<a class="cmg-skip" href="#cmg-title">Skip to the page</a>', sanitize=False)
        menu = ui.button(icon="menu").props('flat dense color=white aria-label="Navigation"')
        ui.html(f'<a class="cmg-product" href="/">{_TITLE}</a>', sanitize=False)
        ui.space()
        _search()
        ui.button(icon="contrast").props('flat dense color=white aria-label="Light or dark"').on(
            "click", js_handler="() => cmg.toggleDark()"
        )
        _who(view)
    with ui.left_drawer(bordered=True).props("width=230 breakpoint=900").classes("cmg-drawer") as drawer:
        _navigation(view, place)
    menu.on_click(drawer.toggle)
    with ui.column().classes("cmg-page"):
        ui.html(f'<h1 id="cmg-title" tabindex="-1">{place.title}</h1>', sanitize=False)
        if view.person.confirm_needed:
            _confirm()
        yield


def _search() -> None:
    ui.button("Search", icon="search").props('flat dense no-caps color=white aria-keyshortcuts="/ Control+K"').classes(
        "cmg-search-button"
    ).on("click", js_handler="() => cmg.search()")


def _who(view: View) -> None:
    person = view.person
    with ui.button(icon="account_circle").props('flat dense color=white aria-label="Your account"'), ui.menu():
        with ui.column().classes("cmg-who"):
            ui.label(person.name or person.email)
            ui.label(f"{person.role.replace('_', ' ')} · {person.workspace}").classes("cmg-quiet")
        ui.menu_item("Change password", lambda: ui.navigate.to("/password?next=/"))
        ui.menu_item("Sign out").on("click", js_handler=f"() => cmg.signOut('{person.csrf}')")


def _navigation(view: View, place: Place) -> None:
    listed = [one for one in PLACES if one.icon and view.may(one.needs)]
    with ui.element("nav").props('aria-label="Pages"').classes("cmg-nav"):
        for group in sorted({one.group for one in listed}, key=rank):
            if group:
                ui.label(group).classes("cmg-nav-group")
            for one in (found for found in listed if found.group == group):
                here = one.path == place.path or (one.path != "/" and place.path.startswith(f"{one.path}/"))
                with ui.element("a").props(f'href="{one.path}"{" aria-current=page" if here else ""}'):
                    ui.icon(one.icon).props("aria-hidden=true")
                    ui.label(one.title)


def _confirm() -> None:
    with ui.row().classes("cmg-banner cmg-warn").props("role=status"):
        ui.label(
            "This session goes on from another place or browser. Before you change anything, confirm the password."
        )
        ui.button("Confirm", on_click=lambda: _leave("/confirm")).props("flat dense")


def _leave(door: str) -> None:
    """To a door, and back to this page afterwards."""
    ui.run_javascript(f"location.assign('{door}?next=' + encodeURIComponent(location.pathname + location.search))")
