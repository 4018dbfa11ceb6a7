"""The snapshot follows the database by single rows, asks once for what it does not know, and survives its absence."""

import asyncio

import asyncpg
import pytest

from cmg.identity.authenticator import Authenticator
from cmg.identity.keys import Keys
from cmg.identity.models import COMMAND_LINE, Actor
from cmg.identity.snapshot import SnapshotFeed
from cmg.identity.workspaces import Workspaces
from cmg.kit.errors import Forbidden, Unauthenticated, Unavailable
from cmg.storage.changes import ChangeFeed
from cmg.storage.database import Database
from support.manual_clock import ManualClock
from support.service import eventually


class Counted:
    """Counts the statements that pass to a database, and can play its absence."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.asked = 0
        self.away = False

    async def fetch(self, sql: str, *args, timeout_s: float = 5) -> list:
        self.asked += 1
        if self.away:
            raise Unavailable("away")
        return await self._database.fetch(sql, *args, timeout_s=timeout_s)


@pytest.fixture
async def counted(database: Database, changes: ChangeFeed, clock: ManualClock) -> tuple[Counted, SnapshotFeed]:
    through = Counted(database)
    feed = SnapshotFeed(through, changes, clock)
    await changes.mark()
    await feed.load()
    through.asked = 0
    return through, feed


async def test_a_load_brings_every_key_page_by_page(keys: Keys, admin: Actor, feed: SnapshotFeed, monkeypatch) -> None:
    made = {(await keys.create(admin, {"name": f"k{number}"})).key.id for number in range(7)}
    gone = (await keys.create(admin, {"name": "gone"})).key.id
    await keys.revoke(admin, gone)
    monkeypatch.setattr("cmg.identity.snapshot._PAGE", 3)
    await feed.load()
    assert feed.current.keys.keys() == made
    assert "default" in feed.current.workspaces


async def test_one_look_at_the_changes_brings_a_change(keys: Keys, admin: Actor, feed, changes: ChangeFeed) -> None:
    made = await keys.create(admin, {"name": "k"})
    assert made.key.id not in feed.current.keys
    await changes.look()
    assert feed.current.keys[made.key.id] == made.key
    await keys.update(admin, made.key.id, {"limits": {"rpm": 3}})
    await changes.look()
    assert feed.current.keys[made.key.id].limits.rpm == 3


async def test_a_revoked_key_stops_with_one_look(
    keys: Keys, admin: Actor, door: Authenticator, changes: ChangeFeed
) -> None:
    made = await keys.create(admin, {"name": "k"})
    await door.authenticate(f"Bearer {made.presented}", None, "")
    await keys.revoke(admin, made.key.id)
    await changes.look()
    with pytest.raises(Unauthenticated):
        await door.authenticate(f"Bearer {made.presented}", None, "")


async def test_a_suspended_key_is_403_with_one_look(
    keys: Keys, admin: Actor, door: Authenticator, changes: ChangeFeed
) -> None:
    made = await keys.create(admin, {"name": "k"})
    await keys.suspend(admin, made.key.id, "unpaid")
    await changes.look()
    with pytest.raises(Forbidden, match="unpaid"):
        await door.authenticate(f"Bearer {made.presented}", None, "")


async def test_a_running_feed_delivers_within_its_staleness(
    keys: Keys, admin: Actor, feed: SnapshotFeed, changes: ChangeFeed
) -> None:
    running = asyncio.create_task(changes.run())
    try:
        made = await keys.create(admin, {"name": "k"})

        async def known() -> bool:
            return made.key.id in feed.current.keys

        await eventually(known, 10, "the key is in the snapshot")
        assert feed.age_s <= 2
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_new_key_works_before_its_announcement_arrives(keys: Keys, admin: Actor, door: Authenticator) -> None:
    made = await keys.create(admin, {"name": "k"})
    assert (await door.authenticate(f"Bearer {made.presented}", None, "")).key_id == made.key.id


async def test_a_new_workspace_comes_with_its_first_key(
    keys: Keys, workspaces: Workspaces, door: Authenticator, feed: SnapshotFeed, changes: ChangeFeed
) -> None:
    await workspaces.create(COMMAND_LINE, {"id": "new", "name": "New", "timezone": "Europe/Berlin"})
    made = await keys.create(COMMAND_LINE, {"name": "k", "workspace": "new"})
    caller = await door.authenticate(f"Bearer {made.presented}", None, "")
    assert caller.workspace.timezone == "Europe/Berlin"
    await workspaces.update(COMMAND_LINE, "new", {"timezone": "UTC"})
    await changes.look()
    assert feed.current.workspaces["new"].timezone == "UTC"


async def test_an_unknown_id_is_asked_for_once_in_a_while(counted, clock: ManualClock) -> None:
    through, feed = counted
    for _ in range(5):
        assert await feed.find("nobody") is None
    assert through.asked == 1
    clock.advance(11)
    assert await feed.find("nobody") is None
    assert through.asked == 2


async def test_an_id_that_comes_to_be_is_unknown_no_longer(counted, keys: Keys, changes: ChangeFeed) -> None:
    _, feed = counted
    secret = "a" * 40
    assert await feed.find("later") is None
    await keys.ensure_bootstrap(f"cmg_later_{secret}")
    await changes.look()
    assert "later" in feed.current.keys


async def test_many_asking_for_one_key_find_it_with_few_questions(counted, keys: Keys, admin: Actor) -> None:
    through, feed = counted
    made = await keys.create(admin, {"name": "k"})
    found = await asyncio.gather(*(feed.find(made.key.id) for _ in range(50)))
    assert {key.id for key in found} == {made.key.id}
    assert through.asked <= 4


async def test_a_new_secret_works_before_its_change_is_announced(counted, keys: Keys, admin: Actor, clock) -> None:
    through, feed = counted
    made = await keys.create(admin, {"name": "k"})
    await feed.find(made.key.id)
    rotated = await keys.rotate(admin, made.key.id)
    authenticator = Authenticator(feed, clock)
    through.asked = 0
    for secret in (rotated.presented, made.presented):
        callers = await asyncio.gather(
            *(authenticator.authenticate(f"Bearer {secret}", None, "127.0.0.1") for _ in range(20))
        )
        assert {caller.key.id for caller in callers} == {made.key.id}
    assert through.asked == 1


async def test_wrong_secrets_of_a_key_rarely_lead_to_the_database(counted, keys: Keys, admin: Actor, clock) -> None:
    through, feed = counted
    made = await keys.create(admin, {"name": "k"})
    await feed.find(made.key.id)
    authenticator = Authenticator(feed, clock)
    through.asked = 0

    async def guess() -> None:
        for number in range(20):
            with pytest.raises(Unauthenticated):
                await authenticator.authenticate(f"Bearer cmg_{made.key.id}_{'x' * 30}{number}", None, "127.0.0.1")

    await guess()
    assert through.asked == 1
    through.away = True
    clock.advance(1)
    await guess()  # the database away: what is known counts
    assert through.asked == 2


async def test_a_flood_of_unknown_ids_is_bounded(counted) -> None:
    _, feed = counted
    answers = await asyncio.gather(*(feed.find(f"nobody{n}") for n in range(300)), return_exceptions=True)
    refused = [one for one in answers if isinstance(one, Unavailable)]
    assert len(refused) == 300 - 64
    assert refused[0].headers == {"Retry-After": "1"}


async def test_what_is_known_to_be_unknown_is_bounded(counted, monkeypatch) -> None:
    _, feed = counted
    monkeypatch.setattr("cmg.identity.snapshot._UNKNOWN_MAX", 3)
    for number in range(5):
        await feed.find(f"nobody{number}")
    assert list(feed._unknown) == ["nobody2", "nobody3", "nobody4"]


async def test_with_the_database_away_an_unknown_key_is_503(counted, keys: Keys, admin: Actor) -> None:
    through, feed = counted
    made = await keys.create(admin, {"name": "k"})
    through.away = True
    with pytest.raises(Unavailable):
        await feed.find(made.key.id)
    through.away = False
    assert await feed.find(made.key.id) == made.key, "an absence is not remembered as unknown"


async def test_a_lookup_overtaken_by_a_change_is_not_kept(
    counted, keys: Keys, admin: Actor, changes: ChangeFeed, monkeypatch
) -> None:
    through, feed = counted
    made = await keys.create(admin, {"name": "k"})
    plain = through.fetch

    async def slow(sql: str, *args, **kwargs) -> list:
        rows = await plain(sql, *args, **kwargs)
        monkeypatch.setattr(through, "fetch", plain)
        await keys.revoke(admin, made.key.id)
        await changes.look()
        return rows

    monkeypatch.setattr(through, "fetch", slow)
    await feed.find(made.key.id)
    assert made.key.id not in feed.current.keys, "a revoked key does not come back by an older answer"


async def test_a_feed_that_lost_its_place_loads_everything(
    keys: Keys, admin: Actor, feed: SnapshotFeed, changes: ChangeFeed, database: Database
) -> None:
    made = await keys.create(admin, {"name": "k"})
    await database.execute("DELETE FROM changes WHERE version <= (SELECT min(version) FROM changes)")
    await changes.look()
    assert made.key.id in feed.current.keys


async def test_the_database_keeps_no_half_a_change(keys: Keys, admin: Actor, database: Database, feed, changes) -> None:
    made = await keys.create(admin, {"name": "k"})
    await database.execute("ALTER TABLE audit_entries ADD CONSTRAINT no_more CHECK (seq < 2)")
    with pytest.raises(asyncpg.CheckViolationError):
        await keys.revoke(admin, made.key.id)
    await changes.look()
    assert feed.current.keys[made.key.id].status == "active"
