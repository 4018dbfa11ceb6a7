"""Traces on their way to a collector, whatever becomes of it, and of the processes that keep them."""

import asyncio
import os
import signal
import time
import uuid

from support.api import Api
from support.otlp_receiver import OtlpReceiver
from support.service import Service, eventually
from support.traces import trace_of, traceparent


async def test_a_collector_gets_the_call_with_its_attempt_its_words_and_the_wanted_baggage(
    service: Service, receiver: OtlpReceiver
) -> None:
    id_ = uuid.uuid4().hex
    async with Api(service.url, service.key) as api:
        baggage = {"baggage": "team=blue%20one;x=1,person=ottilie"}
        await api.chat("sim/echo", "Hello words", headers={**traceparent(id_), **baggage})
    spans = await asyncio.to_thread(receiver.wait_for, id_)
    root = next(one for one in spans if one.name == "POST /v1/chat/completions")
    attempt = next(one for one in spans if one.name == "chat echo")
    assert (root.parent_id, attempt.parent_id) == ("00f067aa0ba902b7", root.span_id)
    assert attempt.start_ns >= root.start_ns
    assert attempt.end_ns <= root.end_ns
    assert abs(root.end_ns / 1e9 - time.time()) < 30
    assert root.attributes["gen_ai.usage.input_tokens"] > 0
    assert "Hello words" in root.attributes["gen_ai.input.messages"]
    assert "Hello words" in root.attributes["gen_ai.output.messages"]
    assert root.attributes["baggage.team"] == "blue one"
    assert "ottilie" not in str(root.attributes)


async def test_words_in_traces_go_when_their_user_is_erased(service: Service) -> None:
    user, canary, id_ = f"user-{uuid.uuid4().hex[:8]}", f"canary-{uuid.uuid4().hex}", uuid.uuid4().hex
    async with Api(service.url, service.key) as api:
        await api.chat("sim/echo", f"I am {canary}", user=user, headers=traceparent(id_))
        assert canary in str(await trace_of(service, id_))
        receipt = (await api.post("/v1/erase", {"user_id": user})).json
        assert receipt["erased"]["traces"] >= 1
        assert (await api.get(f"/admin/v1/traces/{id_}")).status == 404


async def test_a_slow_or_failing_collector_slows_no_call_down(service: Service, receiver: OtlpReceiver) -> None:
    async with Api(service.url, service.key) as api:
        for status, delay_s in ((200, 3.0), (500, 0.0)):
            receiver.status, receiver.delay_s = status, delay_s
            await api.chat("sim/echo", headers=traceparent(uuid.uuid4().hex))
            await asyncio.sleep(1.5)
            took = [(await api.chat("sim/echo")).took_s for _ in range(20)]
            assert sorted(took)[10] < 0.5
        receiver.status, receiver.delay_s = 200, 0.0
        id_ = uuid.uuid4().hex
        await api.chat("sim/echo", headers=traceparent(id_))
        await asyncio.to_thread(receiver.wait_for, id_, 30)


async def test_what_was_kept_survives_the_kill_of_every_process_and_new_ones_go_on(service: Service) -> None:
    async with Api(service.url, service.key) as api:
        before, after = uuid.uuid4().hex, uuid.uuid4().hex
        await api.chat("sim/echo", headers=traceparent(before))
        await trace_of(service, before)
        for kind in ("gateway", "backstage"):
            for pid in service.pids(kind):
                os.kill(pid, signal.SIGKILL)

        async def answered() -> bool:
            try:
                return (await api.chat("sim/echo", headers=traceparent(after))).status == 200
            except OSError:
                return False

        await eventually(answered, 30, "calls are answered again")
        assert (await trace_of(service, after))["trace_id"] == after
        assert (await trace_of(service, before))["trace_id"] == before


async def test_jobs_leave_traces_with_their_queries(service: Service) -> None:
    async def job() -> object:
        status, page = await asyncio.to_thread(service.call, "GET", "/admin/v1/traces?limit=1000")
        found = [item for item in page["items"] if item["kind"] == "job"] if status == 200 else []
        return found[0] if found else None

    item = await eventually(job, 400, "a job of every five minutes ran")
    trace = await trace_of(service, item["trace_id"])
    (root,) = trace["spans"]
    assert root["part"] == "job"
    assert root["attributes"]["cmg.outcome"] == "done"
