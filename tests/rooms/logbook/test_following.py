"""The live tail, and levels that are set while the service runs."""

import asyncio
import json
import logging
from pathlib import Path

import pytest

from cmg.kit.errors import InvalidRequest, NotFound, RateLimited
from cmg.logbook import tailing
from cmg.logbook.levels.setting import LogLevels
from cmg.logbook.tailing import Tail
from cmg.telemetry.lines.levels import Levels


async def take(stream, count: int) -> list[str]:
    """So many messages of a stream."""
    messages: list[str] = []
    async with asyncio.timeout(10):
        async for piece in stream:
            messages += [json.loads(one)["message"] for one in piece.splitlines() if one]
            if len(messages) >= count:
                return messages
    return messages


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often."""
    monkeypatch.setattr(tailing, "_POLL_S", 0.02)


async def test_a_tail_tells_new_lines_that_fit_in_their_order(store, clock, line) -> None:
    await store.write([line("before")])
    stream = await Tail(store, clock).stream({"level": "warning"}, None)
    taking = asyncio.create_task(take(stream, 2))
    await asyncio.sleep(0.1)
    for number in range(3):
        await store.write([line(f"{number}", severity=30 if number != 1 else 20)])
    assert await taking == ["0", "2"]


async def test_a_line_that_is_committed_late_is_told_all_the_same(store, database, clock, line) -> None:
    stream = await Tail(store, clock).stream({}, None)
    taking = asyncio.create_task(take(stream, 2))
    await asyncio.sleep(0.05)
    async with database.transaction() as conn:
        await store._copy(conn, [line("slow")])
        await store.write([line("quick")])
        await asyncio.sleep(0.2)
    assert await taking == ["quick", "slow"]


async def test_a_stream_ends_and_the_next_goes_on_where_it_was(store, clock, line) -> None:
    stream = await Tail(store, clock).stream({}, None)
    first = await anext(_after(store, stream, [line("one")]))
    assert json.loads(first)["message"] == "one"
    clock.advance(300)
    last = [piece async for piece in stream][-1]
    after = json.loads(last)["next"]
    await store.write([line("two")])
    assert (await take(await Tail(store, clock).stream({"after": after}, None), 1))[-1] in {"one", "two"}


async def _after(store, stream, lines):
    await store.write(lines)
    async for piece in stream:
        yield piece


async def test_a_workspace_follows_its_own_lines_only(store, clock, line) -> None:
    stream = await Tail(store, clock).stream({}, "a")
    taking = asyncio.create_task(take(stream, 1))
    await asyncio.sleep(0.05)
    await store.write([line("theirs", workspace_id="b"), line("the service's"), line("ours", workspace_id="a")])
    assert await taking == ["ours"]


async def test_the_number_of_tails_is_bounded(store, clock, monkeypatch) -> None:
    monkeypatch.setattr(tailing, "_MOST", 1)
    tail = Tail(store, clock)
    stream = await tail.stream({}, None)
    reading = asyncio.create_task(take(stream, 1))
    await asyncio.sleep(0.05)
    with pytest.raises(RateLimited):
        await tail.stream({}, None)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await stream.aclose()
    await tail.stream({}, None)


@pytest.fixture
def levels(database, clock, trail, tmp_path: Path) -> LogLevels:
    """Levels whose file is in `tmp_path`."""
    return LogLevels(database, tmp_path / "levels.json", trail, clock)


async def test_a_level_holds_until_it_ends_or_is_taken_back(levels, clock, trail, tmp_path) -> None:
    followed = Levels(tmp_path / "levels.json", "info", clock)
    one, other = logging.getLogger("cmg.test.levels.a"), logging.getLogger("cmg.test.levels.b")
    await levels.set({"logger": one.name, "level": "debug", "for": "15m"}, "key:boss")
    await levels.set({"logger": other.name, "level": "ERROR"}, "key:boss")
    await levels.changed([])
    followed.look()
    assert (one.level, other.level) == (logging.DEBUG, logging.ERROR)
    clock.advance(901)
    followed.look()
    assert (one.level, other.level) == (logging.NOTSET, logging.ERROR)
    assert [set_level.logger for set_level in await levels.list()] == [other.name]
    await levels.reset(other.name, "key:boss")
    await levels.changed([])
    followed.look()
    assert other.level == logging.NOTSET
    assert {action for _, action, _ in trail.told} == {"logs.level"}


@pytest.mark.parametrize(
    ("told", "field"),
    [
        ({"logger": "a b", "level": "info"}, "logger"),
        ({"logger": "cmg", "level": "loud"}, "level"),
        ({"logger": "cmg", "level": "info", "for": "soon"}, "for"),
    ],
)
async def test_a_wrong_level_names_its_field(levels, told: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        await levels.set(told, "cli")
    assert error.value.param == field
    with pytest.raises(NotFound):
        await levels.reset("cmg.nobody", "cli")
