"""The change feed: in order, at least once, quickly; and it knows when it lost its place."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from cmg.kit.clock import SystemClock
from cmg.storage.changes import ChangeFeed, announce, purge
from cmg.storage.database import Database
from support.service import eventually


class Taker:
    """A subscriber that notes what it gets; fails as often as `failures` says."""

    def __init__(self, failures: int = 0) -> None:
        self.ids: list[str] = []
        self.resets = 0
        self.failures = failures

    async def take(self, ids: list[str]) -> None:
        if self.failures:
            self.failures -= 1
            raise RuntimeError("not now")
        self.ids += ids

    async def reset(self) -> None:
        if self.failures:
            self.failures -= 1
            raise RuntimeError("not now")
        self.resets += 1

    async def has(self, *ids: str) -> bool:
        return self.ids == list(ids)


@contextlib.asynccontextmanager
async def running(feed: ChangeFeed) -> AsyncIterator[None]:
    """Run a feed during the block."""
    task = asyncio.create_task(feed.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def feed(database) -> ChangeFeed:
    """A feed that has its place."""
    one = ChangeFeed(database, SystemClock())
    await one.mark()
    return one


async def tell(database: Database, topic: str, *ids: str) -> None:
    """Announce in a transaction of its own."""
    async with database.transaction() as connection:
        await announce(connection, topic, ids, SystemClock().now())


async def test_announced_ids_arrive_by_topic_and_in_order(database, feed):
    keys, models = Taker(), Taker()
    feed.subscribe("keys", keys.take)
    feed.subscribe("models", models.take)
    async with running(feed):
        for n in range(5):
            await tell(database, "keys", f"k{n}")
        await tell(database, "models", "m")
        await eventually(lambda: keys.has("k0", "k1", "k2", "k3", "k4"))
        await eventually(lambda: models.has("m"))
    assert feed.age_s < 5


async def test_rolled_back_change_is_never_delivered(database, feed):
    keys = Taker()
    feed.subscribe("keys", keys.take)
    with contextlib.suppress(ZeroDivisionError):
        async with database.transaction() as connection:
            await announce(connection, "keys", ["no"], SystemClock().now())
            raise ZeroDivisionError
    await tell(database, "keys", "yes")
    await feed.look()
    assert keys.ids == ["yes"]


async def test_concurrent_writers_are_all_heard(database, feed):
    keys = Taker()
    feed.subscribe("keys", keys.take)
    async with running(feed):
        await asyncio.gather(*(tell(database, "keys", f"k{n}") for n in range(50)))

        async def all_there() -> bool:
            return sorted(keys.ids) == sorted(f"k{n}" for n in range(50))

        await eventually(all_there)


async def test_ids_come_again_when_the_subscriber_failed_and_others_are_not_held_up(database, feed):
    failing, other = Taker(failures=2), Taker()
    feed.subscribe("keys", failing.take)
    feed.subscribe("keys", other.take)
    await tell(database, "keys", "a")
    await feed.look()
    await tell(database, "keys", "b")
    await feed.look()
    assert (failing.ids, other.ids) == ([], ["a", "b"])
    await feed.look()
    assert failing.ids == ["a", "b"]


async def test_age_grows_while_a_subscriber_fails(database, clock):
    feed = ChangeFeed(database, clock)
    await feed.mark()
    failing = Taker(failures=1)
    feed.subscribe("keys", failing.take)
    await tell(database, "keys", "a")
    clock.advance(3)
    await feed.look()
    assert feed.age_s == 3
    await feed.look()
    assert feed.age_s == 0


async def test_feed_without_a_place_begins_with_a_reset(database):
    feed, taker = ChangeFeed(database, SystemClock()), Taker()
    feed.subscribe("keys", taker.take)
    feed.on_reset(taker.reset)
    await feed.look()
    await tell(database, "keys", "a")
    await feed.look()
    assert (taker.resets, taker.ids) == (1, ["a"])


async def test_place_purged_meanwhile_means_a_reset_that_is_tried_again(database, feed):
    taker = Taker()
    feed.subscribe("keys", taker.take)
    feed.on_reset(taker.reset)
    await tell(database, "keys", "missed")
    await tell(database, "keys", "newest")
    await database.execute("UPDATE changes SET at = at - interval '2 days'")
    assert await purge(database, SystemClock()) == 2
    taker.failures = 1
    await feed.look()
    assert taker.resets == 0
    await feed.look()
    assert (taker.resets, taker.ids) == (1, [])
    await tell(database, "keys", "later")
    await feed.look()
    assert taker.ids == ["later"]


async def test_purge_keeps_a_day_and_always_the_newest(database):
    for n in range(3):
        await tell(database, "keys", str(n))
    await database.execute("UPDATE changes SET at = at - interval '25 hours' WHERE version <= 3")
    assert await purge(database, SystemClock()) == 3
    await database.execute("UPDATE changes SET at = $1", SystemClock().now() - timedelta(days=9))
    assert await purge(database, SystemClock()) == 0


async def test_feed_goes_on_when_its_connections_were_cut(database, feed):
    keys = Taker()
    feed.subscribe("keys", keys.take)
    async with running(feed):
        await tell(database, "keys", "a")
        await eventually(lambda: keys.has("a"))
        await database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await tell(database, "keys", "b")
        await eventually(lambda: keys.has("a", "b"), 10)
