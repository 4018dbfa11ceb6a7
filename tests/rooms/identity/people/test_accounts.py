"""What administrators do with accounts, and what they cannot: more than their own role, or leaving nobody."""

import asyncio

import pytest

from cmg.audit.trail import Wanted
from cmg.kit.errors import Conflict
from support.people import PASSWORD, ROOT, Town


async def test_an_invited_person_chooses_a_password_and_signs_in(town: Town) -> None:
    owner = await town.signed_in("olga@example.org", "owner")
    invited = (await owner.post("/accounts", json={"email": "Ada@example.org", "role": "member"})).json()
    assert (invited["status"], invited["email"], invited["name"]) == ("invited", "ada@example.org", "ada")
    assert (await town.browser().sign_in("ada@example.org")).status_code == 401
    form = {"token": invited["token"], "password": PASSWORD, "name": "Ada L."}
    accepted = await town.browser().post("/invitations/accept", json=form)
    assert (accepted.status_code, accepted.json()["status"], accepted.json()["name"]) == (200, "active", "Ada L.")
    assert (await town.browser().sign_in("ada@example.org")).status_code == 200
    again = await town.browser().post("/invitations/accept", json=form)
    assert (again.status_code, again.json()["error"]["param"]) == (400, "token"), "a link works once"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"role": "member"}, "email"),
        ({"email": "ada", "role": "member"}, "email"),
        ({"email": "a@b", "role": "king"}, "role"),
        ({"email": "a@b"}, "role"),
        ({"email": "a@b", "role": "member", "colour": 1}, "colour"),
        ({"email": "a@b\u0000", "role": "member"}, "email"),
    ],
)
async def test_a_wrong_invitation_names_its_field(town: Town, body: dict, param: str) -> None:
    root = await town.signed_in("root@example.org", "admin")
    answer = await root.post("/accounts", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param), answer.text


async def test_an_address_has_one_account(town: Town) -> None:
    root = await town.signed_in("root@example.org", "admin")
    answer = await root.post("/accounts", json={"email": "ROOT@example.org", "role": "member"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (409, "email")


async def test_an_owner_never_gives_or_touches_a_greater_role(town: Town) -> None:
    owner = await town.signed_in("olga@example.org", "owner")
    root = await town.account("root@example.org", "admin")
    assert (await owner.post("/accounts", json={"email": "e@x.org", "role": "admin"})).status_code == 403
    for method, path, body in (
        ("PATCH", f"/accounts/{root}", {"name": "x"}),
        ("POST", f"/accounts/{root}/reset", None),
        ("POST", f"/accounts/{root}/disable", None),
        ("DELETE", f"/accounts/{root}", None),
    ):
        answer = await owner.request(method, path, json=body)
        assert answer.status_code == 403, (method, path, answer.text)
    member = await town.account("mia@example.org")
    assert (await owner.patch(f"/accounts/{member}", json={"role": "admin"})).status_code == 403
    assert (await owner.patch(f"/accounts/{member}", json={"role": "owner"})).status_code == 200


async def test_nobody_changes_their_own_role_or_locks_themselves_out(town: Town) -> None:
    root = await town.signed_in("root@example.org", "admin")
    await town.account("second@example.org", "admin")
    own = (await root.get("/me")).json()["id"]
    assert (await root.patch(f"/accounts/{own}", json={"role": "owner"})).status_code == 403
    assert (await root.post(f"/accounts/{own}/disable")).status_code == 403
    assert (await root.delete(f"/accounts/{own}")).status_code == 403
    assert (await root.patch(f"/accounts/{own}", json={"name": "Root"})).json()["name"] == "Root"


async def test_one_administrator_always_stays_also_when_two_go_at_once(town: Town) -> None:
    first = await town.account("a@example.org", "admin")
    with pytest.raises(Conflict, match="last administrator"):
        await town.people.accounts.disable(ROOT, first)
    second = await town.account("b@example.org", "admin")
    accounts = town.people.accounts
    gone = await asyncio.gather(
        accounts.disable(ROOT, first), accounts.update(ROOT, second, {"role": "owner"}), return_exceptions=True
    )
    assert sum(isinstance(one, Exception) for one in gone) == 1, gone


async def test_another_role_ends_the_sessions(town: Town) -> None:
    browser = await town.signed_in("mia@example.org", "owner")
    mia = (await browser.get("/me")).json()["id"]
    await town.people.accounts.update(ROOT, mia, {"name": "Mia"})
    assert (await browser.get("/me")).status_code == 200
    await town.people.accounts.update(ROOT, mia, {"role": "read_only"})
    assert (await browser.get("/me")).status_code == 401
    assert town.count("authz_change") == 1


async def test_a_disabled_account_is_out_at_once_and_back_when_enabled(town: Town) -> None:
    browser = await town.signed_in("mia@example.org")
    mia = (await browser.get("/me")).json()["id"]
    link = await town.people.accounts.reset(ROOT, mia)
    await town.people.accounts.disable(ROOT, mia)
    assert (await browser.get("/me")).status_code == 401
    with pytest.raises(Conflict, match="disabled"):
        await town.people.accounts.reset(ROOT, mia)
    form = {"token": link.token, "password": "yellow bicycle forty walnuts"}
    assert (await town.browser().post("/password/reset", json=form)).status_code == 400
    await town.people.accounts.enable(ROOT, mia)
    assert (await town.browser().sign_in("mia@example.org")).status_code == 200
    assert (await browser.get("/me")).status_code == 401, "the old session stays ended"


async def test_a_deleted_account_leaves_only_its_traces_in_the_trail(town: Town) -> None:
    browser = await town.signed_in("mia@example.org")
    mia = (await browser.get("/me")).json()["id"]
    await town.people.accounts.delete(ROOT, mia)
    assert (await browser.get("/me")).status_code == 401
    rows = "SELECT (SELECT count(*) FROM accounts) + (SELECT count(*) FROM sessions)"
    assert await town.database.fetchval(rows) == 0
    actions = [entry.action for entry in (await town.audit.list(Wanted(None, target=mia))).items]
    assert actions == ["account.delete", "account.login", "account.password", "account.invite"]


async def test_lists_are_paged_and_show_no_secret(town: Town) -> None:
    root = await town.signed_in("root@example.org", "admin")
    for number in range(3):
        town.clock.advance(1)
        await town.account(f"p{number}@example.org")
    first = (await root.get("/accounts", params={"limit": 2})).json()
    second = (await root.get("/accounts", params={"limit": 2, "cursor": first["next"]})).json()
    emails = [one["email"] for one in (*first["items"], *second["items"])]
    assert emails == ["p2@example.org", "p1@example.org", "p0@example.org", "root@example.org"]
    assert second["next"] is None
    assert "argon2" not in str(first)
    assert "password_hash" not in str(first)


async def test_every_change_is_in_the_trail_and_the_trail_holds(town: Town) -> None:
    owner = await town.signed_in("olga@example.org", "owner")
    made = (await owner.post("/accounts", json={"email": "e@x.org", "role": "member"})).json()
    await owner.patch(f"/accounts/{made['id']}", json={"role": "read_only"})
    await owner.post(f"/accounts/{made['id']}/disable")
    await owner.delete(f"/accounts/{made['id']}")
    entries = (await town.audit.list(Wanted("default", target=made["id"]))).items
    assert [entry.action for entry in entries] == [
        "account.delete",
        "account.disable",
        "account.update",
        "account.invite",
    ]
    assert made["token"] not in str(entries)
    assert {entry.actor for entry in entries} == {f"account:{(await owner.get('/me')).json()['id']}"}
    assert (await town.audit.verify()).ok
