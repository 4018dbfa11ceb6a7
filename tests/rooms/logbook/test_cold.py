"""The tiers of files: days leave the database wholly or not at all, are found as before, expire, or are held."""

from pathlib import Path
from typing import Any

import pytest
import zstandard

from cmg.kit.errors import InvalidRequest, NotFound
from cmg.logbook.cold import file_writer, moving
from cmg.logbook.cold.bloom import bloom_of, may_hold
from cmg.logbook.cold.file_store import FileStore
from cmg.logbook.cold.holding import Holds
from cmg.logbook.cold.moving import Mover
from cmg.logbook.cold.words import question, words_of
from cmg.logbook.hot.line_store import LineStore
from cmg.logbook.models import Line
from cmg.logbook.searching import Search

DAY = 86_400
BOTH = pytest.mark.parametrize("shelves", ["folder", "memory"], indirect=True)


async def found(search: Search, **asked: Any) -> list[str]:
    """The messages of all pages of a search."""
    messages, cursor = [], None
    while True:
        page = await search.page({**asked, "cursor": cursor}, asked.get("workspace_id"))
        messages += [item["message"] for item in page.items]
        if (cursor := page.next) is None:
            return messages


def many(line: Any, count: int, day: float) -> list[Line]:
    """Lines of one day, a second apart, the newest last."""
    return [line(f"number {n} of many words", day * DAY + count - n, request_id=f"r{n}") for n in range(count)]


@BOTH
async def test_a_moved_day_is_found_as_before(store: LineStore, mover: Mover, search: Search, line) -> None:
    old = [
        line("upstream timeout", 40 * DAY, trace_id="t-1", workspace_id="team"),
        line("crashed", 40 * DAY - 60, severity=40, fields={"error.message": "boom", "cmg.nested": {"a": [1]}}),
    ]
    await store.write([*old, line("of today")])
    before = [await search.page(asked, None) for asked in _QUESTIONS]
    assert await mover.move() == 2
    after = [await search.page(asked, None) for asked in _QUESTIONS]
    assert [page.items for page in after] == [page.items for page in before]
    assert [len(page.items) for page in after] == [3, 1, 1, 1, 1, 1, 1, 2, 0]
    assert [item["message"] for item in (await search.page({}, "team")).items] == ["upstream timeout"]


_QUESTIONS = [
    {},
    {"q": "timeout"},
    {"q": '"upstream timeout" -local'},
    {"q": "boom or nothing"},
    {"level": "error"},
    {"trace_id": "t-1"},
    {"since": "1d"},
    {"until": "39d"},
    {"q": '"timeout upstream"'},
]


@BOTH
async def test_pages_go_over_the_tiers_without_a_gap(store, mover, search, line, monkeypatch) -> None:
    monkeypatch.setattr(file_writer, "BLOCK_BYTES", 5000)
    monkeypatch.setattr(file_writer, "FILE_BLOCKS", 4)
    monkeypatch.setattr(moving, "_BATCH", 37)
    lines = [*many(line, 300, 35), *many(line, 50, 33), *many(line, 100, 2)]
    await store.write(lines)
    assert await mover.move() == 350
    expected = [one.message for one in sorted(lines, key=lambda one: one.at, reverse=True)]
    assert await found(search, limit="33") == expected
    assert await found(search, request_id="r120") == ["number 120 of many words"]


async def test_files_are_json_lines_that_any_tool_reads(store, mover, line, tmp_path: Path) -> None:
    await store.write([line("plain", 40 * DAY), line("to read", 40 * DAY)])
    await mover.move()
    (file,) = sorted((tmp_path / "files").rglob("*.zst"))
    text = zstandard.ZstdDecompressor().stream_reader(file.open("rb"), read_across_frames=True).read()
    assert [b'"message":"' in one for one in text.splitlines()] == [True, True]


class Cut(Exception):
    """The process ends here."""


async def test_a_move_that_is_cut_off_goes_on_and_doubles_nothing(store, mover, search, line, monkeypatch) -> None:
    monkeypatch.setattr(file_writer, "BLOCK_BYTES", 2000)
    monkeypatch.setattr(file_writer, "FILE_BLOCKS", 2)
    monkeypatch.setattr(moving, "_BATCH", 20)
    await store.write(many(line, 100, 40))
    write, calls = moving.write_file, []

    async def cut(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 3:
            raise Cut
        return await write(*arguments)

    monkeypatch.setattr(moving, "write_file", cut)
    with pytest.raises(Cut):
        await mover.move()
    assert len(await found(search)) == 100
    assert await mover.move() == 100
    assert len(await found(search)) == 100


async def test_a_line_that_comes_in_while_its_day_is_moved_is_not_lost(store, mover, search, line, monkeypatch) -> None:
    await store.write(many(line, 10, 40))
    write = moving.write_file

    async def late(*arguments: Any) -> Any:
        monkeypatch.setattr(moving, "write_file", write)
        await store.write([line("late", 40 * DAY)])
        return await write(*arguments)

    monkeypatch.setattr(moving, "write_file", late)
    assert await mover.move() == 11
    assert sorted(await found(search)) == sorted(["late", *(f"number {n} of many words" for n in range(10))])


async def test_what_is_old_goes_to_the_archive_and_then_for_good(store, mover, search, line, clock, tmp_path) -> None:
    await store.write([line("once", 31 * DAY)])
    await mover.move()
    clock.advance(335 * DAY)
    assert await mover.archive() == 1
    assert await found(search, tiers="hot,cold") == []
    assert await found(search, tiers="archive") == ["once"]
    assert not list((tmp_path / "files").rglob("*.zst"))
    clock.advance(2200 * DAY)
    await mover.expire()
    clock.advance(3600)
    assert await mover.expire() == 1
    assert await found(search, tiers="archive") == []
    assert not list((tmp_path / "archive").rglob("*.zst*"))


async def test_what_is_held_does_not_expire(
    database, store, files: FileStore, mover, search, line, clock, trail
) -> None:
    await store.write([line("evidence", 31 * DAY), line("not held", 33 * DAY)])
    await mover.move()
    holds = Holds(database, files, trail, clock)
    told = {"reason": "case 7", "since": "32d", "until": "30d"}
    hold = await holds.place(told, "key:boss")
    clock.advance(2700 * DAY)
    await mover.archive()
    await mover.expire()
    assert await found(search, tiers="archive") == ["evidence"]
    await holds.release(str(hold.hold_id), "key:boss")
    await mover.expire()
    assert await found(search, tiers="archive") == []
    assert [action for _, action, _ in trail.told] == ["logs.hold", "logs.release"]
    with pytest.raises(NotFound):
        await holds.release(str(hold.hold_id), "key:boss")


async def test_a_hold_needs_a_reason_and_a_time(database, files, clock, trail) -> None:
    holds = Holds(database, files, trail, clock)
    for told, field in (
        ({"since": "1d"}, "reason"),
        ({"reason": "x"}, "since"),
        ({"reason": "x", "since": "1d", "until": "2d"}, "until"),
    ):
        with pytest.raises(InvalidRequest) as error:
            await holds.place(told, "cli")
        assert error.value.param == field


async def test_a_search_that_takes_long_gives_what_it_has_and_goes_on(store, mover, search, line, monkeypatch) -> None:
    monkeypatch.setattr(file_writer, "BLOCK_BYTES", 2000)
    monkeypatch.setattr("cmg.logbook.cold.reading._MOST_BYTES", 0)
    lines = many(line, 60, 40)
    await store.write(lines)
    await mover.move()
    page = await search.page({"limit": "1000"}, None)
    assert 0 <= len(page.items) < 60
    assert page.next is not None
    assert await found(search, limit="1000") == [one.message for one in reversed(lines)]


async def test_a_damaged_block_costs_its_lines_only(store, mover, search, line, tmp_path: Path) -> None:
    await store.write([line("lost", 40 * DAY), line("kept", 38 * DAY)])
    await mover.move()
    file = next(one for one in sorted((tmp_path / "files").rglob("*.zst")))
    file.write_bytes(b"x" * file.stat().st_size)
    assert await found(search) == ["kept"]


def test_a_filter_never_forgets_a_word() -> None:
    words = {f"word{n}" for n in range(5000)}
    bloom = bloom_of(words)
    assert all(may_hold(bloom, {word}) for word in words)
    assert sum(may_hold(bloom, {f"other{n}"}) for n in range(5000)) < 150


@pytest.mark.parametrize(
    ("asked", "fits"),
    [
        ("timeout", True), ("TIMEOUT upstream", True), ('"upstream timeout"', True), ('"timeout upstream"', False),
        ("-timeout", False), ("nothing or timeout", True), ("cmg.memory", True), ("memory.cmg", False),
    ],
)  # fmt: skip
def test_words_are_asked_for_as_in_the_database(asked: str, fits: object) -> None:
    assert question(asked).fits(words_of("Upstream timeout in cmg.memory")) is fits
