"""The hot tier: exactly once from spool to table, and a search by everything that a line can be known by."""

import json
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from cmg.kit.errors import InvalidRequest
from cmg.logbook.hot.drain import LogDrain
from cmg.logbook.hot.line_store import LineStore, Overtaken
from cmg.logbook.hot.spool_reader import segments
from cmg.logbook.models import parsed
from cmg.logbook.searching import Search
from cmg.telemetry.lines.spool import SEGMENT_BYTES, Spool


def spooled(*messages: str, **fields: object) -> bytes:
    """Lines as a process writes them."""
    told = {"log.level": "info", "log.logger": "cmg.test", "service.name": "context-memory-gateway", **fields}
    return b"".join(json.dumps({**told, "message": one}).encode() + b"\n" for one in messages)


@pytest.fixture
def drain(store, tmp_path: Path, clock, instruments) -> LogDrain:
    """A drain of the spool in `tmp_path`."""
    return LogDrain(store, tmp_path, clock, instruments)


async def messages(search: Search, **values: object) -> list[str]:
    """The messages of a search, newest first."""
    return [item["message"] for item in (await search.page(values, None)).items]


async def test_every_line_of_every_writer_is_stored_once(drain: LogDrain, search: Search, tmp_path: Path) -> None:
    writers = [Spool(tmp_path), Spool(tmp_path)]
    for number in range(50):
        for name, writer in enumerate(writers):
            writer.append(spooled(f"{name}-{number}"))
            await drain.drain_once()
    await drain.drain_all()
    found = await messages(search, limit=1000)
    assert sorted(found) == sorted(f"{name}-{number}" for name in range(2) for number in range(50))


async def test_stored_files_go_when_nothing_more_can_come(drain: LogDrain, tmp_path: Path) -> None:
    writer = Spool(tmp_path)
    writer.append(spooled("x" * 1000) * (SEGMENT_BYTES // 1000 + 1))
    writer.append(spooled("behind"))
    await drain.drain_all()
    assert len(segments(tmp_path)) == 1
    writer.close()
    await drain.drain_all()
    assert not segments(tmp_path)


async def test_a_killed_writers_torn_line_is_passed_over(drain, search, tmp_path: Path) -> None:
    writer = Spool(tmp_path)
    writer.append(spooled("whole") + b'{"message": "to')
    assert await drain.drain_all() == 1
    assert len(segments(tmp_path)) == 1
    writer.close()
    assert await drain.drain_all() == 0
    await drain.drain_once()
    assert await messages(search) == ["whole"]
    assert not segments(tmp_path)


async def test_a_drain_that_starts_anew_goes_on_where_the_other_committed(
    drain, store, search, tmp_path: Path, clock, instruments
) -> None:
    writer = Spool(tmp_path)
    writer.append(spooled("one", "two"))
    await drain.drain_all()
    writer.append(spooled("three"))
    await LogDrain(store, tmp_path, clock, instruments).drain_all()
    assert sorted(await messages(search)) == ["one", "three", "two"]


async def test_two_drains_of_one_file_cannot_store_twice(store: LineStore, line) -> None:
    await store.offset("w-00000001.ndjson")
    await store.write_segment("w-00000001.ndjson", 0, 10, [line("a")])
    with pytest.raises(Overtaken):
        await store.write_segment("w-00000001.ndjson", 0, 10, [line("a")])


KILLED = """
import itertools, sys, os
from pathlib import Path
from cmg.telemetry import logs
logs.configure("info", "killed", Path(sys.argv[1]))
log = logs.get_logger("cmg.test.killed")
for number in itertools.count():
    log.info("line", number=number)
    if number == 5000:
        print("ready", flush=True)
"""


def _logging_without_end(folder: Path) -> "subprocess.Popen[bytes]":
    told = [sys.executable, "-c", KILLED, str(folder)]
    process = subprocess.Popen(told, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    process.stdout.readline()
    return process


async def test_lines_of_a_killed_process_are_stored_once_and_in_order(drain, search, tmp_path: Path) -> None:
    process = _logging_without_end(tmp_path)
    total = await drain.drain_once()  # a part, or all that there is by then
    process.kill()
    process.wait()
    total += await drain.drain_all()
    assert total > 2000
    assert not segments(tmp_path)
    numbers, cursor = [], None
    while True:
        page = await search.page({"limit": 1000, "cursor": cursor, "until": "2199-01-01"}, None)
        numbers += [item["cmg.number"] for item in page.items if item["message"] == "line"]
        if (cursor := page.next) is None:
            break
    assert len(numbers) == len(set(numbers))
    assert set(numbers) == set(range(max(numbers) + 1))


async def test_what_the_database_refuses_does_not_hold_up_the_rest(store: LineStore, search, line) -> None:
    wrong = line("wrong")
    wrong.severity = 99_999
    assert await store.write([line("good"), wrong, line("also good")]) == 1
    assert sorted(await messages(search)) == ["also good", "good"]


async def test_a_nul_and_what_is_no_json_are_stored_as_text(store: LineStore, search, clock) -> None:
    await store.write([parsed(b'{"message": "a\\u0000b"}', clock.now()), parsed(b"Traceback \xff", clock.now())])
    assert sorted(await messages(search)) == ["Traceback \ufffd", "a\ufffdb"]


async def test_a_clock_that_is_wrong_by_years_spreads_no_lines_over_them(store: LineStore, search, clock) -> None:
    told = [b'{"message": "%d", "@timestamp": "%d-01-01T00:00:00Z"}' % (year, year) for year in (1999, 2026, 2150)]
    await store.write([parsed(one, clock.now()) for one in told])
    items = {item["message"]: item for item in (await search.page({}, None)).items}
    assert items["2026"]["@timestamp"].startswith("2026-01-01")
    assert items["1999"]["@timestamp"] == items["2150"]["@timestamp"]
    assert items["2150"]["event.created"].startswith("2150")


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"q": "timeout"}, ["upstream timeout"]),
        ({"q": '"upstream timeout" -local'}, ["upstream timeout"]),
        ({"q": "boom"}, ["crashed"]),
        ({"level": "error"}, ["crashed"]),
        ({"logger": "cmg.memory"}, ["backlog"]),
        ({"logger": "cmg.mem"}, []),
        ({"request_id": "r-1"}, ["crashed"]),
        ({"trace_id": "t-1"}, ["upstream timeout"]),
        ({"service": "nginx"}, ["GET /"]),
        ({"since": "30s"}, ["GET /", "backlog"]),
        ({"until": "35s"}, ["crashed", "upstream timeout"]),
    ],
)
async def test_a_line_is_found_by_what_it_is_known_by(store: LineStore, search, line, asked, found) -> None:
    await store.write(
        [
            line("upstream timeout", 50, trace_id="t-1"),
            line("crashed", 40, severity=40, request_id="r-1", fields={"error.message": "boom"}),
            line("backlog", 20, logger="cmg.memory.backlog"),
            line("GET /", 10, service="nginx", logger="access"),
        ]
    )
    assert await messages(search, **asked) == found


async def test_pages_hold_every_line_once_even_of_one_moment(store: LineStore, search, line) -> None:
    await store.write([line(f"{number}") for number in range(25)])
    seen, cursor = [], None
    while True:
        page = await search.page({"limit": "10", "cursor": cursor}, None)
        seen += [item["message"] for item in page.items]
        if (cursor := page.next) is None:
            break
    assert seen == [str(number) for number in range(24, -1, -1)]


async def test_a_workspace_sees_its_own_lines_only(store: LineStore, search, line) -> None:
    await store.write([line("ours", workspace_id="a"), line("theirs", workspace_id="b"), line("the service's")])
    assert [item["message"] for item in (await search.page({}, "a")).items] == ["ours"]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"level": "loud"}, "level"),
        ({"since": "yesterday"}, "since"),
        ({"since": "1m", "until": "2m"}, "since"),
        ({"limit": "0"}, "limit"),
        ({"cursor": "!"}, "cursor"),
        ({"q": "a\0b"}, "q"),
        ({"pattern": "x"}, "pattern"),
    ],
)
async def test_a_wrong_parameter_is_named(search: Search, asked: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidRequest) as told:
        await search.page(asked, None)
    assert told.value.param == field


async def test_lines_wait_in_the_spool_while_the_database_is_away(drain, database, search, tmp_path: Path) -> None:
    await drain.drain_once()
    Spool(tmp_path).append(spooled("waiting"))
    await database.execute("ALTER TABLE log_lines RENAME TO log_lines_away")
    with pytest.raises(asyncpg.PostgresError):
        await drain.drain_once()
    await database.execute("ALTER TABLE log_lines_away RENAME TO log_lines")
    assert await drain.drain_once() == 1
    assert await messages(search) == ["waiting"]
