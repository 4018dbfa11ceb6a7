"""From a process to backstage: datagrams that are never waited for, and are taken over when backstage comes back."""

import asyncio
from pathlib import Path

from cmg.kit.clock import SystemClock
from cmg.telemetry.disk import DiskGuard
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.tracing.outbox import WAITING, Outbox
from cmg.telemetry.tracing.record import TraceRecord
from cmg.traces.receiving import Receiver
from support.disks import GB, Disk
from support.trace_records import trace_record


class Kept:
    """A store that keeps records here."""

    def __init__(self) -> None:
        self.records: list[TraceRecord] = []

    async def add(self, records: list[TraceRecord]) -> None:
        self.records += records


def a_receiver(path: Path, kept: Kept, instruments: Instruments, disk: DiskGuard | None = None) -> Receiver:
    receiver = Receiver(path, kept, SystemClock(), instruments, disk)  # type: ignore[arg-type]
    receiver.open()
    return receiver


async def test_records_arrive_as_they_were_sent(tmp_path: Path) -> None:
    kept, instruments = Kept(), Instruments()
    receiver, outbox = a_receiver(tmp_path / "t.sock", kept, instruments), Outbox(tmp_path / "t.sock", instruments)
    sent = [trace_record() for _ in range(300)]
    for record in sent:
        outbox.put(record)
    for _ in range(50):
        outbox.flush()
        await asyncio.sleep(0.01)
    await receiver.close()
    assert kept.records == sent


async def test_while_backstage_is_away_records_wait_and_arrive_later(tmp_path: Path) -> None:
    kept, instruments = Kept(), Instruments()
    outbox = Outbox(tmp_path / "t.sock", instruments)
    outbox.put(first := trace_record())
    outbox.flush()
    gone = a_receiver(tmp_path / "t.sock", Kept(), instruments)
    outbox._connected()
    await gone.close()
    outbox.flush()  # into a socket that nobody reads any more
    receiver = a_receiver(tmp_path / "t.sock", kept, instruments)
    outbox.put(second := trace_record())
    outbox.flush()
    await receiver.close()
    assert kept.records == [first, second]


async def test_too_many_records_are_counted_and_left_out(tmp_path: Path) -> None:
    instruments = Instruments()
    outbox = Outbox(tmp_path / "nobody.sock", instruments)
    for _ in range(WAITING + 7):
        outbox.put(trace_record(marks=[]))
    outbox.put(trace_record(attributes={"long": "x" * 200_000}))
    assert instruments.series("cmg_traces_dropped_total", "outbox")._value.get() == 8


async def test_nonsense_is_counted_and_hurts_nobody(tmp_path: Path) -> None:
    kept, instruments = Kept(), Instruments()
    receiver, outbox = a_receiver(tmp_path / "t.sock", kept, instruments), Outbox(tmp_path / "t.sock", instruments)
    outbox._connected().send(b"nonsense")
    outbox.put(record := trace_record())
    outbox.flush()
    await receiver.close()
    assert kept.records == [record]
    assert instruments.series("cmg_traces_dropped_total", "receiver")._value.get() == 1


async def test_while_the_disk_is_full_traces_are_shed_and_counted_but_sent_on(tmp_path: Path, clock) -> None:
    kept, instruments, disk, sent_on = Kept(), Instruments(), Disk(), []
    receiver = a_receiver(tmp_path / "t.sock", kept, instruments, DiskGuard(tmp_path, clock, disk))
    receiver.also = sent_on.extend
    outbox = Outbox(tmp_path / "t.sock", instruments)
    disk.free = GB
    outbox.put(shed := trace_record())
    outbox.flush()
    await asyncio.sleep(0.01)
    disk.free = 50 * GB
    clock.advance(2)
    outbox.put(stored := trace_record())
    outbox.flush()
    await receiver.close()
    assert kept.records == [stored]
    assert sent_on == [shed, stored]
    assert instruments.registry.get_sample_value("cmg_traces_dropped_total", {"place": "disk"}) == 1
