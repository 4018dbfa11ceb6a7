"""What is a process that hangs, and what is only a busy one on a loaded machine."""

import asyncio
import os
import signal
import sys

import psutil
import pytest

from cmg.app.processes.watchdog import watch
from cmg.app.processes.watchdog.beat import BEAT_S, TELL, beating
from cmg.app.processes.watchdog.watch import IDLE_S, SILENT_S, STOPPED_S, Doing, Silence, Watch, doing
from cmg.kit.clock import SystemClock

STOPPED = Doing(psutil.STATUS_STOPPED, 1.0)
IDLE = Doing(psutil.STATUS_SLEEPING, 1.0)


def _looks(silence: Silence, seconds: float, found: Doing | None) -> list[str]:
    told = [silence.look(heard=False, found=found) for _ in range(round(seconds))]
    return [one for one in told if one is not None]


def _begun() -> Silence:
    silence = Silence()
    silence.look(heard=True, found=None)
    return silence


@pytest.mark.parametrize(("found", "after_s"), [(STOPPED, STOPPED_S), (IDLE, IDLE_S + 1)])
def test_one_that_is_silent_and_does_nothing_hangs(found: Doing, after_s: float) -> None:
    silence = _begun()
    assert _looks(silence, after_s - 1, found) == []
    assert len(_looks(silence, 1, found)) == 1


@pytest.mark.parametrize("state", [psutil.STATUS_RUNNING, psutil.STATUS_DISK_SLEEP])
def test_one_that_gets_no_turn_or_waits_for_a_disk_is_let_alone_for_long(state: str) -> None:
    silence = _begun()
    assert _looks(silence, SILENT_S - 1, Doing(state, 1.0)) == []
    assert _looks(silence, 1, Doing(state, 1.0)) == ["it is busy and answers nobody"]


def test_one_that_waits_while_its_threads_compute_is_let_alone_for_long() -> None:
    silence = _begun()
    told = [
        silence.look(heard=False, found=Doing(psutil.STATUS_SLEEPING, 0.01 * second)) for second in range(int(SILENT_S))
    ]
    assert [one for one in told if one] == told[-1:] == ["it is busy and answers nobody"]


def test_one_that_still_loads_may_take_as_long_as_it_computes() -> None:
    assert _looks(Silence(), 10 * SILENT_S, Doing(psutil.STATUS_RUNNING, 1.0)) == []


def test_one_that_never_began_and_does_nothing_hangs() -> None:
    assert _looks(Silence(), IDLE_S + 1, IDLE) == ["it waits for something and does nothing"]


def test_one_with_a_debugger_is_let_alone() -> None:
    assert _looks(_begun(), 10 * SILENT_S, Doing(psutil.STATUS_TRACING_STOP, 1.0)) == []


def test_a_word_in_time_begins_anew() -> None:
    silence = _begun()
    for _ in range(10):
        assert _looks(silence, STOPPED_S - 1, STOPPED) == []
        assert silence.look(heard=True, found=None) is None


def test_being_stopped_again_and_again_is_not_being_stopped_for_long() -> None:
    silence = _begun()
    for second in range(int(STOPPED_S)):
        found = STOPPED if second % 10 else Doing(psutil.STATUS_RUNNING, second)
        assert silence.look(heard=False, found=found) is None


async def test_a_loop_that_turns_is_heard_and_one_that_does_not_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both in a process of their own: the second blocks its loop after its first word."""
    monkeypatch.setattr(watch, "IDLE_S", 3.0)
    for work, hangs in (("await asyncio.sleep(60)", False), ("time.sleep(60)", True)):
        with Watch(SystemClock()) as watching:
            child = await _child(watching.writing, work)
            try:
                told = await asyncio.wait_for(watching.hangs(child.pid), 6 * BEAT_S)
            except TimeoutError:
                told = ""
            child.kill()
            await child.wait()
        assert told == ("it waits for something and does nothing" if hangs else ""), work


async def test_one_that_is_asked_says_where_it_hangs() -> None:
    with Watch(SystemClock()) as watching:
        child = await _child(watching.writing, "print('begun', file=sys.stderr, flush=True); time.sleep(60)")
        assert child.stderr is not None
        assert await child.stderr.readline() == b"begun\n"
        child.send_signal(TELL)
        told = b"".join([await child.stderr.readline() for _ in range(3)])
        child.kill()
        await child.wait()
    assert b"most recent call first" in told
    assert b"in main" in told


async def _child(writing: int, work: str) -> asyncio.subprocess.Process:
    code = (
        "import asyncio, sys, time\n"
        "from cmg.app.processes.watchdog.beat import beating, tell_when_asked\n"
        "async def main():\n"
        "    await asyncio.sleep(0.1)\n"
        f"    {work}\n"
        "tell_when_asked()\n"
        f"asyncio.run(beating({writing}, main()))\n"
    )
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, pass_fds=(writing,), stderr=asyncio.subprocess.PIPE
    )


async def test_a_full_pipe_and_a_supervisor_that_is_gone_disturb_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cmg.app.processes.watchdog.beat.BEAT_S", 0.0)
    done = []

    async def work() -> None:
        await asyncio.sleep(0.2)
        done.append(True)

    with Watch(SystemClock()) as watching:
        os.set_blocking(watching.writing, False)
        while True:
            try:
                os.write(watching.writing, b"." * 4096)
            except BlockingIOError:
                break
        await beating(watching.writing, work())
    await beating(-1, work())
    assert done == [True, True]


async def test_what_the_kernel_says_of_a_stopped_process_and_of_one_that_has_gone() -> None:
    child = await asyncio.create_subprocess_exec("sleep", "60")
    child.send_signal(signal.SIGSTOP)
    await asyncio.sleep(0.1)
    found = doing(child.pid)
    assert found is not None
    assert found.state == psutil.STATUS_STOPPED
    child.kill()
    await child.wait()
    assert doing(child.pid) is None
