"""Kept traces in the database: lists, walls between workspaces, erasure, and what may be kept."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from cmg.config import TraceSettings
from cmg.kit.clock import SystemClock, at
from cmg.kit.errors import InvalidRequest, NotFound
from cmg.storage.database import Database
from cmg.traces.erasing import TracedUsers
from cmg.traces.reading import TraceReader
from cmg.traces.store import TraceStore
from support.trace_records import trace_record

ALL: dict[str, str | None] = {}


@pytest.fixture
def store(database: Database) -> TraceStore:
    return TraceStore(database)


@pytest.fixture
def reader(store: TraceStore) -> TraceReader:
    return TraceReader(store, SystemClock())


async def pages(reader: TraceReader, **asked: str) -> list[dict[str, Any]]:
    """Every item of a list, in pages of two."""
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = await reader.page({**asked, "limit": "2", **cursor}, None)
        found += page["items"]
        if page["next"] is None:
            return found
        cursor = {"cursor": page["next"]}


async def test_lists_are_newest_or_slowest_first_over_pages_without_gap_or_double(
    store: TraceStore, reader: TraceReader
) -> None:
    took = [0.3, 0.1, 0.5, 0.1, 0.4]
    records = [trace_record(ended=100.0 + one) for one in took]
    await store.add(records)
    newest = sorted((record.id for record in records), reverse=True)  # ids sort by time
    assert [item["trace_id"] for item in await pages(reader)] == newest
    slowest = await pages(reader, order="slowest")
    assert [round(item["duration_ms"]) for item in slowest] == [500, 400, 300, 100, 100]
    assert len({item["trace_id"] for item in slowest}) == 5


async def test_conditions_hold_together(store: TraceStore, reader: TraceReader) -> None:
    wanted = trace_record(failed=True, status=503, ended=101.0)
    others = [trace_record(), trace_record(failed=True, workspace_id="w2"), trace_record(ended=101.0)]
    await store.add([wanted, *others])
    asked = {"status": "error", "workspace": "w1", "min_ms": "900", "model": "m", "from": "2023-11-14T22:13:20Z"}
    (item,) = (await reader.page(asked, None))["items"]
    assert (item["trace_id"], item["http_status"], item["status"]) == (wanted.id, 503, "error")
    assert (await reader.page({**asked, "model": "another"}, None))["items"] == []
    assert (await reader.page({**asked, "to": "2023-11-14T22:13:20Z"}, None))["items"] == []


async def test_a_trace_holds_all_its_requests_and_is_found_by_the_id_of_each(
    store: TraceStore, reader: TraceReader
) -> None:
    first = trace_record()
    second = trace_record(id=first.id, started_at=1.7e9 + 1)
    await store.add([first, second])
    for id_ in (first.id, first.request_id, second.request_id):
        found = await reader.trace(id_, "w1")
        assert [part["request_id"] for part in found["parts"]] == [first.request_id, second.request_id]
        assert len(found["spans"]) == 2
        assert found["duration_ms"] == pytest.approx(1100, abs=1)


async def test_another_workspace_sees_nothing_of_a_trace_not_even_in_one_that_it_shares(
    store: TraceStore, reader: TraceReader
) -> None:
    mine = trace_record()
    theirs = trace_record(id=mine.id, workspace_id="w2")
    nobodys = trace_record(id=mine.id, workspace_id=None)
    await store.add([mine, theirs, nobodys])
    (part,) = (await reader.trace(mine.id, "w2"))["parts"]
    assert part["request_id"] == theirs.request_id
    with pytest.raises(NotFound):
        await reader.trace(mine.request_id, "w3")
    # By the id of another's request only what is one's own is found: nothing, as the id is not one's own.
    lonely = trace_record()
    await store.add([lonely])
    with pytest.raises(NotFound):
        await reader.trace(lonely.request_id, "w2")
    assert [item["workspace"] for item in (await reader.page(ALL, "w2"))["items"]] == ["w2"]
    with pytest.raises(NotFound):
        await reader.page({"workspace": "w1"}, "w2")


async def test_the_same_record_twice_is_there_once(store: TraceStore, reader: TraceReader) -> None:
    record = trace_record()
    await store.add([record])
    await store.add([record, trace_record()])
    assert len((await reader.page(ALL, None))["items"]) == 2


async def test_an_erasure_takes_the_traces_of_the_user_and_of_nobody_else(
    database: Database, store: TraceStore, reader: TraceReader
) -> None:
    kept = [trace_record(user="bob"), trace_record(workspace_id="w2"), trace_record(user=None)]
    await store.add([trace_record(), trace_record(), *kept])
    assert await TracedUsers(database).erase("w1", "ada", "pseudonym") == 2
    left = {item["trace_id"] for item in (await reader.page(ALL, None))["items"]}
    assert left == {record.id for record in kept}


async def test_what_is_old_and_what_is_too_much_goes(store: TraceStore, reader: TraceReader) -> None:
    records = [trace_record(started_at=1.7e9 + 60 * number) for number in range(10)]
    await store.add(records)
    now = at(1.7e9) + timedelta(hours=1, seconds=90)
    assert await store.purge(TraceSettings(keep_hours=1), now) == 2
    few = msgspec.structs.replace(TraceSettings(keep_hours=720), keep_most=3)
    assert await store.purge(few, now) == 5
    left = {item["trace_id"] for item in (await reader.page(ALL, None))["items"]}
    assert left == {record.id for record in records[-3:]}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", "broken"),
        ("order", "random"),
        ("min_ms", "-1"),
        ("min_ms", "nan"),
        ("limit", "0"),
        ("limit", "1001"),
        ("cursor", "nonsense"),
        ("cursor", "01a2254d0a3177f1b13ff0d94eabe2ab.zz"),
        ("from", "yesterday"),
        ("to", "2026-01-01"),
        ("model", "a\x00b"),
    ],
)
async def test_a_wrong_parameter_is_named(reader: TraceReader, name: str, value: str) -> None:
    with pytest.raises(InvalidRequest) as told:
        await reader.page({name: value}, None)
    assert told.value.param == name
