"""Playground: one question, answered with memory and without it, side by side."""

import asyncio
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup
from nicegui import ui

from cmg.console.keyed import Answer, Keyed
from cmg.console.parts.figures import card, grid, html
from cmg.console.parts.frame import page
from cmg.console.parts.keys import KeyField
from cmg.console.parts.markup import badge, facts, link, text, usd
from cmg.console.parts.places import known
from cmg.console.parts.refusals import banner
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
        self._thread = f"playground-{uuid7_hex()}"
        self._said: dict[str, list[dict[str, str]]] = {side: [] for side in _SIDES}
        with card("Whom and what to ask"):
            self._key = KeyField(view, "calls are made and paid with it")
            with ui.row().classes("cmg-filters"):
                self._model = ui.input("Model", value=view.query.get("model") or _MODEL).props("outlined dense")
                self._user = ui.input("User", value=view.query.get("user") or _USER).props("outlined dense")
                ui.button("Models", icon="list", on_click=self._offer).props("outline no-caps")
        with grid().style("grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr))"):
            self._columns = {side: self._column(title) for side, title in _SIDES.items()}
        self._question = ui.textarea("Message").props("outlined dense autogrow").classes("cmg-field")
        with ui.row().classes("cmg-filters"):
            self._send = ui.button("Send", icon="send", on_click=self._ask).props("no-caps")
            ui.button("New conversation", icon="restart_alt", on_click=self._anew).props("outline no-caps")

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
        try:
            found = await self._recalled(api, question)
            await asyncio.gather(*(self._side(api, side, question, found) for side in _SIDES))
        finally:
            self._send.enable()
        self._question.set_value("")

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
        headers = {"x-cmg-memory": side, "x-cmg-thread": self._thread}
        with column:
            _bubble("You", question)
        try:
            answer = await api.call("POST", "/v1/chat/completions", body, headers=headers)
        except Refused as refused:
            with column:
                banner(refused.message)
            return
        content = answer.body["choices"][0]["message"].get("content") or ""
        said.extend(({"role": "user", "content": question}, {"role": "assistant", "content": content}))
        with column:
            _bubble(answer.body.get("model") or self._model.value, content)
            if side == "on":
                _memories(found, answer)
            html(facts(_figures(answer)))


def _bubble(who: str, said: str) -> None:
    html(Markup('<p class="cmg-said"><strong>{}</strong><br>{}</p>').format(who, said))


def _memories(found: Any, answer: Answer) -> None:
    used = answer.headers.get("x-cmg-memory-items", "0")
    if isinstance(found, Refused):
        banner(f"what was remembered cannot be shown: {found.message}")
        return
    pieces = Markup("").join(
        Markup("<li>{} {}</li>").format(badge(one["kind"], "quiet"), text(one["content"])) for one in found
    )
    with ui.expansion(f"{used} memories injected; {len(found)} found for this message", value=bool(found)).props(
        "dense"
    ):
        html(Markup("<ul>{}</ul>").format(pieces) if found else Markup('<p class="cmg-empty">None yet.</p>'))


def _figures(answer: Answer) -> list[tuple[str, object]]:
    usage, headers = answer.body.get("usage") or {}, answer.headers
    request_id = headers.get("x-cmg-request-id", "")
    here = f"/requests/{request_id}"
    return [
        ("Tokens", f"{usage.get('prompt_tokens', 0):,} in, {usage.get('completion_tokens', 0):,} out"),
        (
            "Of them memory",
            f"{int(headers.get('x-cmg-memory-tokens', '0')):,} ({headers.get('x-cmg-memory-status', '')})",
        ),
        ("Cost", usd(headers.get("x-cmg-cost-usd"))),
        ("Added by the gateway", f"{headers.get('x-cmg-overhead-ms', '?')} ms"),
        ("Request", link("Its trace and figures", here) if known(here) else request_id),
    ]
