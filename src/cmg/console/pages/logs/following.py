"""Following the logs: the control plane's live tail, on top of a table."""

import asyncio
from typing import Any

from nicegui import ui

from cmg.console.parts.refusals import tell
from cmg.console.parts.tables import Paged, Row
from cmg.console.plane import Refused
from cmg.console.visit import View

_TAIL = "/admin/v1/logs/tail"
_SHOWN_MOST = 300
_DRAWN_EVERY_S = 0.3  # lines that come faster are drawn together
_PASSED_ON = ("q", "level", "logger", "service", "request_id", "trace_id", "pattern")


class Follower:
    """A switch; while it is on, and somebody has the page, lines come on top, by the filters of the table."""

    def __init__(self, view: View, table: Paged) -> None:
        self._view, self._table = view, table
        self._task: asyncio.Task[None] | None = None
        self._fresh: list[Row] = []
        table.on_filter = self._again

    def draw(self) -> None:
        """The switch, here."""
        self._switch = ui.switch("Follow: new lines as they are stored", on_change=self._again)
        self._timer = ui.timer(_DRAWN_EVERY_S, self._show, active=False)
        ui.context.client.on_delete(self._end)

    def _again(self) -> None:
        """Follow with the filters as they are now, or not any more."""
        self._end()
        self._timer.active = self._switch.value
        if self._switch.value:
            self._task = asyncio.create_task(self._follow())

    def _end(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._task = None

    async def _follow(self) -> None:
        wanted: dict[str, Any] = {name: self._table.wanted.get(name) for name in _PASSED_ON}
        try:
            while True:
                async for record in self._view.records(_TAIL, wanted):
                    if set(record) == {"next"}:  # the stream has its end; the following begins where it left off
                        wanted["after"] = record["next"]
                    else:
                        self._fresh.insert(0, record)
                        del self._fresh[_SHOWN_MOST:]
        except Refused as refused:
            with self._switch:
                self._switch.set_value(False)
                tell(refused)

    def _show(self) -> None:
        if self._fresh:
            fresh, self._fresh = self._fresh, []
            self._table.put_first(fresh, _SHOWN_MOST)
