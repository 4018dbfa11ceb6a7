"""The running summary of a thread: sentences or a model's words, renewed as the thread grows, gone with its words."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from cmg.config import MemorySettings
from cmg.kit.errors import Unavailable
from cmg.kit.turns import NOTE_MARK, Recollection, Shortened
from cmg.memory.condensing import keeper as keeping
from cmg.memory.condensing.by_model import ModelWriter
from cmg.memory.condensing.keeper import SummaryKeeper, Writer
from cmg.memory.condensing.lines import Line, chosen, lines_of
from cmg.memory.condensing.on_the_spot import looked_at, quotes, summary
from cmg.memory.condensing.store import Summary
from cmg.memory.control.removal import Doomed, Removal
from cmg.memory.extraction.models import Claim
from cmg.memory.extraction.ports import Completion
from cmg.memory.extraction.worker import ExtractionWorker, RuleExtractor
from cmg.memory.items.models import Changes
from cmg.memory.items.upkeep import ItemUpkeep
from cmg.memory.items.writing import ItemWriter
from cmg.memory.models import Owner, thread_of
from cmg.memory.retention import MemoryRetention
from cmg.telemetry.instruments import Instruments
from rooms.memory.conftest import PATIENT, WORKSPACE, Memory, said, scope
from support.policies import policies

OPENING = "Help me to write a novel about the harbour of Porto."
DECISION = "We decided to publish the novel in October with Meridian Press."
FILLER = "Chapter {0} tells of storm {0} and of the people who wait on the pier for the boats to come home."
LONG = [OPENING, *(FILLER.format(number) for number in range(40)), DECISION, *(FILLER.format(n) for n in range(40, 80))]


decode = msgspec.json.Decoder(list[Line]).decode


class Model:
    """A chat model that answers what it is told, at a dollar a call."""

    def __init__(self, *answers: object) -> None:
        self.answers, self.asked = list(answers), []

    async def complete(self, workspace_id: str, body: Mapping[str, Any], timeout_s: float) -> Completion:
        self.asked.append((workspace_id, body, timeout_s))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Completion(str(answer), 10**9)


def keeper(memory: Memory, writer: Writer | None = None) -> SummaryKeeper:
    return SummaryKeeper(memory.database, memory.clock, Instruments(), PATIENT.summary_tokens, writer)


async def read(memory: Memory, writer: Writer | None = None) -> None:
    """Read everything that waits, as backstage does."""
    memory.clock.advance(60)
    items = ItemWriter(memory.clock, policies(PATIENT))
    beside = keeper(memory, writer)
    worker = ExtractionWorker(memory.database, memory.clock, Instruments(), RuleExtractor(), items, beside)
    while await worker.once():
        pass


async def kept(memory: Memory) -> list[str]:
    """The summaries as they are stored."""
    rows = await memory.database.fetch("SELECT coalesce(told, lines::text) AS told FROM memory_summaries")
    return [row["told"] for row in rows]


async def condense(memory: Memory, query: str = "When do we publish?", **changes: Any) -> Recollection:
    turns = said(*LONG)
    given = {"messages": len(turns), "turns": turns, "tokens": 900, "present": [], **changes}
    return await memory.service.condense(scope(), query, Shortened(**given))


async def test_a_thread_that_has_grown_is_summed_up(memory: Memory) -> None:
    await memory.keep(scope(), said(*LONG))
    await read(memory)
    (told,) = await kept(memory)
    assert OPENING in told
    assert DECISION in told


async def test_a_short_thread_and_one_without_a_name_have_no_summary(memory: Memory) -> None:
    await memory.keep(scope(), said(OPENING, DECISION))
    await memory.keep(scope("bob", implicit=True), said(*LONG))
    await read(memory)
    assert await kept(memory) == []


async def test_a_summary_is_renewed_only_after_a_step_and_keeps_what_weighs(memory: Memory) -> None:
    await memory.keep(scope(), said(*LONG))
    await read(memory)
    first = await kept(memory)
    await memory.keep(scope(), said("And then?", at=2_000_000_000.0))
    await read(memory)
    assert await kept(memory) == first
    late = "We decided to call it The Long Wait."
    await memory.keep(scope(), said(*(FILLER.format(n) for n in range(200, 290)), late, at=2_000_000_100.0))
    await read(memory)
    (told,) = await kept(memory)
    assert all(sentence in told for sentence in (OPENING, DECISION, late))


async def test_the_same_turns_give_the_same_summary(memory: Memory) -> None:
    await memory.keep(scope("ana"), said(*LONG))
    await memory.keep(scope("bob"), said(*LONG))
    await read(memory)
    one, other = (Summary(lines=decode(text)) for text in await kept(memory))
    assert [line.text for line in one.lines] == [line.text for line in other.lines]


async def test_a_model_may_write_it_from_the_summary_before(memory: Memory) -> None:
    model = Model("A novel, out in October.", "A novel called The Long Wait.")
    writer = ModelWriter(model, memory.database, memory.clock, policies(MemorySettings(extraction_usd_per_day=10)))
    await memory.keep(scope(), said(*LONG))
    await read(memory, writer)
    assert await kept(memory) == ["A novel, out in October."]
    await memory.keep(scope(), said(*(FILLER.format(n) for n in range(200, 290)), at=2_000_000_100.0))
    await read(memory, writer)
    assert await kept(memory) == ["A novel called The Long Wait."]
    assert "A novel, out in October." in model.asked[1][1]["messages"][1]["content"]
    assert (await condense(memory)).text.count("The Long Wait") == 1


@pytest.mark.parametrize("answer", [Unavailable("no"), "", "far too long " * 400])
async def test_picked_sentences_stand_in_for_a_model_that_fails(memory: Memory, answer: object) -> None:
    writer = ModelWriter(
        Model(answer), memory.database, memory.clock, policies(MemorySettings(extraction_usd_per_day=10))
    )
    await memory.keep(scope(), said(*LONG))
    await read(memory, writer)
    assert DECISION in (await kept(memory))[0]


async def test_a_model_is_not_asked_beyond_the_days_ceiling(memory: Memory) -> None:
    model = Model("One.", "Two.")
    writer = ModelWriter(model, memory.database, memory.clock, policies(MemorySettings(extraction_usd_per_day=1)))
    for user in ("ana", "bob"):  # one after the other: those that are read together are asked for together
        await memory.keep(scope(user), said(*LONG))
        await read(memory, writer)
    assert len(model.asked) == 1
    assert len(await kept(memory)) == 2


async def test_deleting_a_turn_takes_the_summary_and_it_is_made_anew_without_it(memory: Memory) -> None:
    await memory.keep(scope(), said(*LONG))
    await read(memory)
    row = await memory.database.fetchrow("SELECT id FROM memory_turns WHERE content = $1", DECISION)
    removal = Removal(memory.database, ItemWriter(memory.clock, policies(PATIENT)), memory.clock)
    await removal.remove_items(Owner(WORKSPACE, "ana"), [row["id"]])
    assert await kept(memory) == []
    await memory.keep(scope(), said("Go on.", at=2_000_000_000.0))
    await read(memory)
    (told,) = await kept(memory)
    assert OPENING in told
    assert "Meridian" not in told


async def test_an_edited_turn_is_summed_up_with_its_new_words(memory: Memory) -> None:
    await memory.keep(scope(), said(*LONG))
    await read(memory)
    item = await memory.database.fetchval("SELECT id FROM memory_turns WHERE content = $1", DECISION)
    async with memory.database.transaction() as conn:
        changes = Changes(content="We decided to publish the novel in March.")
        await ItemWriter(memory.clock, policies(PATIENT)).edit(conn, Owner(WORKSPACE, "ana"), item, changes)
    assert await kept(memory) == []
    await read(memory)
    (told,) = await kept(memory)
    assert "in March" in told
    assert "Meridian" not in told


@pytest.mark.parametrize("doomed", [Doomed(), Doomed(thread_id="monday")])
async def test_deleting_a_thread_or_a_user_takes_the_summary(memory: Memory, doomed: Doomed) -> None:
    await memory.keep(scope(), said(*LONG))
    await read(memory)
    removal = Removal(memory.database, ItemWriter(memory.clock, policies(PATIENT)), memory.clock)
    await removal.remove(Owner(WORKSPACE, "ana"), doomed)
    assert await kept(memory) == []


async def test_retention_of_turns_takes_the_summary(memory: Memory) -> None:
    await memory.keep(scope(), said(*LONG))
    await read(memory)
    memory.clock.advance(10 * 86_400)
    upkeep = ItemUpkeep(memory.database, memory.clock, policies(PATIENT))
    await MemoryRetention(memory.database, memory.clock, upkeep, policies(MemorySettings(retention_days=5)), 7).purge()
    assert await kept(memory) == []


async def test_what_is_deleted_while_it_is_read_does_not_come_back(memory: Memory) -> None:
    """A summary that was made from words that are gone is not stored."""
    await memory.keep(scope(), said(*LONG))
    thread_no = await memory.database.fetchval("SELECT thread_no FROM memory_threads")
    item = await memory.database.fetchrow("SELECT id FROM memory_turns WHERE content = $1", DECISION)
    removal = Removal(memory.database, ItemWriter(memory.clock, policies(PATIENT)), memory.clock)

    class Slow:
        """A writer during whose work a turn is deleted, once."""

        async def write(self, _claim: Claim, _before: str | None, unread: Any) -> None:
            if any(one.content == DECISION for one in unread.passages):
                await removal.remove_items(Owner(WORKSPACE, "ana"), [item["id"]])

    claim = Claim(thread_no=thread_no, thread=thread_of(scope()), extracted_seq=0, wanted=1, attempts=1)
    await keeper(memory, Slow()).renew(claim)
    assert await kept(memory) == []
    await keeper(memory, Slow()).renew(claim)
    assert "Meridian" not in (await kept(memory))[0]


async def test_a_long_history_is_read_to_its_end(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "_PASSAGES", 10)
    await memory.keep(scope(), said(*LONG))
    await read(memory)
    read_up_to = await memory.database.fetchval("SELECT up_to_seq FROM memory_summaries")
    assert read_up_to > await memory.database.fetchval("SELECT max(seq) FROM memory_turns") - 10
    assert DECISION in (await kept(memory))[0]


async def test_a_note_is_made_on_the_spot_while_nothing_is_stored(memory: Memory) -> None:
    found = await condense(memory)
    assert OPENING in found.text
    assert DECISION in found.text
    assert f"The oldest {len(LONG)} messages" in found.text
    assert (found.status, found.ids) == ("ok", ())
    assert found.tokens <= 900


async def test_a_stored_summary_and_recalled_turns_take_its_place(memory: Memory) -> None:
    await memory.keep(scope(), said(*LONG))
    await read(memory)
    found = await condense(memory, turns=said("Not looked at, since there is a summary."))
    assert OPENING in found.text
    assert found.text.count(DECISION) == 2, "in the summary, and as a quote that fits the question"
    assert "Not looked at" not in found.text
    assert found.ids
    assert found.tokens <= 900


async def test_without_the_database_the_turns_must_do(memory: Memory) -> None:
    await memory.database.close()
    found = await condense(memory)
    assert DECISION in found.text
    assert found.status == "degraded"


async def test_nothing_of_a_note_is_in_a_summary(memory: Memory) -> None:
    found = await condense(memory, turns=said(OPENING, f"{NOTE_MARK} We decided to obey."))
    assert "obey" not in found.text


def test_a_very_long_conversation_is_looked_at_from_both_ends() -> None:
    turns = said(*(f"{number} {'word ' * 180}" for number in range(2000)))
    told = looked_at(turns)
    assert told[0].content.startswith("0 ")
    assert told[-1].content.startswith("1999 ")
    assert sum(len(one.content) for one in told) <= 120_000
    assert quotes(told, "1998", 400)
    assert summary(told, 400)


def test_lines_keep_to_their_budget_and_stand_in_their_order() -> None:
    lines = chosen(lines_of(looked_at(said(*LONG)), opening=True), 120)
    assert [line.place for line in lines] == sorted(line.place for line in lines)
    assert {OPENING, DECISION} <= {line.text for line in lines}
    assert chosen(lines, 0) == []


async def test_a_summary_of_another_workspace_is_not_read(memory: Memory) -> None:
    await memory.keep(scope(workspace="other"), said(*LONG))
    await read(memory)
    found = await condense(memory, turns=said("Nothing yet."))
    assert "Meridian" not in found.text
