"""What became of notes is counted exactly once, names nobody, and stands beside the calls held out of memory."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from cmg.config import RetentionSettings
from cmg.identity.models import Workspace
from cmg.kit.errors import Forbidden, InvalidRequest, NotFound
from cmg.kit.turns import Told
from cmg.ledger.models import UsageRecord, encode_usage
from cmg.ledger.store import upkeep
from cmg.ledger.usage_sink import UsageSink
from cmg.memory.control.removal import Removal
from cmg.memory.control.tombstone_store import bury
from cmg.memory.effect import store
from cmg.memory.effect import told_sink as sinking
from cmg.memory.effect.records import encode_told
from cmg.memory.effect.report import EffectReports
from cmg.memory.effect.told_sink import ToldSink
from cmg.memory.items.writing import ItemWriter
from cmg.memory.models import Owner
from cmg.telemetry.instruments import Instruments
from rooms.memory.conftest import PATIENT, WORKSPACE, Memory, said, scope
from support.policies import policies

DOG, LAKE = "My dog is called Bruno.", "We swim in the lake of Garda each summer."
ANA = Owner(WORKSPACE, "ana")


@pytest.fixture
async def items(memory: Memory) -> list[bytes]:
    """The ids of two turns."""
    await memory.keep(scope(), said(DOG, LAKE))
    rows = await memory.database.fetch("SELECT id FROM memory_turns ORDER BY seq")
    return [row["id"].bytes for row in rows]


def told(memory: Memory, items: list[bytes], answer: str = "Bruno.", **changes: Any) -> bytes:
    """A journal record of a call; two of them are the same bytes."""
    given = Told(tuple(items), "What is my dog called?", answer, changes.pop("left_out", 0))
    return encode_told(changes.pop("owner", ANA), given, memory.clock.time())


async def sink(memory: Memory, *payloads: bytes) -> None:
    async with memory.database.transaction() as conn:
        await ToldSink(memory.clock, Instruments()).write(conn, payloads)


def reports(memory: Memory) -> EffectReports:
    known: Mapping[str, Workspace] = {one: Workspace(id=one, name=one) for one in (WORKSPACE, "other")}
    return EffectReports(memory.database, lambda: known, memory.clock)


async def report(memory: Memory, only: str | None = None) -> dict[str, Any]:
    """The entry of the workspace."""
    _, found = await reports(memory).report(None, None, WORKSPACE, only)
    return found[0]


async def test_used_and_ignored_items_are_counted_and_no_words_are_kept(memory: Memory, items: list[bytes]) -> None:
    await sink(memory, told(memory, items), told(memory, items, "I do not know."))
    found = (await report(memory))["use"]
    assert (found["notes"], found["notes_used"]) == (2, 1)
    assert (found["items_used"], found["items_ignored"], found["items_unjudged"]) == (1, 3, 0)
    assert (found["items_injected"], found["use_rate"]) == (4, 0.25)
    row = dict(await memory.database.fetchrow("SELECT * FROM memory_effect"))
    assert not [value for value in row.values() if "Bruno" in str(value) or "ana" in str(value)]


async def test_what_is_rolled_back_counts_when_it_comes_again_and_once(memory: Memory, items: list[bytes]) -> None:
    """A drain that is killed before its commit."""
    payload = told(memory, items, left_out=7)
    with pytest.raises(msgspec.DecodeError):
        await sink(memory, payload, b"no record")
    async with memory.database.connection() as conn:
        cut_off = conn.transaction()
        await cut_off.start()
        await ToldSink(memory.clock, Instruments()).write(conn, [payload])
        await cut_off.rollback()
    await sink(memory, payload)
    found = (await report(memory))["use"]
    assert (found["notes"], found["calls_shortened"], found["messages_left_out"]) == (1, 1, 7)


async def test_uses_of_turns_and_items_are_counted_and_go_with_them(memory: Memory, items: list[bytes]) -> None:
    await sink(memory, told(memory, items), told(memory, items))
    count = "SELECT uses FROM memory_items WHERE id = $1"
    assert await memory.database.fetchval(count, UUID(bytes=items[0])) == 2
    assert await memory.database.fetchval(count, UUID(bytes=items[1])) is None
    removal = Removal(memory.database, ItemWriter(memory.clock, policies(PATIENT)), memory.clock)
    await removal.forget(ANA)
    assert await memory.database.fetchval("SELECT count(*) FROM memory_turn_uses") == 0


async def test_beyond_a_sample_and_without_an_answer_items_are_unjudged(
    memory: Memory, items: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sinking, "_BURST", 1)
    await sink(memory, told(memory, items), told(memory, items), told(memory, items, ""))
    found = (await report(memory))["use"]
    assert (found["items_used"], found["items_ignored"], found["items_unjudged"]) == (1, 1, 4)
    assert (found["notes"], found["notes_judged"], found["notes_used"]) == (3, 1, 1)


async def test_items_of_another_workspace_are_never_looked_at(memory: Memory, items: list[bytes]) -> None:
    await sink(memory, told(memory, items, owner=Owner("other", "ana")))
    _, found = await reports(memory).report(None, None, "other", None)
    assert (found[0]["use"]["items_used"], found[0]["use"]["items_unjudged"]) == (0, 2)
    assert await memory.database.fetchval("SELECT count(*) FROM memory_turn_uses") == 0


async def test_an_erased_users_call_that_comes_late_leaves_nothing(memory: Memory, items: list[bytes]) -> None:
    payload = told(memory, items)
    memory.clock.advance(1)
    async with memory.database.transaction() as conn:
        await bury(conn, ANA, memory.clock.now())
    await sink(memory, payload)
    assert await memory.database.fetchval("SELECT count(*) FROM memory_effect") == 0


async def test_both_arms_are_summed_from_the_ledger(memory: Memory, items: list[bytes]) -> None:
    del items
    await upkeep(memory.database, RetentionSettings(), memory.clock.now())
    calls = [usage(memory, "ok"), usage(memory, "degraded", status="error"), usage(memory, "holdout", prompt=10)]
    calls += [usage(memory, "off"), usage(memory, "ok", replayed=True), usage(memory, "ok", workspace="other")]
    async with memory.database.transaction() as conn:
        await UsageSink().write(conn, calls)
    found = await report(memory)
    arms = [(found[arm]["calls"], found[arm]["errors"], found[arm]["tokens_per_call"]) for arm in ("memory", "holdout")]
    assert arms == [(2, 1, 105.0), (1, 0, 15.0)]
    assert (found["memory"]["items"], found["holdout"]["cost_usd"]) == (4, 0.000001)


def usage(
    memory: Memory, memory_status: str, *, workspace: str = WORKSPACE, prompt: int = 100, **changes: Any
) -> bytes:
    record = UsageRecord(
        id=uuid4().hex, at=memory.clock.time(), workspace_id=workspace, key_id="k", route="chat", status="ok",
        prompt_tokens=prompt, completion_tokens=5, cost_nano=1000, memory_items=2, memory_status=memory_status,
        latency_ms=12.0,
    )  # fmt: skip
    return encode_usage(msgspec.structs.replace(record, **changes))


WRONG = [
    (("2026-13-01", None), "from"),
    ((None, "yesterday"), "to"),
    (("2026-11-24", "2026-11-01"), "from"),
    (("2020-01-01", "2026-01-01"), "from"),
    (("2026-11-24T00:00:00Z", None), "from"),
]


@pytest.mark.parametrize(("period", "param"), WRONG)
async def test_a_wrong_period_names_its_field(memory: Memory, period: tuple[Any, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        await reports(memory).report(*period, None, None)
    assert raised.value.param == param


async def test_a_key_of_a_workspace_sees_no_other(memory: Memory, items: list[bytes]) -> None:
    await sink(memory, told(memory, items), told(memory, items, owner=Owner("other", "ana")))
    assert (await report(memory, WORKSPACE))["workspace"] == WORKSPACE
    _, everybody = await reports(memory).report(None, None, None, None)
    assert [one["workspace"] for one in everybody] == [WORKSPACE, "other"]
    _, own = await reports(memory).report(None, None, None, "other")
    assert [one["workspace"] for one in own] == ["other"]
    with pytest.raises(Forbidden):
        await reports(memory).report(None, None, WORKSPACE, "other")
    with pytest.raises(NotFound):
        await reports(memory).report(None, None, "nowhere", None)


async def test_old_days_go(memory: Memory, items: list[bytes]) -> None:
    await sink(memory, told(memory, items))
    today = memory.clock.now().date()
    await store.purge(memory.database, today)
    assert await memory.database.fetchval("SELECT count(*) FROM memory_effect") == 1
    await store.purge(memory.database, today + timedelta(days=1))
    assert await memory.database.fetchval("SELECT count(*) FROM memory_effect") == 0
