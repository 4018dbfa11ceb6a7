"""Erasing and deleting: what is on its way stays away, and what comes back with a backup goes again."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from cmg.audit.trail import AuditTrail
from cmg.ledger.people.ledger_users import LedgerUsers
from cmg.memory.control.erasure import Erasure
from cmg.memory.control.models import Tombstone
from cmg.memory.control.removal import Doomed, Removal
from cmg.memory.control.tombstone_store import erased
from cmg.memory.control.tombstones import TombstoneFile, TombstoneRetention
from cmg.memory.extraction.models import Claim
from cmg.memory.extraction.store import ExtractionStore
from cmg.memory.items.models import Changes
from cmg.memory.items.writing import ItemWriter
from cmg.memory.models import Owner, Thread
from cmg.storage.database import Database
from rooms.memory.conftest import PATIENT, Memory, said, scope
from support.manual_clock import ManualClock
from support.policies import policies

ANA = Owner("default", "ana")
DAYS = 400


async def _settled() -> bool:
    return True


@pytest.fixture
def removal(database: Database, clock: ManualClock) -> Removal:
    return Removal(database, ItemWriter(clock, policies(PATIENT)), clock)


@pytest.fixture
def erasure(database: Database, removal: Removal, clock: ManualClock, tmp_path: Path) -> Erasure:
    return Erasure(database, removal, TombstoneFile(tmp_path, DAYS), [LedgerUsers(database)], _settled, clock)


async def _users(database: Database) -> list[str]:
    return [row[0] for row in await database.fetch("SELECT user_id FROM memory_users ORDER BY 1")]


async def test_turns_that_were_journalled_before_an_erasure_are_not_stored_after_it(
    memory: Memory, erasure: Erasure, clock: ManualClock
) -> None:
    await memory.keep(scope(), said("Stored before"))
    memory.remember(scope(), said("Stored before", "On its way"))
    clock.advance(1)
    receipt = await erasure.erase("default", "ana", "cli")
    assert receipt.erased["turns"] == 1
    await memory.drain()
    assert await _users(memory.database) == []
    clock.advance(1)
    await memory.keep(scope(thread="new"), said("Said later"))
    assert await memory.contents() == ["Said later"]


async def test_a_drain_that_did_not_know_of_an_erasure_is_waited_for(memory: Memory, erasure: Erasure) -> None:
    memory.remember(scope(), said("On its way"))
    async with memory.database.transaction() as conn:
        await memory.sink.write(conn, memory.payloads)
        erasing = asyncio.create_task(erasure.erase("default", "ana", "cli"))
        await asyncio.sleep(0.2)
        assert not erasing.done()
    assert (await erasing).erased["turns"] == 1
    assert await _users(memory.database) == []


async def test_another_users_and_another_workspaces_turns_pass_the_tombstone(
    memory: Memory, erasure: Erasure, clock: ManualClock
) -> None:
    for where in (scope(), scope(user="bob"), scope(workspace="other")):
        memory.remember(where, said("Hello"))
    clock.advance(1)
    await erasure.erase("default", "ana", "cli")
    await memory.drain()
    assert await memory.contents() == []
    assert await memory.contents("bob") == await memory.contents("ana", "other") == ["Hello"]


async def test_a_long_user_id_meets_its_tombstone_too(memory: Memory, erasure: Erasure, clock: ManualClock) -> None:
    long = "u" * 500
    memory.remember(scope(user=long), said("Hello"))
    clock.advance(1)
    await erasure.erase("default", long, "cli")
    await memory.drain()
    assert await _users(memory.database) == []
    async with memory.database.transaction() as conn:
        assert list(await erased(conn, [("default", long), ("default", "bob")])) == [("default", long)]


async def test_a_database_that_was_set_back_is_erased_again(
    memory: Memory, erasure: Erasure, database: Database, clock: ManualClock
) -> None:
    await erasure.erase("default", "ana", "cli")
    await database.execute("DELETE FROM memory_tombstones")
    await memory.keep(scope(), said("Out of a backup"))
    await memory.keep(scope(user="bob"), said("Out of a backup"))
    with capture_logs() as lines:
        assert await erasure.replay() == 1
    assert await _users(database) == ["bob"]
    (told,) = [line for line in lines if line["log_level"] == "warning"]
    assert (told["tombstones"], told["users"]) == (1, 1), "whoever restored a backup sees that it happened"
    assert "ana" not in str(told)
    with capture_logs() as lines:
        assert await erasure.replay() == 0
    assert lines == []
    clock.advance(1)
    await memory.keep(scope(thread="later"), said("Out of a backup", "and new"))
    assert await erasure.replay() == 0
    assert len(await memory.contents()) == 2


@pytest.mark.parametrize("since_s", [60, -3600], ids=["later", "by a clock that was set back"])
async def test_whoever_was_erased_twice_goes_again_from_a_backup_that_knows_of_the_first_time(
    memory: Memory, erasure: Erasure, database: Database, clock: ManualClock, since_s: float
) -> None:
    await erasure.erase("default", "ana", "cli")
    (first,) = await database.fetch("SELECT * FROM memory_tombstones")
    clock.set(clock.now() + timedelta(seconds=since_s))
    await erasure.erase("default", "ana", "cli")
    await database.execute("UPDATE memory_tombstones SET erased_at = $1", first["erased_at"])
    await memory.keep(scope(), said("Told between the two, and out of a backup"))
    assert await erasure.replay() == 1
    assert await _users(database) == []


async def test_whoever_came_back_is_not_erased_when_their_tombstone_is_too_old_to_be_kept(
    memory: Memory, erasure: Erasure, database: Database, clock: ManualClock, tmp_path: Path
) -> None:
    await erasure.erase("default", "ana", "cli")
    clock.advance(3600)
    await memory.keep(scope(), said("Here again, for years"))
    clock.advance(DAYS * 86_400)
    assert await TombstoneRetention(database, clock, DAYS).purge() == 1
    assert await erasure.replay() == 0
    assert await _users(database) == ["ana"]
    assert TombstoneFile(tmp_path, 10 * DAYS).read() == []


async def test_a_running_machines_file_lets_go_of_old_lines_too(
    erasure: Erasure, database: Database, clock: ManualClock, tmp_path: Path
) -> None:
    file = TombstoneFile(tmp_path, DAYS)
    await erasure.erase("default", "ana", "cli")
    clock.advance(DAYS * 86_400 + 1)
    await erasure.erase("default", "bob", "cli")
    await file.catch_up(database, clock.now())
    (stone,) = TombstoneFile(tmp_path, 10 * DAYS).read()
    assert stone.names("bob")


async def test_lines_of_several_writers_are_all_kept_while_the_file_is_replaced(
    database: Database, erasure: Erasure, tmp_path: Path
) -> None:
    async def replace() -> None:
        for _ in range(20):
            await TombstoneFile(tmp_path, DAYS).compact(database)

    await asyncio.gather(replace(), *(erasure.erase("default", f"user-{number}", "cli") for number in range(20)))
    found = TombstoneFile(tmp_path, DAYS).read()
    assert all(any(stone.names(f"user-{number}") for stone in found) for number in range(20))


async def test_a_line_behind_a_torn_one_is_read(erasure: Erasure, tmp_path: Path) -> None:
    (tmp_path / "erasures.jsonl").write_bytes(b'{"workspace_id":"default","sa')
    await erasure.erase("default", "ana", "cli")
    (stone,) = TombstoneFile(tmp_path, DAYS).read()
    assert stone.names("ana")


async def test_the_file_survives_a_torn_line_and_takes_over_what_others_erased(
    database: Database, erasure: Erasure, clock: ManualClock, tmp_path: Path
) -> None:
    await erasure.erase("default", "ana", "cli")
    clock.advance(1)
    await erasure.erase("default", "ana", "cli")
    path = tmp_path / "erasures.jsonl"
    with path.open("ab") as file:
        file.write(b'{"workspace_id":"default","sa')
    file = TombstoneFile(tmp_path, DAYS)
    (stone,) = file.read()
    assert isinstance(stone, Tombstone)
    assert stone.names("ana")
    assert not stone.names("bob")
    assert stone.erased_at == clock.now()
    elsewhere = TombstoneFile(tmp_path / "elsewhere", DAYS)
    (tmp_path / "elsewhere").mkdir()
    await elsewhere.catch_up(database, clock.now())
    await elsewhere.catch_up(database, clock.now())
    assert elsewhere.read() == [stone]
    assert len((tmp_path / "elsewhere" / "erasures.jsonl").read_text().splitlines()) == 1
    assert "ana" not in path.read_text()
    await file.compact(database)
    assert path.read_bytes().count(b"\n") == 1


async def test_old_tombstones_are_let_go(database: Database, erasure: Erasure, clock: ManualClock) -> None:
    await erasure.erase("default", "ana", "cli")
    clock.advance(399 * 86_400)
    assert await TombstoneRetention(database, clock, 400).purge() == 0
    clock.advance(2 * 86_400)
    assert await TombstoneRetention(database, clock, 400).purge() == 1


async def test_the_trail_tells_of_an_erasure_without_naming_anybody(
    memory: Memory, erasure: Erasure, database: Database, clock: ManualClock
) -> None:
    await memory.keep(scope(), said("Hello"))
    receipt = await erasure.erase("default", "ana", "key:k1", "192.0.2.1")
    row = await database.fetchrow("SELECT actor, target, details::text AS details FROM audit_entries ORDER BY seq DESC")
    assert (row["actor"], row["target"]) == ("key:k1", f"user:{receipt.pseudonym}")
    assert "ana" not in row["details"]
    assert (await AuditTrail(database, clock).verify()).ok
    assert (await erasure.erase("default", "ana", "key:k1")).pseudonym != receipt.pseudonym


async def test_a_turn_that_was_deleted_comes_back_only_when_somebody_asks(
    memory: Memory, removal: Removal, database: Database
) -> None:
    await memory.keep(scope(), said("Forget this", "Keep this"))
    row = await database.fetchrow("SELECT id FROM memory_turns WHERE content = 'Forget this'")
    assert (await removal.remove_items(ANA, [row["id"]])).turns == 1
    again = Memory(database, memory.clock, memory.service.instruments, memory.spool)  # knows no history
    await again.keep(scope(), said("Forget this", "Keep this", "And this"))
    assert await memory.contents() == ["Keep this", "And this"]


async def test_a_receipt_counts_an_edited_turn_once(
    memory: Memory, erasure: Erasure, database: Database, clock: ManualClock
) -> None:
    await memory.keep(scope(), said("The code is 1234.", "Keep it."))
    edited = await database.fetchval("SELECT id FROM memory_turns WHERE content LIKE 'The code%'")
    async with database.transaction() as conn:
        await ItemWriter(clock, policies(PATIENT)).edit(conn, ANA, edited, Changes(content="The code is 9876."))
    erased = (await erasure.erase("default", "ana", "cli")).erased
    assert (erased["turns"], erased["facts"]) == (2, 0)
    assert await _users(database) == []


async def test_a_delete_takes_the_thread_or_agent_it_names(
    memory: Memory, removal: Removal, database: Database
) -> None:
    await memory.keep(scope(thread="one"), said("First"))
    await memory.keep(scope(thread="two"), said("Second"))
    assert (await removal.remove(ANA, Doomed(thread_id="none"))).items == 0
    assert (await removal.remove(ANA, Doomed(agent_id="none"))).items == 0
    assert (await removal.remove(ANA, Doomed(thread_id="one"))).items == 1
    assert await memory.contents() == ["Second"]
    row = await database.fetchrow("SELECT turns, length FROM memory_users")
    assert (row["turns"], row["length"] > 0) == (1, True)


async def test_more_than_a_step_goes_and_nothing_that_came_later(memory: Memory, removal: Removal) -> None:
    await memory.keep(scope(), said(*[f"Number {number}" for number in range(2500)]))
    assert (await removal.remove(ANA)).turns == 2500
    assert await memory.contents() == []


async def test_a_thread_that_was_erased_while_it_was_read_is_gone(
    memory: Memory, erasure: Erasure, database: Database
) -> None:
    await memory.keep(scope(), said("Hello"))
    row = await database.fetchrow("SELECT thread_no FROM memory_threads")
    claim = Claim(thread_no=row[0], thread=Thread(ANA, "monday"), extracted_seq=0, wanted=1, attempts=1)
    store = ExtractionStore()
    async with database.transaction() as conn:
        assert await store.exists(conn, claim)
    await erasure.erase("default", "ana", "cli")
    async with database.transaction() as conn:
        assert not await store.exists(conn, claim)
