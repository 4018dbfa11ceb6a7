"""Why was this call slow? Traces of calls as an administrator reads them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import uuid
from typing import Any

import pytest

from support.api import Api
from support.faulty_plan import Plan, error_plan
from support.faulty_upstream import FaultyUpstream
from support.late import openai
from support.service import CMG, Service, eventually
from support.traces import CALLER, parts, trace_of, traceparent

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
HELLO = [{"role": "user", "content": "Hello there"}]


async def test_a_callers_trace_goes_on_through_the_gateway_to_the_upstream(
    service: Service, client: openai.OpenAI, model: str, upstream: FaultyUpstream
) -> None:
    headers = {**traceparent(TRACE), "tracestate": "vendor=a", "baggage": "person=ada"}
    raw = await asyncio.to_thread(
        lambda: client.chat.completions.with_raw_response.create(model=model, messages=HELLO, extra_headers=headers)
    )
    assert raw.parse()._request_id == raw.headers["x-cmg-request-id"]
    trace = await trace_of(service, raw.headers["x-cmg-request-id"])
    assert trace["trace_id"] == TRACE
    root = next(one for one in trace["spans"] if raw.headers["traceparent"] == f"00-{TRACE}-{one['span_id']}-01")
    assert (root["name"], root["parent_id"]) == ("POST /v1/chat/completions", CALLER)
    (asked,) = upstream.calls_of(model)
    (attempt,) = [one for one in root["children"] if one["part"] == "attempt"]
    assert asked.headers["traceparent"] == f"00-{TRACE}-{attempt['span_id']}-01"
    assert asked.headers["tracestate"] == "vendor=a"
    assert "baggage" not in asked.headers
    assert {"receive", "admission", "record"} <= {child["part"] for child in root["children"]}
    assert attempt["name"] == f"chat {model}"


async def test_a_caller_that_does_not_record_is_passed_on_so(api: Api, model: str, upstream: FaultyUpstream) -> None:
    answer = await api.chat(model, headers=traceparent("b" * 32, sampled=False))
    assert answer.headers["traceparent"].endswith("-00")
    assert upstream.calls_of(model)[0].headers["traceparent"].endswith("-00")


async def test_a_fallback_shows_both_attempts_and_says_why_the_first_failed(
    service: Service, api: Api, model: str, upstream: FaultyUpstream
) -> None:
    upstream.script(model, error_plan(503), Plan())
    answer = await api.chat(model, headers=traceparent(uuid.uuid4().hex))
    first, second = parts(await trace_of(service, answer.headers["x-cmg-request-id"]), "attempt")
    assert (first["status"], second["status"]) == ("error", "ok")
    assert first["attributes"]["error.type"]
    assert first["start_ms"] + first["duration_ms"] <= second["start_ms"]


async def test_an_error_is_kept_whatever_the_caller_says_and_where_its_time_went_is_told(
    service: Service, api: Api, model: str, upstream: FaultyUpstream
) -> None:
    upstream.script(model, *[error_plan(500)] * 5)
    answer = await api.chat(model, headers=traceparent(uuid.uuid4().hex, sampled=False))
    assert answer.status >= 500
    trace = await trace_of(service, answer.headers["x-cmg-request-id"])
    assert (trace["status"], trace["parts"][0]["kept_for"]) == ("error", "error")
    status, page = await asyncio.to_thread(service.call, "GET", f"/admin/v1/traces?status=error&model={model}")
    assert (status, [item["trace_id"] for item in page["items"]]) == (200, [trace["trace_id"]])


async def test_a_slow_call_says_that_it_waited_for_its_upstream(
    service: Service, api: Api, model: str, upstream: FaultyUpstream
) -> None:
    upstream.script(model, Plan(delay_s=0.8))
    answer = await api.chat(model, headers=traceparent(uuid.uuid4().hex))
    trace = await trace_of(service, answer.headers["x-cmg-request-id"])
    worst = trace["where"][0]
    assert (worst["part"], worst["name"]) == ("attempt", f"chat {model}")
    assert worst["self_ms"] >= 790
    assert worst["share"] > 0.5


async def test_a_stream_shows_when_it_began_and_how_long_it_ran(
    service: Service, api: Api, model: str, upstream: FaultyUpstream
) -> None:
    upstream.script(model, Plan(delay_s=0.2, chunk_delay_s=0.05))
    id_ = uuid.uuid4().hex
    async with api.session.post(
        f"{service.url}/v1/chat/completions",
        json={"model": model, "messages": HELLO, "stream": True},
        headers={"authorization": f"Bearer {service.key}", **traceparent(id_)},
    ) as answer:
        await answer.read()
    trace = await trace_of(service, id_)
    (attempt,), (stream,) = parts(trace, "attempt"), parts(trace, "stream")
    assert stream["start_ms"] >= 190
    assert stream["duration_ms"] >= 45
    assert stream["start_ms"] > attempt["start_ms"]
    whole = parts(trace, "request")[0]["attributes"]
    assert whole["gen_ai.request.stream"] is True
    assert whole["cmg.time_to_first_token_ms"] >= 190


async def test_recall_shows_its_queries_and_nobodys_name(service: Service, api: Api, model: str, user: str) -> None:
    headers = traceparent(uuid.uuid4().hex)
    answer = await api.chat(model, "What do I like?", user=user, thread_id=f"t-{user}", headers=headers)
    trace = await trace_of(service, answer.headers["x-cmg-request-id"])
    (recall,) = parts(trace, "recall")
    assert recall["name"] == "search_memory"
    assert [one["part"] for one in recall["children"] if one["part"] == "database"]
    told = json.dumps(trace)
    assert user not in told
    assert "What do I like" not in told
    assert parts(trace, "request")[0]["attributes"]["gen_ai.conversation.id"]


async def test_a_call_shows_its_look_ups_in_the_cache(service: Service, api: Api) -> None:
    key = service.new_key(response_cache_s=60)
    found: set[str] = set()
    for _ in range(20):  # each gateway has a cache of its own
        answer = await api.chat("sim/echo", "Once", key=key, headers=traceparent(uuid.uuid4().hex))
        trace = await trace_of(service, answer.headers["x-cmg-request-id"])
        found |= {str(value) for one in parts(trace, "cache") for value in one["attributes"].values()}
        if "hit" in found:
            break
    assert {"miss", "hit", "get", "set"} <= found


async def test_a_request_of_the_control_plane_is_one_trace_over_both_processes(service: Service, api: Api) -> None:
    id_ = uuid.uuid4().hex
    answer = await api.get("/admin/v1/keys?limit=1", headers=traceparent(id_))
    assert "x-cmg-trace-kept" not in answer.headers

    async def both() -> Any:
        trace = await trace_of(service, id_)
        return trace if len(trace["parts"]) == 2 else None

    trace = await eventually(both, 10, "both processes' parts are stored")
    (root,) = trace["spans"]
    (forward,) = [one for one in root["children"] if one["part"] == "forward"]
    (behind,) = forward["children"]
    assert (behind["name"], behind["part"]) == ("GET /admin/v1/keys", "request")
    assert any(one["part"] == "database" and one["name"].startswith("identity.") for one in behind["children"])


async def test_another_tenants_administrator_sees_nothing_of_it(service: Service, api: Api, model: str) -> None:
    workspace = f"w{uuid.uuid4().hex[:8]}"
    assert (await api.post("/admin/v1/workspaces", {"id": workspace, "name": workspace})).status == 201
    theirs = service.new_key(workspace=workspace, scopes=["admin", "chat", "models"])
    answer = await api.chat(model, headers=traceparent(uuid.uuid4().hex))
    trace = await trace_of(service, answer.headers["x-cmg-request-id"])
    for id_ in (trace["trace_id"], answer.headers["x-cmg-request-id"]):
        assert (await api.get(f"/admin/v1/traces/{id_}", key=theirs)).status == 404
    page = (await api.get("/admin/v1/traces", key=theirs)).json
    assert all(item["workspace"] == workspace for item in page["items"])
    plain = service.new_key(scopes=["chat"])
    assert (await api.get("/admin/v1/traces", key=plain)).status == 403


async def test_metrics_lead_to_the_trace_by_an_exemplar(service: Service, api: Api, model: str) -> None:
    id_ = uuid.uuid4().hex
    await api.chat(model, headers=traceparent(id_))
    await trace_of(service, id_)
    text = (await api.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})).body.decode()
    found = {line.partition("{")[0] for line in text.splitlines() if f'# {{trace_id="{id_}"}}' in line}
    assert {"cmg_http_request_duration_seconds_bucket", "cmg_llm_call_duration_seconds_bucket"} <= found


async def test_the_command_line_shows_the_tree(service: Service, api: Api, model: str) -> None:
    answer = await api.chat(model, headers=traceparent(uuid.uuid4().hex))
    id_ = answer.headers["x-cmg-request-id"]
    await trace_of(service, id_)
    words = [str(CMG), "traces", "show", id_]
    shown = await asyncio.to_thread(
        subprocess.run, words, env=service._environ(), capture_output=True, text=True, cwd=service.data_dir
    )
    assert shown.returncode == 0, shown.stderr
    assert f"  chat {model}" in shown.stdout
    assert "Most of the time:" in shown.stdout


@pytest.mark.parametrize("id_", ["nonsense", "0" * 31])
async def test_what_is_no_id_is_refused_by_name(api: Api, id_: str) -> None:
    assert (await api.get(f"/admin/v1/traces/{id_}")).status in {400, 404}
