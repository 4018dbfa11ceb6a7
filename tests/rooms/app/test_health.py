"""Readiness of a process: only what requests need is asked, and it never hangs."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from cmg.app.processes.resources import Resource, Resources
from cmg.app.wiring.gateway import begun
from support.manual_clock import ManualClock


async def _nothing() -> None:
    return None


async def _broken() -> None:
    raise OSError("nobody answers")


async def _silent() -> None:
    await asyncio.Event().wait()


async def _ready(resources: Resources) -> int:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await resources.readyz(None, send)  # type: ignore[arg-type]
    return int(sent[0]["status"])


@pytest.mark.parametrize(("needed", "status"), [(None, 200), (_nothing, 200), (_broken, 503), (_silent, 503)])
async def test_a_process_is_ready_while_what_requests_need_answers(clock: ManualClock, needed, status: int) -> None:
    resources = Resources(clock)
    resources.add(Resource("thing", _nothing, needed))
    started = time.monotonic()
    assert await _ready(resources) == status
    assert time.monotonic() - started < 1.5


async def test_a_process_that_stops_is_not_ready(clock: ManualClock) -> None:
    resources = Resources(clock)
    assert await _ready(resources) == 200
    resources.stopping = True
    assert await _ready(resources) == 503


async def test_readiness_is_asked_at_most_once_a_second(clock: ManualClock) -> None:
    asked: list[int] = []

    async def ask() -> None:
        asked.append(1)

    resources = Resources(clock)
    resources.add(Resource("thing", _nothing, ask))
    for _ in range(5):
        await _ready(resources)
    clock.advance(1.1)
    await _ready(resources)
    assert len(asked) == 2


async def test_readiness_waits_for_the_first_notes_but_not_for_long_and_never_again(
    clock: ManualClock, tmp_path: Path
) -> None:
    socket = tmp_path / "notes"
    for late in (False, True):
        resources = Resources(clock)
        resources.add(Resource("recall", _nothing, begun(socket, clock)))
        assert await _ready(resources) == 503
        if late:
            clock.advance(5)
        else:
            socket.touch()
            clock.advance(0.2)
        assert await _ready(resources) == 200
        socket.unlink(missing_ok=True)
        clock.advance(5)
        assert await _ready(resources) == 200
