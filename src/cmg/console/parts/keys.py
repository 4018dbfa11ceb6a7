"""The field for an API key, for pages that call what sessions do not open."""

from nicegui import ui

from cmg.console.keyed import Keyed
from cmg.console.plane import Refused
from cmg.console.visit import View


class KeyField:
    """It is held by the page on the server, and gone with it; nothing stores it, and no answer holds it."""

    def __init__(self, view: View, use: str) -> None:
        self._view = view
        self._input = ui.input("API key", password=True).classes("cmg-field")
        self._input.props(f'outlined dense autocomplete=off hint="cmg_…: {use}; it is forgotten when you leave"')

    def api(self) -> Keyed:
        """Calls with the key. Raises `Refused` when there is none."""
        key = (self._input.value or "").strip()
        if not key:
            self._input.error = "paste an API key of the workspace; “API keys” makes one"
            raise Refused(400, "give an API key first", "key")
        self._input.error = None
        return self._view.keyed(key)
