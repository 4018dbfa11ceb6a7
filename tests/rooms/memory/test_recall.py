"""What recall brings back, within its budget and its deadline, and to whom."""

import asyncio
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from cmg.config import MemorySettings
from cmg.kit.clock import SystemClock
from cmg.kit.turns import NOTE_MARK, Turn
from cmg.ledger import tokens
from cmg.ledger.spool.wakeup import Ear
from cmg.memory import recent as recent_module
from cmg.memory.models import owner_of
from cmg.memory.notes import maker as maker_module
from cmg.memory.turn_sink import TurnSink
from cmg.storage.database import Database
from rooms.memory.conftest import START, Journal, Memory, said, scope, service_on
from support.policies import policies

DOG = "My dog is called Bruno and he loves the lake."
ASK = "What is my dog called?"


async def test_what_was_said_is_found_in_another_thread(memory: Memory) -> None:
    await memory.keep(scope(), said(DOG, name="Ana"))
    found = await memory.recall(scope(thread="tuesday"), ASK)
    assert (found.status, found.items) == ("ok", 1)
    assert found.text is not None
    assert found.text.startswith(NOTE_MARK)
    moment = datetime.fromtimestamp(START, UTC).strftime("%Y-%m-%d %H:%M")
    assert f'- {moment} UTC, Ana (user), thread "monday": "{DOG}"' in found.text


async def test_another_user_and_another_workspace_find_nothing(memory: Memory) -> None:
    await memory.keep(scope(), said(DOG))
    await memory.keep(scope(workspace="other"), said("My dog is called Rex."))
    for stranger in (scope(user="ben"), scope(workspace="third"), scope(user="ana' OR 'a'='a")):
        assert (await memory.recall(stranger, ASK)).items == 0
    own = await memory.recall(scope(workspace="other"), ASK)
    assert own.text is not None
    assert "Rex" in own.text
    assert "Bruno" not in own.text


async def test_what_the_request_holds_already_is_not_repeated(memory: Memory) -> None:
    await memory.keep(scope(), said(DOG, "The dog of my neighbour is called Rex."))
    found = await memory.recall(scope(), ASK, present=[DOG])
    assert found.items == 1
    assert found.text is not None
    assert "Rex" in found.text


async def test_what_the_request_holds_is_known_where_it_is_stored_redacted(memory: Memory) -> None:
    mail, other = "My dog has the address rex@example.org.", "My other dog has none."
    redacting = policies(msgspec.structs.replace(memory.service.policies.settings, redact=("email",)))
    memory.service.policies, memory.sink = redacting, TurnSink(memory.clock, redacting)
    await memory.keep(scope(), said(mail, other))
    for _ in range(2):
        found = await memory.recall(scope(), "Which address has my dog?", present=[mail])
        assert found.text is not None
        assert other in found.text
        assert "[redacted:email]" not in found.text


async def test_the_same_words_are_given_out_once(memory: Memory) -> None:
    for thread in ("a", "b", "c"):
        await memory.keep(scope(thread=thread), said(DOG))
    assert (await memory.recall(scope(thread="d"), ASK)).items == 1


async def test_a_note_is_in_the_order_things_were_said(memory: Memory) -> None:
    await memory.keep(scope(thread="b"), said("The dog ate the second shoe.", at=START + 100))
    await memory.keep(scope(thread="a"), said("The dog ate the first shoe.", at=START))
    found = await memory.recall(scope(thread="c"), "which shoe did the dog eat")
    assert found.text is not None
    assert found.text.index("first") < found.text.index("second")


@pytest.mark.parametrize("budget", [0, 10, 60, 90, 120, 200, 400])
async def test_the_note_never_exceeds_its_budget(memory: Memory, budget: int) -> None:
    texts = [f'The dog "did" trick {number}\nnear the old harbour 東京 today.' for number in range(12)]
    await memory.keep(scope(), said(*texts, name="Ana"))
    found = await memory.recall(scope(thread="x"), "dog trick harbour", token_budget=budget)
    assert found.tokens <= budget
    assert tokens.count(found.text or "") == found.tokens
    assert (found.items > 0) is (budget >= 90)


async def test_rare_words_decide_and_common_ones_do_not(memory: Memory) -> None:
    filler = [f"The plan of the week is plan number {number}." for number in range(400)]
    await memory.keep(scope(), said(*filler, "The zeppelin plan is from Ada."))
    found = await memory.recall(scope(thread="x"), "what is the zeppelin plan")
    assert 1 <= found.items <= 2  # it, and the turn beside it
    assert found.text is not None
    assert "Ada" in found.text


async def test_a_question_of_common_words_only_finds_the_newest_turns(memory: Memory) -> None:
    await memory.keep(scope(), said(*(f"plan {number}" for number in range(400))))
    found = await memory.recall(scope(thread="x"), "plan", token_budget=300)
    assert found.items > 0
    assert found.text is not None
    assert "plan 399" in found.text


@pytest.mark.parametrize(
    ("content", "query"),
    [
        ("Größe der Straße: Übermaß", "strasse ubermass"),
        ("東京の天気は晴れ", "今日の天気"),
        ("Мы купили новые книги", "новая книга"),
        ("서울에서 만났어요", "서울"),
        ("Ana's cafés were closing", "cafe close"),
    ],
)
async def test_words_are_found_in_their_other_forms(memory: Memory, content: str, query: str) -> None:
    await memory.keep(scope(), said(content))
    assert (await memory.recall(scope(thread="x"), query)).items == 1


async def test_kinds_narrow_a_recall(memory: Memory) -> None:
    await memory.keep(scope(), said(DOG))
    assert (await memory.recall(scope(), ASK, kinds=["document"])).items == 0
    assert (await memory.recall(scope(), ASK, kinds=["message"])).items == 1


async def test_a_purpose_alone_finds_too(memory: Memory) -> None:
    await memory.keep(scope(), said(DOG))
    assert (await memory.recall(scope(), "", purpose="everything about the dog")).items == 1


async def test_a_question_without_words_is_answered_with_nothing(memory: Memory) -> None:
    await memory.keep(scope(), said(DOG))
    for query in ("", "   ", "!?", "\x00", "\ud800"):
        assert (await memory.recall(scope(), query)).status == "ok"


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads its own words waits for them, however busy the machine is."""
    monkeypatch.setattr(recent_module, "_OWN_WRITES_S", 20.0)


@pytest.mark.usefixtures("patient")
async def test_a_user_reads_what_was_just_written(memory: Memory) -> None:
    memory.remember(scope(), said(DOG))
    recall = asyncio.create_task(memory.recall(scope(thread="x"), ASK))
    await asyncio.sleep(0.005)
    await memory.drain()
    assert (await recall).items == 1


@pytest.mark.usefixtures("patient")
async def test_who_waits_for_its_own_words_is_in_nobodys_way(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maker_module, "MADE_AT_ONCE", 1)
    alone = Memory(memory.database, memory.clock, memory.service.instruments, memory.spool)
    await alone.keep(scope(user="ben"), said("My cat is called Mia."))
    alone.remember(scope(), said(DOG))
    waiting = asyncio.create_task(alone.recall(scope(thread="x"), ASK))
    await asyncio.sleep(0.05)
    assert (await alone.recall(scope(user="ben", thread="x"), "What is my cat called?")).items == 1
    assert not waiting.done()
    await alone.drain()
    assert (await waiting).items == 1


async def test_who_reads_its_own_words_wakes_the_drain(memory: Memory) -> None:
    memory.remember(scope(), said(DOG))
    ear, woken = Ear(memory.spool), asyncio.Event()
    ear.heard(woken)  # what the journal has rung itself
    await memory.recall(scope(thread="x"), ASK)
    assert os.read(ear.descriptor, 8)
    ear.close()


async def test_a_drain_that_stands_still_holds_nobody_up(memory: Memory, instruments) -> None:
    await memory.keep(scope(), said(DOG))
    memory.remember(scope(), said("My cat is called Mia."))
    other = Memory(memory.database, memory.clock, instruments, memory.spool)
    found = await other.recall(scope(thread="x"), ASK)
    assert (found.status, found.items) == ("ok", 1)


@pytest.mark.usefixtures("patient")
async def test_another_worker_reads_what_was_just_written(memory: Memory, instruments) -> None:
    other = Memory(memory.database, memory.clock, instruments, memory.spool)
    memory.remember(scope(), said(DOG))
    recall = asyncio.create_task(other.recall(scope(thread="x"), ASK))
    await asyncio.sleep(0.005)
    await memory.drain()
    assert (await recall).items == 1


async def test_nobody_waits_for_a_worker_whose_folder_is_gone(memory: Memory, instruments) -> None:
    memory.remember(scope(), said(DOG))
    shutil.rmtree(memory.journal.folder)
    other = Memory(memory.database, memory.clock, instruments, memory.spool)
    assert not other.service._recent.waiting(owner_of("default", "ana"))


async def _recall_on(database: Database, instruments, spool: Path, deadline_ms: float = 5000) -> str:
    settings = MemorySettings(recall_deadline_ms=deadline_ms)
    service = service_on(database, Journal(spool), settings, SystemClock(), instruments)
    return (await service.recall(scope(), ASK)).status


async def test_a_slow_database_degrades_the_recall(memory: Memory, database: Database, instruments) -> None:
    await memory.keep(scope(), said(DOG))
    async with database.transaction() as conn:
        await conn.execute("LOCK TABLE memory_users IN ACCESS EXCLUSIVE MODE")
        assert await _recall_on(database, instruments, memory.spool, deadline_ms=50) == "degraded"
    assert await _recall_on(database, instruments, memory.spool) == "ok"


async def test_no_database_degrades_the_recall(instruments, tmp_path: Path) -> None:
    away = Database("postgresql://u@127.0.0.1:9/none", clock=SystemClock(), instruments=instruments)
    await away.open()
    assert await _recall_on(away, instruments, tmp_path) == "degraded"
    await away.close()


async def test_after_failing_for_long_recall_pauses_and_comes_back(memory: Memory, database: Database) -> None:
    await memory.keep(scope(), said(DOG))
    await database.close()
    statuses = []
    for _ in range(4):
        statuses.append((await memory.recall(scope(), ASK)).status)
        memory.clock.advance(0.7)
    await database.open()
    statuses.append((await memory.recall(scope(), ASK)).status)
    memory.clock.advance(1.5)
    statuses.append((await memory.recall(scope(), ASK)).status)
    assert statuses == ["degraded"] * 5 + ["ok"]


async def test_many_users_hold_a_bounded_memory(memory: Memory) -> None:
    for number in range(12_000):
        user = scope(user=f"u{number}")
        memory.service.remember(user, [Turn("user", "x", START)])
        memory.service.journalled(user, number)
    held = memory.service
    assert len(held._unconfirmed) <= 1024
    assert len(held._heads) <= 16_384
