"""One answer in its column: its words as they come, and its figures at the end."""

import asyncio
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup
from nicegui import ui

from cmg.console.keyed import Keyed, Stream
from cmg.console.parts.figures import html
from cmg.console.parts.markup import badge, facts, link, text, usd
from cmg.console.parts.places import known
from cmg.console.parts.refusals import banner
from cmg.console.plane import Refused
from cmg.console.visit import View

_DRAWN_EVERY_S = 0.08  # words that come faster are drawn together
_LEDGER_S, _LOOKS = 0.4, 10  # a call is in the ledger soon after its end


class Asked:
    """What one side of the playground sends."""

    def __init__(self, api: Keyed, body: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        self.api, self.headers = api, headers
        self.body = {**body, "stream": True, "stream_options": {"include_usage": True}}


class LiveAnswer:
    """Drawn where it is made. `said` is what has come so far; `stopped`: the person did not want the rest."""

    def __init__(self, view: View, asked: Asked) -> None:
        self._view, self._asked = view, asked
        self.said, self.stopped = "", False
        self._who, self._usage = str(asked.body["model"]), dict[str, Any]()
        self.headers: dict[str, str] = {}
        self._bubble = html(bubble(self._who, "…")).props("aria-busy=true")

    async def come(self) -> bool:
        """Draw it as it comes; whether it came to an end of its own, or was stopped. A refusal stands below it."""
        try:
            async with self._asked.api.stream("/v1/chat/completions", self._asked.body, self._asked.headers) as stream:
                self.headers = stream.headers
                await self._follow(stream)
        except asyncio.CancelledError:
            self.stopped = True
        except Refused as refused:
            banner(refused.message)
            return False
        finally:
            self._draw()
            self._bubble.props("aria-busy=false")
        return True

    async def _follow(self, stream: Stream) -> None:
        drawn = self._view.clock.monotonic()
        async for event in stream.events():
            self._who, self._usage = event.get("model") or self._who, event.get("usage") or self._usage
            for choice in event.get("choices") or ():
                self.said += (choice.get("delta") or {}).get("content") or ""
            if self._view.clock.monotonic() - drawn >= _DRAWN_EVERY_S:
                self._draw()
                drawn = self._view.clock.monotonic()

    def _draw(self) -> None:
        self._bubble.set_content(bubble(self._who, self.said or "…", stopped=self.stopped))

    async def figures(self) -> None:
        """Below the answer, tokens and cost; a stream's cost is only in the ledger, and so are a stopped one's."""
        request_id = self.headers.get("x-cmg-request-id", "")
        if not request_id:
            return
        place = html(facts(_figures(self.headers, self._usage, None)))
        for _ in range(_LOOKS):
            await self._view.clock.sleep(_LEDGER_S)
            try:
                call = await self._view.get(f"/admin/v1/requests/{request_id}")
            except Refused:  # not yet in the ledger, or of a workspace that the person does not see
                continue
            place.set_content(facts(_figures(self.headers, self._usage, call)))
            return


def bubble(who: str, said: str, *, stopped: bool = False) -> Markup:
    """What somebody said."""
    end = Markup(" {}").format(badge("stopped", "warn")) if stopped else ""
    return Markup('<p class="cmg-said"><strong>{}</strong>{}<br>{}</p>').format(who, end, said)


def memories(found: Any, headers: Mapping[str, str]) -> None:
    """What was found for the message, and how many of it were injected."""
    used = headers.get("x-cmg-memory-items", "0")
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


def _figures(
    headers: Mapping[str, str], usage: Mapping[str, Any], call: Mapping[str, Any] | None
) -> list[tuple[str, object]]:
    request_id, told = headers["x-cmg-request-id"], call or usage
    here = f"/requests/{request_id}"
    pairs: list[tuple[str, object]] = [
        ("Tokens", f"{told.get('prompt_tokens', 0):,} in, {told.get('completion_tokens', 0):,} out"),
        (
            "Of them memory",
            f"{int(headers.get('x-cmg-memory-tokens', '0')):,} ({headers.get('x-cmg-memory-status', '')})",
        ),
        ("Added by the gateway", f"{headers.get('x-cmg-overhead-ms', '?')} ms"),
        ("Request", link("Its trace and figures", here) if known(here) else request_id),
    ]
    if call is not None:
        first = call["ttft_ms"]
        pairs[2:2] = [
            ("Cost", usd(call["cost_usd"])),
            ("First token after", None if first is None else f"{first:,.0f} ms"),
            ("Whole answer after", f"{call['latency_ms']:,.0f} ms"),
        ]
    return pairs
