"""Whose memory is looked at, in whose name, and why."""

from typing import Any

from nicegui import ui

from cmg.console.keyed import Keyed
from cmg.console.parts.keys import KeyField
from cmg.console.plane import Query, Refused
from cmg.console.visit import View


class Asking:
    """The fields above the explorer. A read in an administrator's key is audited, with the reason that stands here."""

    def __init__(self, view: View) -> None:
        self._key = KeyField(view, "a key with admin sees every user of its workspace, others their own")
        with ui.row().classes("cmg-filters"):
            self._user = ui.input("User", value=view.query.get("user") or "").props("outlined dense clearable")
            self._reason = ui.input("Reason").props('outlined dense hint="kept in the audit trail"')

    @property
    def user(self) -> str:
        """Who was named. Raises `Refused` when nobody is."""
        name = (self._user.value or "").strip()
        if not name:
            self._user.error = "name a user, or choose one of the list"
            raise Refused(400, "name a user first", "user_id")
        self._user.error = None
        return name

    def choose(self, user: str) -> None:
        """Go on with this user."""
        self._user.set_value(user)

    def api(self) -> Keyed:
        """Calls with the key. Raises `Refused`."""
        return self._key.api()

    async def get(self, path: str, query: Query | None = None) -> Any:
        """GET with the reason. Raises `Refused`."""
        return await self.api().json("GET", path, query=query, headers=self.why)

    async def post(self, path: str, body: Any) -> Any:
        """POST with the reason. Raises `Refused`."""
        return await self.api().json("POST", path, body, headers=self.why)

    @property
    def why(self) -> Query:
        """The header that says why."""
        return {"x-cmg-reason": (self._reason.value or "").strip()}
