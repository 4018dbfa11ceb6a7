"""One request: what it cost and used, where its time went, and what was logged about it."""

import asyncio
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup
from nicegui import ui

from cmg.console.pages.requests.waterfall import waterfall
from cmg.console.parts.figures import card, html
from cmg.console.parts.frame import page
from cmg.console.parts.markup import badge, badges, code, facts, link, moment, number, pre, usd
from cmg.console.parts.places import known
from cmg.console.parts.tables import Column, listed
from cmg.console.plane import Refused
from cmg.console.visit import View

_LINES = 100
_LOG = (
    Column("When", lambda row: moment(row.get("@timestamp"), relative=False)),
    Column("Level", lambda row: badge(row.get("log.level", ""))),
    Column("Logger", lambda row: code(row.get("log.logger"))),
    Column("Message", lambda row: row.get("message")),
)


@page("/requests/{id}", title="Request", group="Watch")
async def request(view: View) -> None:
    """A trace is kept for errors, slow requests and a share of the others; log lines as long as logs are."""
    id_ = view.path["id"]
    html(link("All requests", "/requests"))
    asked = (
        view.get(f"/admin/v1/requests/{id_}"),
        view.get(f"/admin/v1/traces/{id_}"),
        view.get("/admin/v1/logs", {"request_id": id_, "limit": _LINES}),
    )
    answers: list[Any] = list(await asyncio.gather(*asked, return_exceptions=True))
    for one in answers:
        if isinstance(one, BaseException) and (not isinstance(one, Refused) or one.status == 401):
            raise one
    call, trace, lines = answers
    with card("What it was"):
        _or_why(call, lambda told: html(facts(_facts(told))))
    with card("Where its time went"):
        _or_why(trace, _trace)
    with card("Log lines"):
        _or_why(lines, lambda told: listed(_LOG, reversed(told["items"])))


def _or_why(answer: Any, draw: Any) -> None:
    if isinstance(answer, Refused):
        html(Markup('<p class="cmg-empty">{}</p>').format(answer.message))
    else:
        draw(answer)


def _trace(told: Mapping[str, Any]) -> None:
    html(waterfall(told))
    with ui.expansion("Spans as they are").props("dense"):
        html(pre(told["spans"]))


def _facts(call: Mapping[str, Any]) -> list[tuple[str, object]]:
    trace = f"/traces/{call['trace_id']}"
    memory = f"{call['memory_items']:,} items, {call['memory_tokens']:,} tokens ({call['memory_status']})"
    tokens = (
        f"{call['prompt_tokens']:,} in ({call['cached_tokens']:,} cached), "
        f"{call['completion_tokens']:,} out ({call['reasoning_tokens']:,} reasoning)"
    )
    return [
        ("Id", code(call["id"])),
        ("Ended", moment(call["at"], relative=False)),
        ("Status", badge(call["status"])),
        ("HTTP status", call["http_status"]),
        ("Error", call["error_type"]),
        ("Finish reason", call["finish_reason"]),
        ("Route", code(call["route"])),
        ("Model asked for", call["model_asked"]),
        ("Model that answered", call["model_answered"]),
        ("Upstream", call["upstream"]),
        ("Attempts", call["attempts"]),
        ("Stream", call["stream"]),
        ("From a stored answer", call["replayed"]),
        ("Workspace", call["workspace"]),
        ("Key", link(call["key"], f"/keys/{call['key']}")),
        ("User", call["user"]),
        ("Thread", call["thread"]),
        ("Tags", badges(call["tags"])),
        ("Tokens", tokens),
        ("Memory", memory),
        ("Cost", usd(call["cost_usd"])),
        ("Cost told by", call["cost_origin"]),
        ("Latency", number(call["latency_ms"], " ms")),
        ("First token after", number(call["ttft_ms"], " ms")),
        ("Trace", link(call["trace_id"], trace) if call["trace_id"] and known(trace) else code(call["trace_id"])),
    ]
