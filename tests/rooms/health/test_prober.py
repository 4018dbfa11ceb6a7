"""The prober: deadlines that hold, looks that hang, levels as metrics; and the canary that catches what lies."""

import asyncio
import contextlib
import errno
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from cmg.health.board import Board
from cmg.health.history import History
from cmg.health.looking import Probe, Seen, seen
from cmg.health.models import Component, Level, Reading
from cmg.health.prober import Pace, Prober
from cmg.health.probes import canary as canary_module
from cmg.health.probes.canary import canary
from cmg.health.reading import Reader
from cmg.health.store import HealthStore
from cmg.kit.clock import SystemClock
from cmg.storage.database import Database
from cmg.telemetry.instruments import Instruments
from support.service import eventually

PACE = Pace(0.3, 0.2)


async def good() -> Sequence[Reading]:
    return [Reading(measurement="availability", value=True)]


async def bad() -> Sequence[Reading]:
    raise ConnectionError("postgresql://user:secret@host said no")


async def hung() -> Sequence[Reading]:
    await asyncio.Event().wait()
    return []


def probe(name: str, look, *decoys, worst: Level = Level.DEGRADED) -> Probe:
    """One of a component of that name."""
    return Probe(Component(name=name, worst=worst), look, decoys)


@pytest.fixture
def away(instruments: Instruments) -> HealthStore:
    """A store whose database does not exist: the prober works without."""
    return HealthStore(Database("postgresql:///none?host=/nowhere", clock=SystemClock(), instruments=instruments))


@contextlib.asynccontextmanager
async def running(folder: Path, away: HealthStore, instruments: Instruments, *probes: Probe) -> AsyncIterator[Reader]:
    """A prober at work, and a reader of what it finds."""
    clock, board = SystemClock(), Board(folder / "health.report")
    history = History(folder / "health.history", "m", away, clock, instruments)
    task = asyncio.create_task(Prober(probes, PACE, board, history, clock, instruments).run())
    try:
        yield Reader(board, PACE, clock)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def levels(reader: Reader) -> dict[str, str]:
    return {one.component.name: one.level.name for one in reader.standing().states}


async def test_a_look_ends_at_its_deadline_whatever_it_does() -> None:
    async def deaf() -> Sequence[Reading]:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(10)

    for look in (hung, deaf):
        started = time.monotonic()
        found = await seen(look, 0.1)
        assert found.level == Level.UNHEALTHY
        assert time.monotonic() - started < 5
        assert found.readings[0].output == "no answer within 0.1 s"
    assert found.left is not None
    assert not found.left.done()
    found.left.get_coro().close()


async def test_an_error_is_unhealthy_and_tells_no_secret() -> None:
    found = await seen(bad, 1)
    assert found.level == Level.UNHEALTHY
    assert "said no" in found.readings[0].output
    assert "secret" not in found.readings[0].output


async def test_a_component_that_hangs_holds_up_no_other(tmp_path, away, instruments) -> None:
    async with running(tmp_path, away, instruments, probe("a", hung), probe("b", good)) as reader:
        await eventually(lambda: _is(levels(reader) == {"a": "UNHEALTHY", "b": "HEALTHY"}), 3, "both are known")


async def test_a_fault_is_seen_within_interval_and_deadline_and_so_is_recovery(tmp_path, away, instruments) -> None:
    look = [good]

    async def changing() -> Sequence[Reading]:
        return await look[0]()

    async with running(tmp_path, away, instruments, probe("thing", changing)) as reader:
        await eventually(lambda: _is(levels(reader) == {"thing": "HEALTHY"}), 3, "it is known")
        for fault, level in ((hung, "UNHEALTHY"), (good, "HEALTHY"), (bad, "UNHEALTHY"), (good, "HEALTHY")):
            look[0], started = fault, time.monotonic()
            await eventually(lambda level=level: _is(levels(reader) == {"thing": level}), 3, level)
            assert time.monotonic() - started <= PACE.interval_s + PACE.deadline_s + 1.0, level


async def test_each_change_is_a_line_that_says_how_well_it_works(tmp_path, away, instruments) -> None:
    look = [good]

    async def changing() -> Sequence[Reading]:
        return await look[0]()

    with capture_logs() as lines:
        async with running(tmp_path, away, instruments, probe("thing", changing)) as reader:
            for found, level in ((good, "HEALTHY"), (bad, "UNHEALTHY"), (good, "HEALTHY")):
                look[0] = found
                await eventually(lambda level=level: _is(levels(reader) == {"thing": level}), 3, level)
    told = [(one["log_level"], one["health"], one["reason"]) for one in lines if one.get("component") == "thing"]
    assert [one[:2] for one in told] == [("info", "healthy"), ("warning", "unhealthy"), ("info", "healthy")]
    assert "said no" in told[1][2]


async def test_levels_are_metrics(tmp_path, away, instruments) -> None:
    async with running(tmp_path, away, instruments, probe("a", bad, worst=Level.UNHEALTHY), probe("b", good)) as reader:
        await eventually(lambda: _is(len(levels(reader)) == 2), 3, "both are known")
        value = instruments.registry.get_sample_value
        assert value("cmg_health_level", {"component": "a"}) == 2
        assert value("cmg_health_level", {"component": "b"}) == 0
        assert value("cmg_health_level", {"component": "service"}) == 2
        assert value("cmg_health_probed_timestamp_seconds", {"component": "a"}) == pytest.approx(time.time(), abs=2)
        assert value("cmg_health_probe_duration_seconds_count", {"component": "b"}) >= 1


async def _canary(*probes: Probe) -> dict[str, Reading]:
    found = await canary(probes, Instruments()).look()
    return {one.part: one for one in found}


async def test_the_canary_passes_what_tells_the_truth() -> None:
    found = await _canary(probe("a", good, bad), probe("b", good, hung), probe("c", bad))
    assert set(found) == {"known-good", "known-bad", "known-critical", "known-hung", "a", "b"}
    assert {one.level for one in found.values()} == {Level.HEALTHY}


async def test_a_probe_that_lies_is_caught_by_its_decoy(tmp_path, away, instruments) -> None:
    liar = probe("database", good, good)
    assert (await _canary(liar))["database"].level == Level.UNHEALTHY
    async with running(tmp_path, away, instruments, liar, canary([liar], instruments)) as reader:
        await eventually(lambda: _is(len(levels(reader)) == 2), 3, "both are known")
        assert levels(reader) == {"database": "HEALTHY", "health": "UNHEALTHY"}
        assert reader.standing().level == Level.DEGRADED
    assert instruments.registry.get_sample_value("cmg_health_canary_failures_total", {"probe": "database"}) >= 1


@pytest.mark.parametrize(
    ("lie", "caught"),
    [
        (Level.HEALTHY, {"known-bad", "known-critical", "known-hung"}),
        (Level.UNHEALTHY, {"known-good", "known-critical"}),
    ],
)
async def test_a_judge_that_always_says_the_same_is_caught(monkeypatch, lie: Level, caught: set[str]) -> None:
    async def judge(_look, _deadline_s: float) -> Seen:
        return Seen(lie, ())

    monkeypatch.setattr(canary_module, "seen", judge)
    found = await _canary()
    assert {name for name, one in found.items() if one.level} == caught


async def test_a_deadline_that_does_not_hold_is_caught(monkeypatch) -> None:
    async def patient(look, _deadline_s: float) -> Seen:
        return await seen(look, 60)

    monkeypatch.setattr(canary_module, "seen", patient)
    found = await seen(canary([], Instruments()).look, 0.5)
    assert found.level == Level.UNHEALTHY, "the canary itself misses its deadline"


async def _is(value: object) -> bool:
    return bool(value)


async def test_a_full_disk_is_told_of_in_the_place_that_the_report_has(
    tmp_path, away, instruments, monkeypatch
) -> None:
    board = Board(tmp_path / "health.report")
    async with running(tmp_path, away, instruments, probe("a", bad)) as reader:
        await eventually(lambda: _is(levels(reader) == {"a": "UNHEALTHY"}), 3, "it is known")
    first = board.read()
    assert first is not None

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("os.open", full)
    board.write(msgspec.structs.replace(first, states=()))
    assert board.read() == msgspec.structs.replace(first, states=())
    assert [path.name for path in tmp_path.glob("health.report*")] == ["health.report"]


async def test_a_new_prober_goes_on_with_what_the_one_before_found(tmp_path, away, instruments) -> None:
    async with running(tmp_path, away, instruments, probe("a", bad), probe("b", good)) as reader:
        await eventually(lambda: _is(len(levels(reader)) == 2), 3, "both are known")
    clock, board = SystemClock(), Board(tmp_path / "health.report")
    history = History(tmp_path / "health.history", "m", away, clock, instruments)
    prober = Prober([probe("a", good), probe("c", hung)], PACE, board, history, clock, instruments)
    assert prober.report.states == ()
    prober.go_on()
    (known,) = prober.report.states
    assert (known.component.name, known.level) == ("a", Level.UNHEALTHY), "b is gone, c is new"
    assert (await prober.look(probe("a", good))).level == Level.HEALTHY


async def test_somebody_elses_words_can_be_written_whatever_they_hold(tmp_path, away, instruments) -> None:
    async def odd() -> Sequence[Reading]:
        raise ConnectionError("no\x00thing \udcff " + "x" * 5000)

    async with running(tmp_path, away, instruments, probe("a", odd)) as reader:
        await eventually(lambda: _is(levels(reader) == {"a": "UNHEALTHY"}), 3, "it is known")
        (state,) = reader.standing().states
    assert state.readings[0].output.startswith("nothing ? x")
    assert len(state.readings[0].output) <= 1000
