"""The life of a key: created, changed, rotated, cloned, suspended, revoked; each step audited."""

import asyncio

import pytest

from cmg.audit.trail import AuditTrail, Wanted
from cmg.identity.forms.views import key_view
from cmg.identity.keys import SECRETS_MAX, Keys, KeysWanted
from cmg.identity.models import APPLICATION_SCOPES, Actor, Limits
from cmg.identity.snapshot import SnapshotFeed
from cmg.kit.clock import rfc3339
from cmg.kit.errors import Conflict, InvalidRequest, NotFound
from cmg.storage.database import Database
from support.manual_clock import ManualClock

FULL = {
    "name": "full",
    "description": "two\nlines",
    "owner": "ops@example.org",
    "tags": ["a", "b", "a"],
    "scopes": ["models", "chat"],
    "memory": "off",
    "memory_scope": "key",
    "user_prefix": "app-",
    "models_allow": ["sim/*"],
    "models_block": ["sim/cut"],
    "ip_allow": ["10.1.2.3/8", "::1", "::ffff:192.0.2.7", "::ffff:198.51.100.0/120"],
    "default_model": "sim/echo",
    "response_cache_s": 60,
    "limits": {"rpm": 5, "concurrency": 2},
    "budget": {"period": "month", "usd": 12.5, "alert_at": [1, 0.5, 0.5], "auto_suspend": True},
    "expires_at": "2027-01-01T00:00:00+01:00",
    "review_at": "2026-12-01T00:00:00Z",
}


async def test_a_key_keeps_every_setting(keys: Keys, admin: Actor, clock: ManualClock) -> None:
    made = await keys.create(admin, FULL)
    view = key_view(await keys.get(admin, made.key.id), clock.time())
    assert view["tags"] == ["a", "b"]
    assert view["scopes"] == ["chat", "models"]
    assert view["user_prefix"] == "app-"
    assert view["ip_allow"] == ["10.0.0.0/8", "::1/128", "192.0.2.7/32", "198.51.100.0/24"]
    assert view["budget"] == {"period": "month", "usd": 12.5, "alert_at": [0.5, 1.0], "auto_suspend": True}
    assert view["limits"] == {"rpm": 5, "rph": None, "tpm": None, "burst": None, "concurrency": 2}
    assert view["expires_at"] == "2026-12-31T23:00:00.000Z"
    assert (view["state"], view["workspace"], view["created_at"]) == ("active", "default", rfc3339(clock.time()))
    same = ("name", "description", "owner", "memory", "memory_scope", "models_allow", "models_block", "default_model")
    assert {name: view[name] for name in same} == {name: FULL[name] for name in same}


async def test_a_bare_key_is_an_applications_with_memory_on(keys: Keys, admin: Actor) -> None:
    key = (await keys.create(admin, {"name": "bare"})).key
    assert (key.scopes, key.memory, key.models_allow, key.ip_allow) == (APPLICATION_SCOPES, "on", None, None)
    assert (key.limits, key.budget, key.expires_at) == (Limits(), None, None)


async def test_only_the_hash_of_a_secret_is_stored(keys: Keys, admin: Actor, database: Database) -> None:
    made = await keys.create(admin, {"name": "k"})
    secret = made.presented.rpartition("_")[2]
    assert len(secret) == 40
    assert secret not in repr(made)
    for table in ("api_keys", "api_key_secrets", "audit_entries", "changes"):
        rows = await database.fetch(f"SELECT t::text AS whole FROM {table} AS t")
        assert rows
        assert not any(secret in row["whole"] for row in rows)


async def test_a_change_leaves_absent_fields_and_null_resets(keys: Keys, admin: Actor) -> None:
    made = await keys.create(admin, FULL)
    new = await keys.update(admin, made.key.id, {"limits": {"rpm": None, "tpm": 9}, "models_allow": None, "tags": None})
    assert (new.limits, new.models_allow, new.tags) == (Limits(tpm=9, concurrency=2), None, ())
    assert (new.owner, new.budget) == (made.key.owner, made.key.budget)
    new = await keys.update(admin, made.key.id, {"budget": {"usd": 1}})
    assert new.budget is not None
    assert (new.budget.period, new.budget.usd_nano, new.budget.auto_suspend) == ("month", 10**9, True)
    assert (await keys.update(admin, made.key.id, {"budget": None, "limits": None})).budget is None


async def test_a_change_that_changes_nothing_is_not_audited(keys: Keys, admin: Actor, audit: AuditTrail) -> None:
    made = await keys.create(admin, FULL)
    await keys.update(admin, made.key.id, {"name": "full"})
    assert len((await audit.list(Wanted(None))).items) == 1


async def test_a_rotated_secret_works_for_its_grace_and_no_longer(
    keys: Keys, admin: Actor, clock: ManualClock, door, changes
) -> None:
    made = await keys.create(admin, {"name": "k"})
    rotated = await keys.rotate(admin, made.key.id, grace_s=100)
    await changes.look()
    for presented in (made.presented, rotated.presented):
        assert (await door.authenticate(f"Bearer {presented}", None, "")).key_id == made.key.id
    assert key_view(rotated.key, clock.time())["old_secret_until"] == rfc3339(clock.time() + 100)
    clock.advance(100)
    assert (await door.authenticate(f"Bearer {rotated.presented}", None, "")).key_id == made.key.id
    with pytest.raises(Exception, match="replaced by a rotation"):
        await door.authenticate(f"Bearer {made.presented}", None, "")


async def test_rotation_without_grace_ends_every_former_secret(keys: Keys, admin: Actor) -> None:
    made = await keys.create(admin, {"name": "k"})
    await keys.rotate(admin, made.key.id)
    last = await keys.rotate(admin, made.key.id, grace_s=0)
    assert len(last.key.hashes) == 1


async def test_a_second_rotation_never_prolongs_an_old_secret(keys: Keys, admin: Actor, clock: ManualClock) -> None:
    made = await keys.create(admin, {"name": "k"})
    await keys.rotate(admin, made.key.id, grace_s=60)
    twice = await keys.rotate(admin, made.key.id, grace_s=1000)
    assert [end for _, end in twice.key.hashes if end is not None and end <= clock.time() + 60]


async def test_secrets_of_one_key_are_bounded(keys: Keys, admin: Actor) -> None:
    made = await keys.create(admin, {"name": "k"})
    for _ in range(SECRETS_MAX - 1):
        await keys.rotate(admin, made.key.id)
    with pytest.raises(Conflict, match="grace_s"):
        await keys.rotate(admin, made.key.id)
    assert len((await keys.rotate(admin, made.key.id, grace_s=0)).key.hashes) == 1


async def test_a_clone_has_the_settings_but_its_own_secret(keys: Keys, admin: Actor) -> None:
    made = await keys.create(admin, FULL)
    clone = await keys.clone(admin, made.key.id, {"limits": {"rpm": 7}})
    assert clone.key.id != made.key.id
    assert clone.key.name == "full (copy)"
    assert (clone.key.budget, clone.key.limits) == (made.key.budget, Limits(rpm=7, concurrency=2))
    assert not {one for one, _ in clone.key.hashes} & {one for one, _ in made.key.hashes}


async def test_a_clone_of_an_expired_key_needs_a_new_end(keys: Keys, admin: Actor, clock: ManualClock) -> None:
    made = await keys.create(admin, FULL)
    clock.advance(90 * 86_400)
    with pytest.raises(Conflict, match="expires_at"):
        await keys.clone(admin, made.key.id)
    assert (await keys.clone(admin, made.key.id, {"expires_at": None})).key.expires_at is None


async def test_suspend_and_resume(keys: Keys, admin: Actor) -> None:
    made = await keys.create(admin, {"name": "k"})
    suspended = await keys.suspend(admin, made.key.id, "unpaid")
    assert (suspended.status, suspended.suspended_reason) == ("suspended", "unpaid")
    resumed = await keys.resume(admin, made.key.id)
    assert (resumed.status, resumed.suspended_reason) == ("active", None)


async def test_a_revoked_key_stays_revoked(keys: Keys, admin: Actor) -> None:
    made = await keys.create(admin, {"name": "k"})
    assert (await keys.revoke(admin, made.key.id)).status == "revoked"
    assert (await keys.revoke(admin, made.key.id)).status == "revoked"
    for attempt in (keys.resume, keys.suspend, keys.rotate, keys.clone):
        with pytest.raises(Conflict):
            await attempt(admin, made.key.id)
    with pytest.raises(Conflict):
        await keys.update(admin, made.key.id, {"name": "x"})


async def test_a_used_up_budget_suspends_once(keys: Keys, admin: Actor, audit: AuditTrail, database: Database) -> None:
    made = await keys.create(admin, {"name": "k"})
    assert await keys.suspend_for_budget("default", made.key.id, "the budget is used up")
    assert not await keys.suspend_for_budget("default", made.key.id, "again")
    assert not await keys.suspend_for_budget("other", made.key.id, "not its workspace")
    async with database.transaction() as conn:
        assert not await keys.suspend_for_budget("default", "unknown", "x", conn)
    assert (await audit.list(Wanted("default"))).items[0].actor == "system"
    assert (await keys.get(admin, made.key.id)).suspended_reason == "the budget is used up"


async def test_keys_are_listed_newest_first_in_pages(keys: Keys, admin: Actor, clock: ManualClock) -> None:
    made = []
    for number in range(5):
        clock.advance(0 if number % 2 else 0.000001)
        made.append((await keys.create(admin, {"name": f"k{number}", "tags": ["odd"] if number % 2 else []})).key.id)
    seen: list[str] = []
    cursor = None
    while True:
        page = await keys.list(admin, KeysWanted(cursor=cursor, limit=2))
        seen += [key.id for key in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert sorted(seen) == sorted(made)
    assert len(seen) == 5
    assert {key.id for key in (await keys.list(admin, KeysWanted(tag="odd"))).items} == {made[1], made[3]}


async def test_revoked_keys_are_listed_only_when_asked_for(keys: Keys, admin: Actor) -> None:
    made = await keys.create(admin, {"name": "k", "owner": "o"})
    await keys.revoke(admin, made.key.id)
    assert not (await keys.list(admin, KeysWanted())).items
    assert len((await keys.list(admin, KeysWanted(state="revoked", owner="o"))).items) == 1


@pytest.mark.parametrize("cursor", ["", ".", "1", "x.y", "1.", "9" * 40 + ".a", "1.\0", "1.\ud800", "²³.a"])
async def test_an_odd_cursor_is_refused(keys: Keys, admin: Actor, cursor: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await keys.list(admin, KeysWanted(cursor=cursor))
    assert caught.value.param == "cursor"


@pytest.mark.parametrize("key_id", ["", "\0", "\ud800", "a'b", "x" * 5000, "ä"])
async def test_an_odd_id_is_not_found(keys: Keys, admin: Actor, key_id: str) -> None:
    with pytest.raises(NotFound) as caught:
        await keys.get(admin, key_id)
    assert caught.value.json()


async def test_every_change_is_in_the_trail(keys: Keys, admin: Actor, audit: AuditTrail) -> None:
    made = await keys.create(admin, {"name": "k"})
    await keys.update(admin, made.key.id, {"name": "l"})
    await keys.rotate(admin, made.key.id)
    await keys.clone(admin, made.key.id)
    await keys.suspend(admin, made.key.id, "x")
    await keys.resume(admin, made.key.id)
    await keys.revoke(admin, made.key.id)
    told = [entry.action for entry in (await audit.list(Wanted("default"))).items]
    assert told[::-1] == [
        f"key.{one}" for one in ("create", "update", "rotate", "clone", "suspend", "resume", "revoke")
    ]
    update = (await audit.list(Wanted("default", action="key.update"))).items[0]
    assert update.details == '{"name":{"from":"k","to":"l"}}'
    assert (update.actor, update.client) == ("key:adm", "127.0.0.1")
    assert (await audit.verify()).ok


async def test_old_secrets_and_long_revoked_keys_are_forgotten(
    keys: Keys, admin: Actor, clock: ManualClock, database: Database
) -> None:
    await keys.ensure_first_key()
    made, kept = [(await keys.create(admin, {"name": name})).key.id for name in ("gone", "kept")]
    await keys.rotate(admin, kept, grace_s=60)
    await keys.revoke(admin, made)
    assert await keys.purge() == 0
    clock.advance(2 * 86_400)
    assert await keys.purge() == 1
    clock.advance(400 * 86_400)
    assert await keys.purge() == 1
    assert await database.fetchval("SELECT count(*) FROM api_keys") == 2


async def test_changing_one_key_at_once_from_many_sides_loses_nothing(
    keys: Keys, admin: Actor, feed: SnapshotFeed, changes
) -> None:
    made = await keys.create(admin, {"name": "k"})
    fields = [{"limits": {name: 3}} for name in ("rpm", "rph", "tpm", "burst", "concurrency")]
    await asyncio.gather(*(keys.update(admin, made.key.id, one) for one in fields))
    await changes.look()
    assert feed.current.keys[made.key.id].limits == Limits(rpm=3, rph=3, tpm=3, burst=3, concurrency=3)
