"""How a page tells what the control plane refused, in its own words."""

from nicegui import ui

from cmg.console.plane import Refused


def banner(message: str) -> None:
    """In the page, where something could not be drawn."""
    with ui.row().classes("cmg-banner cmg-bad").props("role=alert"):
        ui.icon("error").props("aria-hidden=true")
        ui.label(message)


def tell(refused: Refused) -> None:
    """For a moment, over the page; a password that is asked for again gets a way to give it."""
    if refused.code == "password_needed":
        ui.run_javascript("location.assign('/confirm?next=' + encodeURIComponent(location.pathname + location.search))")
        return
    ui.notify(refused.message, type="negative", multi_line=True, close_button="Close", timeout=15_000)


def done(message: str) -> None:
    """That something worked."""
    ui.notify(message, type="positive")
