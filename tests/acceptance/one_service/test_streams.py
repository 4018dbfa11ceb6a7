"""The rules of streams: bytes as they come, whole text or an honest error, and never a success for what was cut."""

import asyncio
import time

import pytest

from support.api import Api
from support.faulty_plan import TEXT, Plan
from support.faulty_upstream import FaultyUpstream
from support.ledger_rows import row_of
from support.service import Service, eventually

BREAKS = ["reset", "close", "end", "stall", "error_event"]


async def test_events_pass_byte_for_byte(api: Api, model: str) -> None:
    stream = await api.stream(model, stream_options={"include_usage": True})
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert stream.raw.startswith(b'data: {"id": "chatcmpl-')
    assert stream.raw.endswith(b"data: [DONE]\n\n")
    assert b'"delta": {"role": "assistant", "content": ""}' in stream.raw
    assert (stream.text, stream.done, stream.finish_reasons) == (TEXT, True, ["stop"])
    assert stream.events[-2]["usage"]["completion_tokens"] == 9


async def test_stream_headers_are_those_of_the_contract_without_the_cost(api: Api, model: str) -> None:
    headers = (await api.stream(model)).headers
    named = ("request-id", "upstream", "model", "attempts", "memory-status")
    assert not [name for name in named if f"x-cmg-{name}" not in headers], headers
    assert "x-cmg-cost-usd" not in headers


async def test_pieces_arrive_as_they_are_sent(api: Api, model: str, upstream: FaultyUpstream) -> None:
    upstream.script(model, Plan(chunk_delay_s=0.1))
    arrivals = [time.monotonic() async for _ in api.chunks(model)]
    assert arrivals[-1] - arrivals[0] > 0.7
    assert len(arrivals) >= 8


async def test_processing_comments_are_no_content(api: Api, model: str, upstream: FaultyUpstream) -> None:
    upstream.script(model, Plan(comments=3))
    stream = await api.stream(model)
    assert (stream.text, stream.done) == (TEXT, True)


async def test_events_split_inside_a_character_come_whole(api: Api, model: str, upstream: FaultyUpstream) -> None:
    upstream.script(model, Plan(text="Grüße 🦊 東京 naïve", byte_by_byte=True))
    stream = await api.stream(model)
    assert (stream.text, stream.done) == ("Grüße 🦊 東京 naïve", True)


@pytest.mark.parametrize("how", BREAKS)
async def test_a_break_before_content_fails_over(
    api: Api, model: str, upstream: FaultyUpstream, backup: FaultyUpstream, *, how: str
) -> None:
    upstream.script(model, Plan(break_after=0, break_with=how))
    stream = await api.stream(model, models=[f"backup/{model}"])
    assert (stream.status, stream.text, stream.done, stream.errors) == (200, TEXT, True, [])
    assert len(backup.calls_of(model)) == 1


@pytest.mark.parametrize("plan", [Plan(status=503, error={"error": {"message": "busy"}}), Plan(reset=True)])
async def test_a_failure_before_the_stream_fails_over_and_names_who_answered(
    api: Api, model: str, upstream: FaultyUpstream, plan: Plan
) -> None:
    upstream.script(model, plan)
    stream = await api.stream(model, models=[f"backup/{model}"])
    assert (stream.text, stream.done, stream.headers["x-cmg-upstream"]) == (TEXT, True, "backup")
    assert int(stream.headers["x-cmg-attempts"]) >= 2


@pytest.mark.parametrize("how", BREAKS)
async def test_cut_stream_is_never_reported_as_success(
    api: Api, service: Service, model: str, upstream: FaultyUpstream, how: str
) -> None:
    upstream.script(model, Plan(break_after=4, break_with=how))
    stream = await api.stream(model)
    assert stream.text == "The quick brown fox"
    assert not stream.done
    assert stream.finish_reasons == []
    assert stream.errors, stream.raw
    assert stream.errors[0]["message"]
    row = await row_of(service, model_asked=model)
    assert row["status"] == "cut"
    assert row["completion_tokens"] >= 1


@pytest.mark.parametrize("how", BREAKS)
async def test_a_cut_stream_goes_on_with_a_candidate_that_says_the_same(
    api: Api, service: Service, model: str, upstream: FaultyUpstream, how: str
) -> None:
    upstream.script(model, Plan(break_after=4, break_with=how))
    stream = await api.stream(model, models=[f"backup/{model}"])
    assert (stream.text, stream.done, stream.errors) == (TEXT, True, [])
    assert stream.finish_reasons == ["stop"]
    row = await row_of(service, model_asked=model)
    assert (row["upstream"], row["status"]) == ("backup", "ok")


async def test_a_candidate_that_says_something_else_is_never_mixed_in(
    api: Api, model: str, upstream: FaultyUpstream, backup: FaultyUpstream
) -> None:
    upstream.script(model, Plan(break_after=4))
    backup.script(model, Plan(text="A completely different answer"))
    stream = await api.stream(model, models=[f"backup/{model}"])
    assert stream.text == "The quick brown fox"
    assert not stream.done
    assert stream.errors


@pytest.mark.parametrize("hang_s", [0.0, 30.0])
async def test_a_missing_done_after_the_finish_reason_is_finished_promptly(
    api: Api, service: Service, model: str, upstream: FaultyUpstream, hang_s: float
) -> None:
    upstream.script(model, Plan(done=False, hang_s=hang_s))
    stream = await api.stream(model)
    assert (stream.text, stream.done, stream.errors) == (TEXT, True, [])
    assert stream.took_s < 3
    assert (await row_of(service, model_asked=model))["status"] == "ok"


async def test_a_malformed_event_is_skipped_or_ends_the_stream_with_an_error(
    api: Api, model: str, upstream: FaultyUpstream
) -> None:
    upstream.script(model, Plan(break_after=4, break_with="bad_json"))
    stream = await api.stream(model)
    assert all(isinstance(event, dict) or event == "[DONE]" for event in stream.events)
    whole = stream.text == TEXT and stream.done
    ended = stream.text == "The quick brown fox" and bool(stream.errors) and not stream.done
    assert whole or ended, stream.raw


async def test_a_finish_reason_in_the_last_piece_counts(api: Api, model: str, upstream: FaultyUpstream) -> None:
    upstream.script(model, Plan(finish_in_last_piece=True, done=False))
    stream = await api.stream(model)
    assert (stream.text, stream.done, stream.finish_reasons) == (TEXT, True, ["stop"])


@pytest.mark.parametrize("unasked", [True, False])
async def test_usage_that_the_client_did_not_ask_for_is_counted_and_not_shown(
    api: Api, service: Service, model: str, upstream: FaultyUpstream, *, unasked: bool
) -> None:
    upstream.script(model, Plan(usage_unasked=unasked, cost=0.0125))
    stream = await api.stream(model)
    assert (stream.text, stream.done) == (TEXT, True)
    assert b"usage" not in stream.raw
    row = await row_of(service, model_asked=model)
    assert (row["cost_nano"], row["cost_origin"], row["completion_tokens"]) == (12_500_000, "upstream", 9)


async def test_a_stream_without_usage_is_estimated_and_priced(
    api: Api, service: Service, upstream: FaultyUpstream, model: str
) -> None:
    priced = f"m-priced-{model}"
    upstream.script(priced, Plan(reports_usage=False))
    assert (await api.stream(priced)).done
    row = await row_of(service, model_asked=priced)
    assert row["completion_tokens"] >= 8
    assert row["cost_nano"] == row["completion_tokens"] * 1_000_000
    assert row["cost_origin"] == "estimate"


async def test_a_client_that_goes_away_cancels_the_upstream_within_a_second_and_is_costed(
    api: Api, service: Service, upstream: FaultyUpstream, model: str
) -> None:
    priced = f"m-priced-{model}"
    upstream.script(priced, Plan(chunk_delay_s=0.2))
    chunks, seen = api.chunks(priced), b""
    async for chunk in chunks:
        seen += chunk
        if b"quick" in seen:
            break
    await chunks.aclose()
    left = time.monotonic()

    async def cancelled() -> float | None:
        return upstream.calls_of(priced)[0].disconnected_at

    assert await eventually(cancelled, 10, "the upstream's connection is closed") - left < 1
    row = await row_of(service, model_asked=priced)
    assert row["status"] == "cancelled"
    assert row["completion_tokens"] >= 2
    assert row["cost_nano"] >= 2_000_000


async def test_a_client_that_goes_away_before_the_first_byte_cancels_the_upstream(
    api: Api, service: Service, upstream: FaultyUpstream, model: str
) -> None:
    upstream.script(model, Plan(delay_s=20))
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "stream": True}
    headers = {"authorization": f"Bearer {service.key}"}

    async def ask() -> None:
        await api.session.post(f"{service.url}/v1/chat/completions", json=body, headers=headers)

    async def asked() -> bool:
        return bool(upstream.calls_of(model))

    async def cancelled() -> float | None:
        return upstream.calls_of(model)[0].disconnected_at

    asking = asyncio.create_task(ask())
    await eventually(asked, 10, "the upstream was asked")
    asking.cancel()
    left = time.monotonic()
    assert await eventually(cancelled, 10, "the upstream's connection is closed") - left < 1
    assert (await row_of(service, model_asked=model))["status"] == "cancelled"


@pytest.mark.parametrize(("name", "good"), [("sim/cut", False), ("sim/slow", True)])
async def test_simulator_streams_behave_as_named(api: Api, name: str, *, good: bool) -> None:
    stream = await api.stream(name)
    assert stream.done is good
    assert bool(stream.errors) is not good
