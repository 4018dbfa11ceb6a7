"""The file of the last known keys: whole or not used, and written again when something changed."""

from pathlib import Path

import pytest

from cmg.app.last_known import Keeper, LastKnownFile, take_last_known
from cmg.audit.trail import AuditTrail
from cmg.config import Settings
from cmg.gateway.routing.catalogue import Catalogue, built_in_models
from cmg.gateway.routing.catalogue_store import ListedModel, keep_listing
from cmg.identity.keys import Keys
from cmg.identity.models import SYSTEM
from cmg.identity.snapshot import SnapshotFeed
from cmg.ledger.prices import PriceBook
from cmg.storage.changes import ChangeFeed
from cmg.storage.database import Database
from support.manual_clock import ManualClock

PRICED = ListedModel(model="big", pricing={"prompt": "0.001", "completion": "0.002"}, context_length=9)


class Machine:
    """One process's keys and models on a database, and its file."""

    def __init__(self, database: Database, clock: ManualClock, path: Path) -> None:
        self.changes, self.book, self.path = ChangeFeed(database, clock), PriceBook([]), path
        self.file = file = LastKnownFile(path)
        self.feed = SnapshotFeed(database, self.changes, clock)
        self.catalogue = Catalogue(database, self.book, clock, built_in_models(Settings()))
        self.changes.subscribe("models", self.catalogue.changed)
        self.changes.on_reset(self.catalogue.load)
        self.keeper = Keeper(file, self.feed, self.catalogue, clock)

    def take(self) -> bool:
        """Begin with the file."""
        return take_last_known(self.file, self.feed, self.catalogue)

    @property
    def content(self) -> bytes:
        """What is on the disk."""
        return self.path.read_bytes()

    @content.setter
    def content(self, data: bytes) -> None:
        self.path.write_bytes(data)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "known.bin"


@pytest.fixture
def keys(database: Database, clock: ManualClock) -> Keys:
    return Keys(database, AuditTrail(database, clock), clock)


@pytest.fixture
async def written(database: Database, clock: ManualClock, path: Path, keys: Keys) -> Machine:
    """A machine that has written its file, with one key and one priced model in it."""
    await keep_listing(database, "far", [PRICED], clock.now())
    fields = {"name": "k", "limits": {"rpm": 9}, "budget": {"period": "day", "usd": 1}, "ip_allow": ["10.0.0.0/8"]}
    await keys.create(SYSTEM, fields)
    machine = Machine(database, clock, path)
    await machine.changes.mark()
    await machine.feed.load()
    await machine.catalogue.load()
    assert await machine.keeper.keep()
    return machine


async def test_what_was_written_is_known_again(written: Machine, database, clock) -> None:
    other = Machine(database, clock, written.path)
    assert other.take()
    assert other.feed.current.keys == written.feed.current.keys
    assert other.feed.current.workspaces == written.feed.current.workspaces
    assert other.catalogue.models() == written.catalogue.models()
    assert other.book.price("far", "big") == written.book.price("far", "big")


async def test_no_secret_is_in_the_file(written: Machine, keys: Keys) -> None:
    made = await keys.create(SYSTEM, {"name": "another"})
    await written.changes.look()
    assert await written.keeper.keep()
    content = written.content
    assert made.key.id.encode() in content
    assert made.presented.rpartition("_")[2].encode() not in content


async def test_it_is_written_only_when_something_changed(written: Machine, keys: Keys, database, clock) -> None:
    assert not await written.keeper.keep()
    await keys.revoke(SYSTEM, next(iter(written.feed.current.keys)))
    await written.changes.look()
    assert await written.keeper.keep()
    await keep_listing(database, "far", [], clock.now())
    await written.changes.look()
    assert await written.keeper.keep()
    assert not await written.keeper.keep()


async def test_what_came_from_the_file_is_not_written_back(written: Machine, database, clock) -> None:
    other = Machine(database, clock, written.path)
    other.take()
    assert not await other.keeper.keep()


async def test_a_machine_that_began_with_the_file_loads_everything_when_it_reaches_the_database(
    written: Machine, keys: Keys, database, clock
) -> None:
    other = Machine(database, clock, written.path)
    await other.changes.mark()
    other.take()
    other.changes.lose_place()
    await keys.revoke(SYSTEM, next(iter(written.feed.current.keys)))
    await other.changes.look()
    assert other.feed.current.keys == {}
    assert await other.keeper.keep()


@pytest.mark.parametrize(
    "damage", [lambda _: b"", lambda b: b[:-1], lambda b: b[:60] + b"!" + b[61:], lambda b: b"X" + b]
)
async def test_a_damaged_file_is_as_good_as_none(written: Machine, database, clock, damage) -> None:
    written.content = damage(written.content)
    other = Machine(database, clock, written.path)
    assert not other.take()
    assert other.feed.current.keys == {}


async def test_a_file_of_another_form_is_as_good_as_none(written: Machine) -> None:
    written.file.write(b"\x95\x01\x02\x03\x04\x05")
    assert written.file.read() is None


def test_the_file_is_ours_alone_and_a_failed_write_keeps_the_former(path: Path) -> None:
    file = LastKnownFile(path)
    file.write(b"first")
    before = path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    path.with_suffix(".new").mkdir()
    with pytest.raises(OSError, match="directory"):
        file.write(b"second")
    assert path.read_bytes() == before
