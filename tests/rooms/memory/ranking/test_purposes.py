"""A purpose chooses kinds by the words that name them, and these kinds lead."""

import msgspec
import pytest

from cmg.memory.items.models import NewItem
from cmg.memory.items.writing import ItemWriter
from cmg.memory.models import Filters, Hit, Owner, Thread
from cmg.memory.ranking.finder import Finder, Wanted
from cmg.memory.ranking.purposes import LEAD, kinds_for, steered
from rooms.memory.conftest import PATIENT, Memory, said, scope
from support.policies import policies

SAID = ("We decided to deploy on Fridays.", "Deploy scripts are in the repo.", "I deploy with my left hand.")


@pytest.mark.parametrize(
    ("purpose", "kinds"),
    [
        (None, ()),
        ("", ()),
        ("Answer the user's question", ()),
        ("plan the next sprint", ("task", "decision")),
        ("Planning", ("task", "decision")),
        ("debugging an outage", ("failure", "artifact", "log")),
        ("recommending a restaurant", ("preference", "profile")),
        ("list my decisions", ("decision",)),
        ("review the plan", ("task", "decision", "diff", "constraint", "artifact")),
        ("für die Planung", ()),
    ],
)
def test_words_of_a_purpose_choose_kinds(purpose: str | None, kinds: tuple[str, ...]) -> None:
    assert kinds_for(purpose) == kinds


def hit(name: str, score: float, kind: str = "message") -> Hit:
    rest = {"tokens": 1, "note_tokens": 1, "role": "user", "name": None, "thread_id": "t", "implicit": False}
    return Hit(id=name, score=score, kind=kind, message_id=name, seq=1, created_at=0.0, content=name, **rest)


def test_two_lists_keep_their_orders_and_each_item_comes_once() -> None:
    found = [hit("a", 5.0), hit("b", 4.8), hit("neighbour", 4.9), hit("log", 2.0, "log")]
    after = [hit("log", 2.0, "log"), hit("task", 2.0 - LEAD - 0.1, "task"), hit("far", -5.0, "task")]
    assert [one.id for one in steered(found, after, 10)] == ["log", "a", "task", "b", "neighbour", "far"]
    assert [one.id for one in steered(found, after, 2)] == ["log", "a"]
    assert [one.id for one in steered(found, [], 9)] == ["a", "b", "neighbour", "log"]


async def _kinds(memory: Memory, purpose: str | None, **more: object) -> list[str]:
    finder = Finder(memory.database, None, memory.clock, 1.0)
    wanted = Wanted(owner=Owner("default", "ana"), query="deploy", purpose=purpose, limit=3, **more)
    return [one.kind for one in await finder.find(wanted, 5.0)]


async def test_a_purpose_lets_drawn_facts_in_and_puts_its_kinds_first(memory: Memory) -> None:
    await memory.keep(scope(), said(*SAID))
    (source,) = await memory.database.fetch("SELECT id FROM memory_turns WHERE content = $1", SAID[0])
    fact = {"content": "They deploy on Fridays.", "origin": "rules", "quote": SAID[0], "sources": (source["id"],)}
    item = NewItem(thread=Thread(Owner("default", "ana"), "monday"), kind="decision", **fact)
    async with memory.database.transaction() as conn:
        await ItemWriter(memory.clock, policies(PATIENT)).put(conn, [item])
    assert await _kinds(memory, None) == ["message"] * 3
    assert await _kinds(memory, "say something nice") == ["message"] * 3
    assert await _kinds(memory, "explain the architecture") == ["decision", "message", "message"]
    only = Filters(kinds=msgspec.json.encode(["message", "decision"]).decode())
    assert (await _kinds(memory, "decide", filters=only))[0] == "decision"


async def test_a_purpose_alone_finds_what_is_of_its_kinds_though_they_share_no_word(memory: Memory) -> None:
    await memory.keep(scope(), said(*SAID))
    source = await memory.database.fetchval("SELECT id FROM memory_turns WHERE content = $1", SAID[0])
    fact = {"content": "They deploy on Fridays.", "origin": "rules", "quote": SAID[0], "sources": (source,)}
    item = NewItem(thread=Thread(Owner("default", "ana"), "monday"), kind="decision", **fact)
    async with memory.database.transaction() as conn:
        await ItemWriter(memory.clock, policies(PATIENT)).put(conn, [item])
    finder = Finder(memory.database, None, memory.clock, 1.0)
    for filters in (Filters(), Filters(kinds='["decision"]')):
        wanted = Wanted(owner=Owner("default", "ana"), query="", purpose="decisions", limit=3, filters=filters)
        assert [one.kind for one in await finder.find(wanted, 5.0)] == ["decision"]
