"""Keys the service makes by itself: each once, the bootstrap key exactly as the settings say."""

import asyncio

import pytest

from cmg.audit.trail import AuditTrail, Wanted
from cmg.identity.authenticator import Authenticator
from cmg.identity.keys import Keys, KeysWanted
from cmg.identity.models import APPLICATION_SCOPES, COMMAND_LINE, SCOPES
from cmg.kit.errors import Conflict, InvalidRequest, Unauthenticated
from cmg.storage.changes import ChangeFeed

A, B = "cmg_boot_" + "a" * 32, "cmg_boot_" + "b" * 32


async def test_the_bootstrap_key_opens_everything(keys: Keys, door: Authenticator) -> None:
    await keys.ensure_bootstrap(A)
    caller = await door.authenticate(f"Bearer {A}", None, "127.0.0.1")
    assert (caller.key_id, caller.workspace_id, caller.scopes) == ("boot", "default", frozenset(SCOPES))


async def test_its_secret_may_hold_what_generators_write(keys: Keys, door: Authenticator, changes: ChangeFeed) -> None:
    presented = "cmg_boot_0a-B_cD3-_e4F5g6"
    await keys.ensure_bootstrap(presented)
    await changes.look()
    assert (await door.authenticate(f"Bearer {presented}", None, "")).key_id == "boot"


async def test_ensuring_it_again_changes_nothing(keys: Keys, audit: AuditTrail) -> None:
    for _ in range(3):
        await keys.ensure_bootstrap(A)
    assert len((await audit.list(Wanted(None))).items) == 1


async def test_another_secret_replaces_it_at_once(keys: Keys, door: Authenticator, changes: ChangeFeed, clock) -> None:
    await keys.ensure_bootstrap(A)
    clock.advance(1)
    await keys.ensure_bootstrap(B)
    await changes.look()
    assert (await door.authenticate(f"Bearer {B}", None, "")).key_id == "boot"
    with pytest.raises(Unauthenticated):
        await door.authenticate(f"Bearer {A}", None, "")
    await keys.ensure_bootstrap(A)
    await changes.look()
    assert (await door.authenticate(f"Bearer {A}", None, "")).key_id == "boot"


@pytest.mark.parametrize("present", [None, "cmg_next_" + "n" * 32])
async def test_a_former_bootstrap_key_is_revoked(keys: Keys, present: str | None) -> None:
    await keys.ensure_bootstrap(A)
    await keys.ensure_bootstrap(present)
    assert (await keys.get(COMMAND_LINE, "boot")).status == "revoked"
    await keys.ensure_bootstrap(A)
    assert (await keys.get(COMMAND_LINE, "boot")).status == "active"


@pytest.mark.parametrize("odd", ["", "secret", "cmg_boot_short", "cmg__" + "a" * 32, "cmg_b-t_" + "a" * 32, A + "\n"])
async def test_a_malformed_one_stops_the_start_and_says_the_form(keys: Keys, odd: str) -> None:
    with pytest.raises(InvalidRequest, match="cmg_<id>_<secret>") as caught:
        await keys.ensure_bootstrap(odd)
    assert caught.value.param == "CMG_BOOTSTRAP_KEY"


async def test_it_never_takes_over_another_key(keys: Keys) -> None:
    made = await keys.create(COMMAND_LINE, {"name": "k"})
    with pytest.raises(Conflict, match="another"):
        await keys.ensure_bootstrap(f"cmg_{made.key.id}_" + "a" * 32)


async def test_only_the_setting_ends_it(keys: Keys) -> None:
    await keys.ensure_bootstrap(A)
    for attempt in (keys.revoke, keys.suspend, keys.rotate):
        with pytest.raises(Conflict, match="CMG_BOOTSTRAP_KEY"):
            await attempt(COMMAND_LINE, "boot")


async def test_first_keys_are_made_once_in_any_order(keys: Keys, door: Authenticator) -> None:
    await keys.ensure_bootstrap(A)
    admin, first = await keys.ensure_admin_key(), await keys.ensure_first_key()
    assert (await door.authenticate(f"Bearer {admin}", None, "")).scopes == {"admin:all"}
    assert (await door.authenticate(f"Bearer {first}", None, "")).scopes == set(APPLICATION_SCOPES)
    assert (await keys.ensure_admin_key(), await keys.ensure_first_key()) == (None, None)


async def test_revoked_first_keys_do_not_come_back(keys: Keys, clock) -> None:
    for presented in (await keys.ensure_admin_key(), await keys.ensure_first_key()):
        await keys.revoke(COMMAND_LINE, str(presented).split("_")[1])
    clock.advance(500 * 86_400)
    await keys.purge()
    assert (await keys.ensure_admin_key(), await keys.ensure_first_key()) == (None, None)


async def test_no_first_key_where_somebody_made_one(keys: Keys) -> None:
    await keys.create(COMMAND_LINE, {"name": "k"})
    assert await keys.ensure_first_key() is None
    assert await keys.ensure_admin_key() is not None


async def test_services_that_start_at_once_make_one_of_each(keys: Keys) -> None:
    made = await asyncio.gather(
        *(keys.ensure_first_key() for _ in range(4)),
        *(keys.ensure_admin_key() for _ in range(4)),
        *(keys.ensure_bootstrap(A) for _ in range(4)),
    )
    assert sum(one is not None for one in made) == 2
    assert len((await keys.list(COMMAND_LINE, KeysWanted())).items) == 3
