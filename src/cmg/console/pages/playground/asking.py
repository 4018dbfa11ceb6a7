"""Whom and what to ask, and the two columns of answers."""

import asyncio
from collections.abc import Mapping
from typing import Any

from nicegui import ui

from cmg.console.keyed import Keyed
from cmg.console.pages.playground.answer import Asked, LiveAnswer, bubble, memories
from cmg.console.parts.figures import card, grid, html
from cmg.console.parts.frame import page
from cmg.console.parts.keys import KeyField
from cmg.console.plane import Refused
from cmg.console.visit import View
from cmg.kit.ids import uuid7_hex

_MODEL, _USER = "sim/memory", "playground"
_TURNS_MOST = 40  # of a conversation are sent along
_SIDES = {"on": "With memory", "off": "Without memory"}


@page("/playground", title="Playground", icon="forum", group="Memory")
async def playground(view: View) -> None:
    """Both sides are calls of the key: they count against its limits and its budget."""
    _Playground(view)


class _Playground:
    """Two conversations with the same questions. They live as long as the page."""

    def __init__(self, view: View) -> None:
        self._view, self._coming = view, dict[str, asyncio.Task[None]]()
        ui.context.client.on_delete(self._end)
        self._thread = f"playground-{uuid7_hex()}"
        self._said: dict[str, list[dict[str, str]]] = {side: [] for side in _SIDES}
        with card("Whom and what to ask"):
            self._key = KeyField(view, "calls are made and paid with it")
            with ui.row().classes("cmg-filters"):
                self._model = ui.input("Model", value=view.query.get("model") or _MODEL).props("outlined dense")
                self._user = ui.input("User", value=view.query.get("user") or _USER).props("outlined dense")
                ui.button("Models", icon="list", on_click=self._offer).props("outline no-caps")
        self._question = ui.textarea("Message").props("outlined dense autogrow").classes("cmg-field")
        with ui.row().classes("cmg-filters"):
            self._send = ui.button("Send", icon="send", on_click=self._ask).props("no-caps")
            self._stop_button = ui.button("Stop", icon="stop", on_click=self._stop).props("outline no-caps")
            self._stop_button.disable()
            ui.button("New conversation", icon="restart_alt", on_click=self._anew).props("outline no-caps")
        # Below what is pressed: it grows.
        with grid().style("grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr))"):
            self._columns = {side: self._column(title) for side, title in _SIDES.items()}

    def _column(self, title: str) -> ui.column:
        with card(title):
            return ui.column().classes("cmg-field").props('role="log"')

    async def _offer(self) -> None:
        """The models that the key may use, as suggestions of the field."""
        told = await self._key.api().json("GET", "/v1/models")
        names = [one["id"] for one in told["data"]]
        self._model.set_autocomplete(names)
        ui.notify(f"{len(names)} models: {', '.join(names[:8])}{' …' if len(names) > 8 else ''}")

    def _anew(self) -> None:
        if self._coming:
            self._stop()
        self._thread = f"playground-{uuid7_hex()}"
        for side, column in self._columns.items():
            self._said[side].clear()
            column.clear()

    async def _ask(self) -> None:
        question = (self._question.value or "").strip()
        if not question:
            raise Refused(400, "write a message first", "message")
        api = self._key.api()
        self._send.disable()
        self._question.set_value("")
        found = await self._recalled(api, question)
        self._coming = {side: asyncio.create_task(self._side(api, side, question, found)) for side in _SIDES}
        self._stop_button.enable()
        await asyncio.gather(*self._coming.values())

    def _ready(self) -> None:
        self._send.enable()
        self._stop_button.disable()

    def _settled(self, side: str) -> None:
        """Its words have come; when those of the other have too, there is nothing to stop any more."""
        if self._coming.get(side) is asyncio.current_task():
            del self._coming[side]
            if not self._coming:
                self._ready()

    def _stop(self) -> None:
        """End the calls that still go on; what came so far stays, and costs."""
        self._end()
        self._ready()

    def _end(self) -> None:
        for task in self._coming.values():
            task.cancel()
        self._coming = {}

    async def _recalled(self, api: Keyed, question: str) -> list[Mapping[str, Any]] | Refused:
        """What memory holds about the question, in the size of a note: asked before the turn itself is remembered."""
        body = {"user_id": self._user.value, "query": question, "thread_id": self._thread}
        try:
            told = await api.json("POST", "/v1/recall", body)
        except Refused as refused:
            return refused
        found: list[Mapping[str, Any]] = told["items"]
        return found

    async def _side(self, api: Keyed, side: str, question: str, found: Any) -> None:
        said, column = self._said[side], self._columns[side]
        messages = [*said[-_TURNS_MOST:], {"role": "user", "content": question}]
        body = {"model": self._model.value, "user": self._user.value, "messages": messages}
        asked = Asked(api, body, {"x-cmg-memory": side, "x-cmg-thread": self._thread})
        with column:
            html(bubble("You", question))
            answer = LiveAnswer(self._view, asked)
            try:
                whole = await answer.come()
            finally:
                self._settled(side)
            if whole and answer.said:
                said.extend(({"role": "user", "content": question}, {"role": "assistant", "content": answer.said}))
            if whole and side == "on" and answer.headers:
                memories(found, answer.headers)
            await answer.figures()
