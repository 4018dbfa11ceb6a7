"""Nobody gets more than they have, and workspaces do not see each other."""

import asyncpg
import pytest

from cmg.identity.keys import Keys, KeysWanted
from cmg.identity.models import COMMAND_LINE, Actor, ApiKey, Caller, Workspace
from cmg.identity.workspaces import Workspaces
from cmg.kit.errors import Conflict, Forbidden, InvalidRequest, NotFound
from cmg.kit.scopes import covers
from cmg.storage.database import Database


@pytest.fixture
async def stranger(workspaces: Workspaces) -> Actor:
    """The administrator of another workspace."""
    await workspaces.create(COMMAND_LINE, {"id": "other", "name": "Other"})
    return Actor("key:str", frozenset({"admin"}), "other", "127.0.0.1", "str")


def test_scopes_include_each_other_downwards_only() -> None:
    assert covers({"admin:all"}, "admin:all")
    assert covers({"admin:all"}, "chat")
    assert covers({"admin"}, "metrics")
    assert not covers({"admin"}, "admin:all")
    assert not covers({"chat", "metrics"}, "admin")


async def test_an_administrator_never_grants_admin_all(keys: Keys, admin: Actor) -> None:
    with pytest.raises(Forbidden) as caught:
        await keys.create(admin, {"name": "k", "scopes": ["chat", "admin:all"]})
    assert caught.value.param == "scopes"
    made = await keys.create(admin, {"name": "k", "scopes": ["admin"]})
    for attempt in (keys.update(admin, made.key.id, {"scopes": ["admin:all"]}),
                    keys.clone(admin, made.key.id, {"scopes": ["admin:all"]})):  # fmt: skip
        with pytest.raises(Forbidden):
            await attempt


async def test_an_administrator_never_gets_hold_of_a_greater_key(keys: Keys, admin: Actor, root: Actor) -> None:
    greater = (await keys.create(root, {"name": "g", "scopes": ["admin:all"]})).key.id
    attempts = (
        keys.rotate(admin, greater),
        keys.clone(admin, greater),
        keys.clone(admin, greater, {"scopes": ["chat"]}),
        keys.update(admin, greater, {"ip_allow": ["::/0"]}),
        keys.update(admin, greater, {"scopes": ["chat"]}),
        keys.suspend(admin, greater),
        keys.resume(admin, greater),
        keys.revoke(admin, greater),
    )
    for attempt in attempts:
        with pytest.raises(Forbidden):
            await attempt
    assert (await keys.get(root, greater)).status == "active"


@pytest.mark.parametrize(
    "fields",
    [
        {"scopes": ["chat", "admin"]},
        {"limits": None},
        {"budget": {"usd": 1000}},
        {"expires_at": None},
        {"ip_allow": None},
        {"name": "x", "models_block": []},
    ],
)
async def test_a_key_cannot_widen_its_own_rights(keys: Keys, admin: Actor, fields: dict) -> None:
    own = (await keys.create(admin, {"name": "k", "scopes": ["admin"], "budget": {"period": "day", "usd": 1}})).key.id
    itself = Actor(f"key:{own}", frozenset({"admin"}), "default", "", own)
    with pytest.raises(Forbidden, match="own"):
        await keys.update(itself, own, fields)
    assert (await keys.update(itself, own, {"name": "renamed"})).name == "renamed"
    assert (await keys.rotate(itself, own)).key.id == own


async def test_another_workspaces_keys_do_not_exist(keys: Keys, admin: Actor, stranger: Actor, root: Actor) -> None:
    here = (await keys.create(admin, {"name": "here"})).key.id
    for attempt in (keys.get, keys.rotate, keys.clone, keys.suspend, keys.resume, keys.revoke):
        with pytest.raises(NotFound):
            await attempt(stranger, here)
    with pytest.raises(NotFound):
        await keys.update(stranger, here, {"name": "mine"})
    with pytest.raises(NotFound) as caught:
        await keys.create(stranger, {"name": "k", "workspace": "default"})
    assert caught.value.param == "workspace"
    with pytest.raises(NotFound):
        await keys.list(stranger, KeysWanted(workspace="default"))
    assert not (await keys.list(stranger, KeysWanted())).items
    assert (await keys.get(root, here)).name == "here"
    assert (await keys.create(root, {"name": "k", "workspace": "other"})).key.workspace_id == "other"
    assert len((await keys.list(root, KeysWanted())).items) == 2
    assert len((await keys.list(root, KeysWanted(workspace="other"))).items) == 1


async def test_managing_keys_needs_an_administrator(keys: Keys) -> None:
    key = ApiKey(id="app", workspace_id="default", name="app")
    caller = Caller(key, Workspace(id="default", name="d"), frozenset(key.scopes), "127.0.0.1")
    with pytest.raises(Forbidden):
        await keys.create(caller, {"name": "k"})
    with pytest.raises(Forbidden):
        await keys.list(caller, KeysWanted())


async def test_a_workspace_must_exist(keys: Keys, root: Actor) -> None:
    for name in ("nowhere", "x\0", "\ud800"):
        with pytest.raises((NotFound, InvalidRequest)) as caught:
            await keys.create(root, {"name": "k", "workspace": name})
        assert caught.value.param == "workspace"


async def test_workspaces_are_made_with_admin_all_only(workspaces: Workspaces, admin: Actor, root: Actor) -> None:
    with pytest.raises(Forbidden):
        await workspaces.create(admin, {"name": "n"})
    made = await workspaces.create(root, {"id": "berlin", "name": "Berlin", "timezone": "Europe/Berlin"})
    assert (made.id, made.timezone) == ("berlin", "Europe/Berlin")
    with pytest.raises(Conflict):
        await workspaces.create(root, {"id": "berlin", "name": "again"})
    assert len((await workspaces.create(root, {"name": "no id"})).id) == 12


async def test_an_administrator_sees_and_changes_only_its_own_workspace(
    workspaces: Workspaces, admin: Actor, stranger: Actor, root: Actor
) -> None:
    assert [one.id for one in (await workspaces.list(stranger)).items] == ["other"]
    with pytest.raises(NotFound):
        await workspaces.get(stranger, "default")
    with pytest.raises(NotFound):
        await workspaces.update(stranger, "default", {"name": "mine"})
    changed = await workspaces.update(admin, "default", {"timezone": "Asia/Kolkata"})
    assert (changed.timezone, changed.name) == ("Asia/Kolkata", "Default")
    assert (await workspaces.update(admin, "default", {"timezone": None})).timezone == "UTC"
    first = await workspaces.list(root, limit=1)
    second = await workspaces.list(root, cursor=first.next, limit=1)
    assert [one.id for one in (*first.items, *second.items)] == ["default", "other"]
    assert second.next is None


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "n", "id": "Upper"}, "id"),
        ({"name": "n", "id": "../x"}, "id"),
        ({"name": "n", "timezone": "Mars/Olympus"}, "timezone"),
        ({"name": "n", "timezone": "/etc/passwd"}, "timezone"),
        ({"name": "n", "colour": "red"}, "colour"),
        ({}, "name"),
    ],
)
async def test_a_wrong_workspace_names_its_field(workspaces: Workspaces, root: Actor, fields: dict, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await workspaces.create(root, fields)
    assert caught.value.param == param


async def test_a_key_of_no_workspace_cannot_exist(database: Database, keys: Keys, admin: Actor) -> None:
    made = await keys.create(admin, {"name": "k"})
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await database.execute("UPDATE api_keys SET workspace_id = 'nowhere' WHERE id = $1", made.key.id)
