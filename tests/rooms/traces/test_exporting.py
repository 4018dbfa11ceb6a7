"""Spans on their way to a collector: real OTLP, decoded by a receiver that may be slow, refuse, or be away."""

import asyncio

from cmg.kit.clock import SystemClock
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.tracing import names
from cmg.traces.exporting import WAITING, Exporter
from cmg.traces.spans import spans_of
from support.otlp_receiver import OtlpReceiver
from support.trace_records import trace_record


def dropped(instruments: Instruments) -> float:
    return float(instruments.series("cmg_traces_dropped_total", "export")._value.get())


async def test_a_collector_gets_the_spans_with_their_ids_times_and_names() -> None:
    with OtlpReceiver() as receiver:
        exporter = Exporter(receiver.url, SystemClock(), Instruments())
        record = trace_record(parent="00f067aa0ba902b7", state="vendor=a", failed=True, status=503)
        exporter.take([record])
        await exporter.close()
        spans = receiver.of(record.id)
    wanted = spans_of(record, {})
    assert [(one.span_id, one.parent_id, one.start_ns, one.end_ns, one.failed) for one in spans] == [
        (one.id, one.parent, one.start_ns, one.end_ns, one.failed) for one in wanted
    ]
    root, attempt = spans[0], next(one for one in spans if one.name == "chat m")
    assert (root.parent_id, root.state, root.kind, attempt.kind) == ("00f067aa0ba902b7", "vendor=a", 2, 3)
    assert root.resource["service.name"] == "context-memory-gateway"
    assert (root.attributes[names.ROUTE], root.attributes[names.STATUS]) == ("/v1/chat/completions", 503)
    assert attempt.attributes[names.PROVIDER] == "one"


async def test_what_a_collector_refuses_is_counted_and_the_next_ones_arrive() -> None:
    instruments = Instruments()
    with OtlpReceiver(status=400) as receiver:
        exporter = Exporter(receiver.url, SystemClock(), instruments)
        exporter.take([trace_record(), trace_record()])
        await exporter._flush()
        assert (dropped(instruments), receiver.requests) == (2, 1)
        receiver.status = 200
        exporter.take([good := trace_record()])
        await exporter.close()
        assert receiver.of(good.id)
    assert dropped(instruments) == 2


async def test_a_collector_that_is_away_or_slow_costs_a_bounded_queue_and_no_time() -> None:
    instruments, loop = Instruments(), asyncio.get_running_loop()
    with OtlpReceiver(delay_s=1.0) as receiver:
        exporter = Exporter(receiver.url, SystemClock(), instruments)
        exporter.take([trace_record()])
        sending = asyncio.create_task(exporter._flush())
        await asyncio.sleep(0.1)
        before = loop.time()
        exporter.take([trace_record()] * (WAITING + 5))
        assert loop.time() - before < 0.1
        assert dropped(instruments) == 5
        exporter._waiting.clear()
        await sending
