"""Facts by a chat model: quotes are checked, nothing found is fine, and patterns stand in for a model that fails."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from cmg.config import MemorySettings
from cmg.identity.models import MemoryPolicy
from cmg.kit.errors import Unavailable
from cmg.memory.extraction.by_model import ModelExtractor
from cmg.memory.extraction.ports import Completion, Unanswered
from cmg.memory.extraction.worker import ExtractionWorker
from cmg.memory.items.writing import ItemWriter
from cmg.memory.turn_sink import TurnSink
from cmg.telemetry.instruments import Instruments
from rooms.memory.conftest import PATIENT, Memory, said, scope
from support.policies import policies

TURN = "Ich wohne in Berlin und mag Tee. By the way, I live in Berlin."


def fact(**changes) -> dict[str, Any]:
    about = {"subject": "user", "relation": "Lives in", "value": "Berlin"}
    usual = {"message": 1, "kind": "profile", "content": "Wohnt in Berlin.", "quote": "Ich wohne in Berlin"}
    return {**usual, **about, "importance": 0.7, **changes}


class Model:
    """A chat model that answers what it is told, at a dollar a call."""

    def __init__(self, *answers: object) -> None:
        self.answers, self.asked = list(answers), []

    async def complete(self, workspace_id: str, body: Mapping[str, Any], timeout_s: float) -> Completion:
        self.asked.append((workspace_id, body, timeout_s))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        text = answer if isinstance(answer, str) else msgspec.json.encode({"facts": answer}).decode()
        return Completion(text, 10**9)


async def read(memory: Memory, model: Model, usd_per_day: float = 10, **own: MemoryPolicy) -> list[tuple[str, str]]:
    """Read everything that waits; returns the facts as (origin, content)."""
    memory.clock.advance(60)
    settings = MemorySettings(extraction_usd_per_day=usd_per_day)
    extractor = ModelExtractor(model, memory.database, memory.clock, policies(settings, **own))
    writer = ItemWriter(memory.clock, policies(PATIENT))
    while await ExtractionWorker(memory.database, memory.clock, Instruments(), extractor, writer).once():
        pass
    rows = await memory.database.fetch(
        "SELECT f.origin, t.content FROM memory_facts f JOIN memory_turns t ON t.id = f.item_id ORDER BY t.seq"
    )
    return [(row["origin"], row["content"]) for row in rows]


async def test_a_models_fact_is_kept_with_its_quote_and_its_cost(memory: Memory) -> None:
    await memory.keep(scope(), said(TURN, "And you?"))
    model = Model([fact()])
    assert await read(memory, model) == [("model", "Wohnt in Berlin.")]
    row = await memory.database.fetchrow("SELECT * FROM memory_facts")
    assert (row["subject"], row["relation"], row["quote"]) == ("user", "lives in", "Ich wohne in Berlin")
    assert await memory.database.fetchval("SELECT nano FROM memory_extraction_costs") == 10**9
    ((workspace_id, body, _),) = model.asked
    assert (workspace_id, body["response_format"]["json_schema"]["strict"]) == ("default", True)
    told = msgspec.json.decode(body["messages"][1]["content"])
    assert [one["text"] for one in told] == [TURN, "And you?"]


async def test_nothing_found_is_a_good_answer(memory: Memory) -> None:
    await memory.keep(scope(), said(TURN))
    assert await read(memory, Model([])) == []


@pytest.mark.parametrize("wrong", [{"quote": "Ich wohne in Rom"}, {"message": 2}, {"message": 0}, {"kind": "memory"}])
async def test_what_does_not_stand_in_its_message_is_not_kept(memory: Memory, wrong: dict[str, Any]) -> None:
    await memory.keep(scope(), said(TURN))
    assert await read(memory, Model([fact(**wrong)])) == []


@pytest.mark.parametrize(
    "answer", ["I found nothing.", '{"facts": 3}', "{", Unavailable("no"), [{"message": 1}], [fact(importance=7)]]
)
async def test_patterns_stand_in_for_a_model_that_fails(memory: Memory, answer: object) -> None:
    await memory.keep(scope(), said(TURN))
    assert await read(memory, Model(answer)) == [("rules", "I live in Berlin")]


@pytest.mark.parametrize("wrong", [{"message": 1}, fact(importance=7), fact(content="c" * 501), "no fact", None])
async def test_one_wrong_fact_takes_none_of_the_others_with_it(memory: Memory, wrong: object) -> None:
    await memory.keep(scope(), said(TURN))
    assert await read(memory, Model([wrong, fact()])) == [("model", "Wohnt in Berlin.")]


async def test_what_a_fact_may_have_as_null_may_be_left_out(memory: Memory) -> None:
    await memory.keep(scope(), said(TURN))
    short = {name: fact()[name] for name in ("message", "kind", "content", "quote")}
    assert await read(memory, Model([short])) == [("model", "Wohnt in Berlin.")]


async def test_a_ceiling_of_costs_holds_for_each_workspace_and_day(memory: Memory) -> None:
    model = Model(*[[]] * 9)

    async def say(words: str, workspace: str = "default") -> int:
        await memory.keep(scope(workspace=workspace), said(words))
        await read(memory, model, usd_per_day=2)
        return len(model.asked)

    assert [await say(f"Word {number}.") for number in range(4)] == [1, 2, 2, 2]
    assert await say("Word", workspace="other") == 3
    memory.clock.advance(86_400)
    assert await say("Tomorrow's word.") == 4


async def test_a_model_that_does_not_answer_in_time_counts_with_what_it_costs_at_most(memory: Memory) -> None:
    model = Model(*[Unanswered("no answer within 20 s", 10**9)] * 9)
    for number in range(4):
        await memory.keep(scope(), said(f"Word {number}."))
        await read(memory, model, usd_per_day=2)
    assert len(model.asked) == 2
    assert await memory.database.fetchval("SELECT nano FROM memory_extraction_costs") == 2 * 10**9


async def test_a_workspace_may_keep_its_words_from_models_or_let_them_cost_less(memory: Memory) -> None:
    await memory.keep(scope(), said("I live in Berlin."))
    model = Model()
    assert await read(memory, model, default=MemoryPolicy(extraction="rules")) == [("rules", "I live in Berlin")]
    await memory.keep(scope(thread="next"), said("I live in Rome."))
    await read(memory, model, default=MemoryPolicy(extraction_usd_per_day=0))
    assert model.asked == []


async def test_of_a_workspace_that_wants_none_no_facts_are_drawn(memory: Memory) -> None:
    wanted = policies(PATIENT, quiet=MemoryPolicy(extraction="off"))
    memory.sink = TurnSink(memory.clock, wanted)
    for workspace in ("default", "quiet"):
        await memory.keep(scope(workspace=workspace), said("I live in Berlin."))
    waiting = await memory.database.fetch("SELECT workspace_id FROM memory_extractions")
    assert [row["workspace_id"] for row in waiting] == ["default"]
