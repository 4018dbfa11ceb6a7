"""Patterns: messages that differ in numbers and names are one kind, are counted, and new kinds are marked."""

import time
from typing import Any

import pytest

from cmg.logbook.hot.line_store import LineStore
from cmg.logbook.patterns.keeping import Patterns
from cmg.logbook.patterns.mining import Miner, Template
from cmg.logbook.patterns.pattern_store import PatternStore

SCOPE = ("", "cmg.test")


def mined(*messages: str) -> list[str]:
    """The templates of messages, after all of them."""
    miner = Miner()
    found = [miner.mine(SCOPE, one) for one in messages]
    return [one.text for one in found if one is not None]


@pytest.mark.parametrize(
    ("messages", "template"),
    [
        (("took 12 ms", "took 3.5 ms"), "took <*> ms"),
        (("from 10.0.0.1:80", "from 10.0.0.2:443"), "from <*>"),
        (("request 01a224eb4a977604a05be746d072c0fc", "request 01a224eb4a977604a05be746d072c0fd"), "request <*>"),
        (("connection to cache lost at once", "connection to database lost at once"), "connection to <*> lost at once"),
        (('key "a b" is bad', 'key "c" is bad'), "key <*> is bad"),
    ],
)
def test_messages_of_one_kind_have_one_template(messages: tuple[str, ...], template: str) -> None:
    assert set(mined(*messages)) == {template}


def test_messages_of_different_kinds_stay_apart() -> None:
    assert len(set(mined("the journal is full", "the disk is slow today", "a request crashed", "nothing to do"))) == 4


def test_an_address_is_a_variable() -> None:
    assert mined("mail to ada.l+x@mail.example.com failed") == ["mail to <*> failed"]


@pytest.mark.parametrize("piece", ["a", "a.", "1", "1.", "a@", "a@b", "-", '"', "'a", "0x", "\n"])
def test_long_messages_are_mined_at_once_and_remembered_shortened(piece: str) -> None:
    miner, started = Miner(), time.process_time()
    for number in range(200):
        miner.mine(SCOPE, f"{number} " + piece * (16_000 // len(piece)))
    assert time.process_time() - started < 1
    assert max(len(message) for _, message in miner._remembered) <= 2000


def test_the_number_of_templates_is_bounded() -> None:
    miner = Miner(most=10)
    letters = "abcdefghijklmnopqrstuvwxyz"
    found = [miner.mine(SCOPE, f"{one} {other}{one} {one * 3}") for one in letters for other in letters]
    assert len(miner.by_number) == 10
    assert None in found


def test_a_template_that_was_learned_goes_on() -> None:
    first = Miner()
    old = first.mine(SCOPE, "took 12 ms for a")
    again = Miner()
    assert old is not None
    again.learn(Template(old.number, SCOPE, old.text.split(" ")))
    found = again.mine(SCOPE, "took 13 ms for b")
    assert found is not None
    assert found.number == old.number


@pytest.fixture
def patterns(database, clock, instruments) -> Patterns:
    """Patterns on the database."""
    return Patterns(PatternStore(database), clock, instruments)


async def stored(patterns: Patterns, database: Any, clock: Any, lines: list[Any]) -> None:
    """Store lines as the drain does."""
    patterns.mine(lines)
    await LineStore(database, clock, patterns.count).write(lines)


async def test_patterns_are_counted_with_the_lines(patterns, database, clock, line, search) -> None:
    await stored(patterns, database, clock, [line(f"took {n} ms") for n in range(5)])
    await stored(patterns, database, clock, [line("took 9 ms", severity=40), line("other", workspace_id="team")])
    page = await patterns.page({}, None)
    assert [(one["template"], one["lines"], one["level"]) for one in page["items"]] == [
        ("took <*> ms", 6, "error"),
        ("other", 1, "info"),
    ]
    assert [one["template"] for one in (await patterns.page({}, "team"))["items"]] == ["other"]
    number = page["items"][0]["pattern"]
    assert len((await search.page({"pattern": number}, None)).items) == 6


async def test_a_pattern_never_seen_before_is_marked(patterns, database, clock, line, instruments) -> None:
    await stored(patterns, database, clock, [line("usual 1")])
    clock.advance(2 * 86_400)
    await stored(patterns, database, clock, [line("usual 2"), line("quite another thing happened", severity=40)])
    items = (await patterns.page({}, None))["items"]
    assert {one["template"]: one["new"] for one in items} == {"usual <*>": False, "quite another thing happened": True}
    assert [one["sample"] for one in (await patterns.page({"new": "true"}, None))["items"]] == [
        "quite another thing happened"
    ]
    told = instruments.registry.get_sample_value("cmg_log_patterns_new_total", {"level": "error"})
    assert told == 1


async def test_patterns_are_known_again_after_a_restart(patterns, database, clock, line, instruments) -> None:
    await stored(patterns, database, clock, [line("took 1 ms")])
    clock.advance(2 * 86_400)
    again = Patterns(PatternStore(database), clock, instruments)
    await again.load()
    await stored(again, database, clock, [line("took 2 ms")])
    (one,) = (await again.page({}, None))["items"]
    assert (one["lines_ever"], one["lines"], one["new"]) == (2, 1, False)


async def test_patterns_without_lines_go(patterns, database, clock, line) -> None:
    await stored(patterns, database, clock, [line("once")])
    clock.advance(91 * 86_400)
    assert await patterns.purge() == 2


async def test_pages_of_patterns_hold_each_once(patterns, database, clock, line) -> None:
    words = ["alpha", "beta", "gamma", "delta", "epsilon"]
    await stored(patterns, database, clock, [line(word) for word in words for _ in range(len(word))])
    seen, cursor = [], None
    while True:
        page = await patterns.page({"limit": "2", "cursor": cursor}, None)
        seen += [one["template"] for one in page["items"]]
        if (cursor := page["next"]) is None:
            break
    assert sorted(seen) == sorted(words)
