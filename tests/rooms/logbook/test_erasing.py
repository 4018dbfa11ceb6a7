"""Erasing a person: out of every tier, of their workspace only; the lines stay."""

import pytest

from cmg.logbook.cold import file_writer
from cmg.logbook.cold.reading import FileSearch
from cmg.logbook.erasing import LogPeople
from cmg.telemetry.lines.encoding import pseudonym

DAY = 86_400
USER, FRESH = "ada@example.com", "erased-0123456789abcdef"


@pytest.fixture
def people(store, files, shelves, clock) -> LogPeople:
    """The people in the lines."""
    return LogPeople(store, files, FileSearch(files, shelves, clock), shelves)


async def shown(search) -> str:
    """Everything that a search finds, as text."""
    return str((await search.page({"tiers": "hot,cold,archive", "limit": "1000"}, None)).items)


def of_user(line, ago_s: float, workspace: str = "team"):
    """Lines that bear a user's pseudonym, name them, or do not concern them."""
    return [
        line("a call", ago_s, workspace_id=workspace, user_hash=pseudonym(USER)),
        line(f"no memory for {USER}", ago_s, workspace_id=workspace, fields={"cmg.why": {"who": [USER]}}),
        line("nobody's", ago_s, workspace_id=workspace),
    ]


@pytest.mark.parametrize("shelves", ["folder", "memory"], indirect=True)
async def test_a_person_is_taken_out_of_every_tier(store, mover, search, people, line) -> None:
    await store.write([*of_user(line, 0), *of_user(line, 40 * DAY), *of_user(line, 400 * DAY)])
    await mover.move()
    await mover.archive()
    assert await people.erase("team", USER, FRESH) == 6
    found = await shown(search)
    assert USER not in found
    assert pseudonym(USER) not in found
    assert found.count("nobody") == 3
    assert found.count(FRESH) == 9
    assert await people.erase("team", USER, FRESH) == 0


async def test_other_workspaces_lines_stay_as_they_are(store, mover, search, people, line) -> None:
    await store.write([*of_user(line, 0, "other"), *of_user(line, 40 * DAY, "other"), *of_user(line, 40 * DAY)])
    await mover.move()
    before = (await search.page({"workspace": "other"}, "other")).items
    assert await people.erase("team", USER, FRESH) == 2
    assert (await search.page({}, "other")).items == before


async def test_a_short_id_is_not_looked_for_in_texts(store, search, people, line) -> None:
    await store.write([line("do it", workspace_id="team"), line("by", workspace_id="team", user_hash=pseudonym("it"))])
    assert await people.erase("team", "it", FRESH) == 1
    assert "do it" in await shown(search)


async def test_a_file_of_many_blocks_keeps_all_its_lines(store, mover, search, people, line, monkeypatch) -> None:
    monkeypatch.setattr(file_writer, "BLOCK_BYTES", 3000)
    lines = [line(f"line {n}", 40 * DAY - n, workspace_id="team") for n in range(100)]
    await store.write([*lines, *of_user(line, 40 * DAY - 50)])
    await mover.move()
    assert await people.erase("team", USER, FRESH) == 2
    assert len((await search.page({"limit": "1000"}, None)).items) == 103
