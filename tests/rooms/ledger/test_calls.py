"""Single calls: pages by cursor over workspaces, filters, walls; what is wrong names its parameter."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from cmg.identity.models import Workspace
from cmg.kit.ids import uuid7_hex
from cmg.ledger.reports.call_routes import router
from cmg.ledger.reports.calls import Calls
from cmg.ledger.usage_sink import UsageSink
from cmg.storage.database import Database
from rooms.ledger.spools import AT, usage_payload
from support.manual_clock import ManualClock
from support.one_router import asked

WORKSPACES = {name: Workspace(id=name, name=name) for name in ("default", "other")}
Get = Callable[..., Any]


@pytest.fixture
async def get(database: Database, clock: ManualClock):
    """GET /admin/v1/requests… as a key with these scopes in that workspace."""
    async with asked(router(Calls(database, lambda: WORKSPACES, clock)), WORKSPACES) as client:

        async def call(path: str = "", headers: dict | None = None, **query: Any) -> httpx.Response:
            query = {name.rstrip("_"): value for name, value in query.items()}
            return await client.get(f"/requests{path}", params=query, headers=headers or {})

        yield call


async def _store(database: Database, *payloads: bytes) -> None:
    async with database.transaction() as conn:
        await UsageSink().write(conn, payloads)


async def test_pages_go_on_by_their_cursor_over_workspaces_newest_first(database: Database, get: Get) -> None:
    spread = [("default", AT), ("other", AT + 1), ("default", AT + 2), ("default", AT + 2), ("other", AT + 2)]
    await _store(database, *(usage_payload(workspace_id=name, at=at) for name, at in spread))
    seen, cursor = [], None
    for _ in range(3):
        answer = (await get(limit=2, **({"cursor": cursor} if cursor else {}))).json()
        seen += answer["items"]
        cursor = answer["next"]
    assert cursor is None
    assert len({one["id"] for one in seen}) == 5
    assert [(one["at"], one["id"]) for one in seen] == sorted(((one["at"], one["id"]) for one in seen), reverse=True)


async def test_a_key_sees_its_own_workspace_only(database: Database, get: Get) -> None:
    theirs, own = uuid7_hex(), uuid7_hex()
    await _store(database, usage_payload(workspace_id="other", id=theirs), usage_payload(id=own))
    admin = {"scopes": "admin"}
    assert [one["id"] for one in (await get(headers=admin)).json()["items"]] == [own]
    assert (await get(headers=admin, workspace="other")).status_code == 403
    assert (await get(f"/{theirs}", headers=admin)).status_code == 404
    assert (await get(f"/{own}", headers=admin)).json()["id"] == own
    assert (await get(f"/{theirs}")).json()["workspace"] == "other"


async def test_a_models_calls_are_also_those_that_it_did_not_answer(database: Database, get: Get) -> None:
    failed = uuid7_hex()
    await _store(
        database,
        usage_payload(id=failed, model_asked="far/ann/big", upstream="far", status="error"),
        usage_payload(model_asked="near/ann/big", upstream="far", status="error"),
    )
    for name in ("ann/big", "far/ann/big"):
        assert [one["id"] for one in (await get(model=name)).json()["items"]] == [failed]


async def test_filters_hold_together(database: Database, get: Get) -> None:
    wanted = uuid7_hex()
    await _store(
        database,
        usage_payload(id=wanted, user_id="ann", status="error", model_answered="real", cost_nano=1_500_000),
        usage_payload(user_id="ann"),
        usage_payload(user_id="bob", status="error"),
        usage_payload(user_id="ann", status="error", at=AT - 7 * 86_400),
    )
    found = (await get(user="ann", status="error", model="real", key="k1", from_="2026-11-24", to="2026-11-24")).json()
    assert [(one["id"], one["cost_usd"]) for one in found["items"]] == [(wanted, 0.0015)]
    assert (await get(to="2026-11-23", user="ann")).json()["items"][0]["at"] == "2026-11-17T12:00:00.000Z"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "0"), ("limit", "many"), ("cursor", "x"), ("cursor", "2026-11-24T12:00:00~x"), ("status", "good"),
        ("from", "soon"), ("to", "2026-11-24T12:00:00"), ("user", "a\0b"),
    ],
)  # fmt: skip
async def test_what_is_wrong_names_its_parameter(get: Get, name: str, value: str) -> None:
    answer = await get(**{name: value})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, name)


async def test_an_id_that_is_none_and_a_workspace_that_is_not_there(get: Get) -> None:
    assert (await get("/nothing")).json()["error"]["param"] == "id"
    assert (await get(f"/{uuid7_hex()}")).status_code == 404
    assert (await get(workspace="nowhere")).status_code == 404
