"""Erasures that were cut off behind their tombstone: somebody goes on with them, and what was said since stays."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from cmg.ledger.people.ledger_users import LedgerUsers
from cmg.memory.control.erasure import Erasure, Place
from cmg.memory.control.removal import Removal
from cmg.memory.control.tombstones import TombstoneFile
from cmg.memory.items.writing import ItemWriter
from cmg.memory.text.cleaning import bounded_id
from cmg.storage.database import Database
from rooms.memory.conftest import PATIENT, Memory, said, scope
from support.manual_clock import ManualClock
from support.policies import policies

STRANGE = "anã\x00\ud800" * 100


class Faulty:
    """A place that fails, or is never through."""

    name = "faulty"

    def __init__(self, *, hangs: bool) -> None:
        self._hangs = hangs
        self.reached = asyncio.Event()

    async def erase(self, workspace_id: str, user_id: str, pseudonym: str) -> int:
        del workspace_id, pseudonym
        self.reached.set()
        if self._hangs:
            await asyncio.Event().wait()
        raise OSError(f"{user_id} cannot be erased here")

    async def users(self, workspace_id: str) -> Sequence[str]:
        del workspace_id
        return []


class HangingRemoval(Removal):
    """The process dies before anything of the person went."""

    reached: asyncio.Event

    async def delete_summaries(self, owner: object) -> int:
        del owner
        self.reached.set()
        await asyncio.Event().wait()
        return 0


class Erasing:
    """Erasures on one database, each as a process of its own would have it."""

    def __init__(self, database: Database, clock: ManualClock, folder: Path) -> None:
        self.database, self.clock, self.folder = database, clock, folder

    def erasure(self, *places: Place, removal: type[Removal] = Removal) -> Erasure:
        async def settled() -> bool:
            return True

        self.removal = removal(self.database, ItemWriter(self.clock, policies(PATIENT)), self.clock)
        file = TombstoneFile(self.folder, 400)
        return Erasure(self.database, self.removal, file, [LedgerUsers(self.database), *places], settled, self.clock)

    async def cut_off(self, user: str) -> None:
        """Begin to erase somebody and die before anything went."""
        erasure = self.erasure(removal=HangingRemoval)
        assert isinstance(self.removal, HangingRemoval)
        self.removal.reached = asyncio.Event()
        await self.die_in(erasure, user, self.removal.reached)

    async def die_in(self, erasure: Erasure, user: str, reached: asyncio.Event) -> None:
        task = asyncio.create_task(erasure.erase("default", user, "key:k1", "192.0.2.1"))
        await reached.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def trail(self) -> list[tuple[str, str, str]]:
        rows = await self.database.fetch("SELECT actor, target, details::text AS said FROM audit_entries ORDER BY seq")
        return [(row["actor"], row["target"], row["said"]) for row in rows]


@pytest.fixture
def erasing(database: Database, clock: ManualClock, tmp_path: Path) -> Erasing:
    return Erasing(database, clock, tmp_path)


async def _begun(database: Database) -> list[str]:
    return [row[0] for row in await database.fetch("SELECT pseudonym FROM memory_erasures")]


@pytest.mark.parametrize("user", ["ana", STRANGE], ids=["plain", "strange and long"])
async def test_an_erasure_that_was_killed_behind_its_tombstone_is_finished(
    memory: Memory, erasing: Erasing, clock: ManualClock, user: str
) -> None:
    await memory.keep(scope(user=user), said("Said before", "and this"))
    clock.advance(1)
    await erasing.cut_off(user)
    assert len(await memory.contents(bounded_id(user))) == 2
    (pseudonym,) = await _begun(memory.database)
    clock.advance(1)
    with capture_logs() as lines:
        assert await erasing.erasure().finish(clock.now()) == 1
    assert await memory.contents(bounded_id(user)) == []
    assert await _begun(memory.database) == []
    ((actor, target, details),) = await erasing.trail()
    assert (actor, target) == ("key:k1", f"user:{pseudonym}")
    assert json.loads(details)["erased"]["turns"] == 2
    assert [(line["log_level"], line["pseudonym"]) for line in lines] == [("warning", pseudonym)]


async def test_what_was_said_after_the_tombstone_stays(memory: Memory, erasing: Erasing, clock: ManualClock) -> None:
    await memory.keep(scope(), said("Said before"))
    await memory.keep(scope(user="bob"), said("Somebody else"))
    clock.advance(1)
    await erasing.cut_off("ana")
    clock.advance(1)
    await memory.keep(scope(), said("Said anew", "in the same thread"))
    clock.advance(1)
    assert await erasing.erasure().finish(clock.now()) == 1
    assert await memory.contents() == ["Said anew", "in the same thread"]
    assert await memory.contents("bob") == ["Somebody else"]


async def test_an_erasure_that_is_under_way_is_left_alone(memory: Memory, erasing: Erasing, clock: ManualClock) -> None:
    await memory.keep(scope(), said("Said before"))
    clock.advance(1)
    began = clock.now()
    await erasing.cut_off("ana")
    assert await erasing.erasure().finish(began) == 0
    assert await memory.contents() == ["Said before"]


async def test_an_erasure_that_is_through_leaves_nothing_to_finish(
    memory: Memory, erasing: Erasing, clock: ManualClock
) -> None:
    await memory.keep(scope(), said("Said before"))
    clock.advance(1)
    receipt = await erasing.erasure().erase("default", "ana", "cli")
    assert receipt.erased["turns"] == 1
    assert await _begun(memory.database) == []
    clock.advance(1)
    assert await erasing.erasure().finish(clock.now()) == 0
    assert len(await erasing.trail()) == 1


async def test_whoever_repeats_a_cut_off_erasure_goes_on_under_the_same_pseudonym(
    memory: Memory, erasing: Erasing, clock: ManualClock
) -> None:
    await memory.keep(scope(), said("Said before"))
    clock.advance(1)
    hanging = Faulty(hangs=True)
    await erasing.die_in(erasing.erasure(hanging), "ana", hanging.reached)
    (pseudonym,) = await _begun(memory.database)
    clock.advance(1)
    assert (await erasing.erasure().erase("default", "ana", "cli")).pseudonym == pseudonym
    assert await _begun(memory.database) == []


async def test_a_place_that_fails_is_tried_again_and_holds_up_nobody_else(
    memory: Memory, erasing: Erasing, clock: ManualClock
) -> None:
    for user in ("ana", "bob"):
        await memory.keep(scope(user=user), said("Said before"))
        clock.advance(1)
        await erasing.cut_off(user)
    clock.advance(1)
    with capture_logs() as lines:
        assert await erasing.erasure(Faulty(hangs=False)).finish(clock.now()) == 0
    assert await memory.contents("bob") == await memory.contents("ana") == []
    assert [line["error"] for line in lines] == ["OSError"] * 2
    assert "ana" not in str(lines)
    clock.advance(1)
    assert await erasing.erasure().finish(clock.now()) == 2
