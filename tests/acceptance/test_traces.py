"""Why was this call slow? Traces of calls as an administrator reads them."""

import asyncio
from typing import Any

import openai

from support.api import Api
from support.faulty_plan import Plan, error_plan
from support.faulty_upstream import FaultyUpstream
from support.service import Service, eventually

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
HELLO = [{"role": "user", "content": "Hello there"}]


async def trace_of(service: Service, id_: str, key: str | None = None) -> dict[str, Any]:
    """The trace, once it is stored."""

    async def look() -> Any:
        status, answer = await asyncio.to_thread(service.call, "GET", f"/admin/v1/traces/{id_}", None, key)
        return answer if status == 200 else None

    return dict(await eventually(look, 10, f"the trace {id_} is stored"))


def named(trace: dict[str, Any], beginning: str) -> list[dict[str, Any]]:
    """Every span whose name begins so."""
    found, waiting = [], list(trace["spans"])
    while waiting:
        node = waiting.pop(0)
        waiting += node["children"]
        if node["name"].startswith(beginning):
            found.append(node)
    return found


async def test_a_callers_trace_goes_on_through_the_gateway_to_the_upstream(
    service: Service, client: openai.OpenAI, model: str, upstream: FaultyUpstream
) -> None:
    headers = {"traceparent": f"00-{TRACE}-{CALLER}-01", "tracestate": "vendor=a"}
    raw = await asyncio.to_thread(
        lambda: client.chat.completions.with_raw_response.create(model=model, messages=HELLO, extra_headers=headers)
    )
    trace = await trace_of(service, raw.headers["x-cmg-request-id"])
    assert trace["trace_id"] == TRACE
    (root,) = trace["spans"]
    assert (root["name"], root["parent_id"]) == ("POST /v1/chat/completions", CALLER)
    assert raw.headers["traceparent"] == f"00-{TRACE}-{root['span_id']}-01"
    (attempt,) = named(trace, "attempt")
    (asked,) = upstream.calls_of(model)
    assert asked.headers["traceparent"] == f"00-{TRACE}-{attempt['span_id']}-01"
    assert asked.headers["tracestate"] == "vendor=a"
    assert {"receive", "admission", "record"} <= {child["name"] for child in root["children"]}


async def test_a_fallback_shows_both_attempts_and_says_why_the_first_failed(
    service: Service, api: Api, model: str, upstream: FaultyUpstream
) -> None:
    upstream.script(model, error_plan(503), Plan())
    parent = f"00-{'a' * 32}-{CALLER}-01"
    answer = await api.chat(model, headers={"traceparent": parent})
    first, second = named(await trace_of(service, answer.headers["x-cmg-request-id"]), "attempt")
    assert (first["status"], second["status"]) == ("error", "ok")
    assert first["attributes"]["error.type"]
    assert first["start_ms"] + first["duration_ms"] <= second["start_ms"]
