"""The control plane's routes of identity: shapes, statuses, permissions, and no 500 whatever is sent."""

import json
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response

from cmg.audit.trail import AuditTrail
from cmg.identity.keys import Keys
from cmg.identity.models import ApiKey, Caller, Workspace
from cmg.identity.routes import router
from cmg.identity.workspaces import Workspaces
from cmg.kit.errors import CmgError, InvalidRequest
from cmg.kit.permissions import permission_of, routes_of
from support.manual_clock import ManualClock

ODD = ["\0", "\ud800", "٣", "x" * 3000, "'; DROP TABLE api_keys; --", "../..", "%00"]


def _caller(*scopes: str, workspace: str = "default") -> Caller:
    key = ApiKey(id="me", workspace_id=workspace, name="me", scopes=scopes)
    return Caller(key, Workspace(id=workspace, name=workspace), frozenset(scopes), "127.0.0.1")


def _told(error: CmgError) -> Response:
    return Response(error.json(), error.status, error.headers, "application/json")


@pytest.fixture
def app(keys: Keys, workspaces: Workspaces, audit: AuditTrail, clock: ManualClock) -> FastAPI:
    """The routes with the caller that a header names, and errors mapped as the service does."""
    made = FastAPI()
    made.include_router(router(keys, workspaces, audit, clock))

    @made.middleware("http")
    async def caller(request: Request, go_on):
        scopes = request.headers.get("scopes", "admin:all").split()
        request.state.caller = _caller(*scopes, workspace=request.headers.get("workspace", "default"))
        return await go_on(request)

    @made.exception_handler(CmgError)
    async def known(_request: Request, error: CmgError) -> Response:
        return _told(error)

    @made.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return _told(InvalidRequest(first["msg"], param=".".join(str(part) for part in first["loc"][1:])))

    return made


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test/admin/v1") as made:
        yield made


async def _create(client: httpx.AsyncClient, **fields) -> dict:
    answer = await client.post("/keys", json={"name": "k", **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_created_key_is_shown_with_its_secret_once(client: httpx.AsyncClient) -> None:
    made = await _create(client)
    assert made["key"].startswith(f"cmg_{made['id']}_")
    assert (made["memory"], made["state"], made["workspace"]) == ("on", "active", "default")
    shown = (await client.get(f"/keys/{made['id']}")).json()
    assert shown == {name: value for name, value in made.items() if name != "key"}
    assert (await client.get("/keys")).json() == {"items": [shown], "next": None}


async def test_a_keys_life_over_http(client: httpx.AsyncClient) -> None:
    path = f"/keys/{(await _create(client))['id']}"
    patched = await client.patch(path, json={"limits": {"rpm": 5}, "budget": {"period": "day", "usd": 0.5}})
    assert (patched.json()["limits"]["rpm"], patched.json()["budget"]["usd"]) == (5, 0.5)
    assert (await client.patch(path, json={"budget": None})).json()["budget"] is None
    rotated = await client.post(f"{path}/rotate", json={"grace_s": 60})
    assert (rotated.status_code, rotated.json()["old_secret_until"]) == (200, "2026-11-24T12:01:00.000Z")
    assert (await client.post(f"{path}/rotate")).status_code == 200
    assert (await client.post(f"{path}/clone", json={})).status_code == 201
    assert (await client.post(f"{path}/suspend", json={"reason": "x"})).json()["suspended_reason"] == "x"
    assert (await client.post(f"{path}/resume", json={})).json()["state"] == "active"
    assert (await client.delete(path)).json()["state"] == "revoked"
    assert (await client.post(f"{path}/resume")).status_code == 409


async def test_paging_over_http(client: httpx.AsyncClient) -> None:
    for _ in range(3):
        await _create(client)
    first = (await client.get("/keys", params={"limit": 2})).json()
    second = (await client.get("/keys", params={"limit": 2, "cursor": first["next"]})).json()
    assert [len(first["items"]), len(second["items"]), second["next"]] == [2, 1, None]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"name": "k", "colour": "red"}, "colour"),
        ({}, "name"),
        ({"name": 5}, "name"),
        ({"name": "k", "limits": {"rpm": "5"}}, "limits.rpm"),
        ({"name": "k", "limits": {"rpm": -1}}, "limits.rpm"),
        ({"name": "k", "limits": {"rpd": 1}}, "limits.rpd"),
        ({"name": "k", "budget": {"period": "day", "usd": 1e400}}, "budget.usd"),
        ({"name": "k", "expires_at": "soon"}, "expires_at"),
        ({"name": "k", "ip_allow": ["x"]}, "ip_allow[0]"),
    ],
)
async def test_a_wrong_body_is_400_and_names_its_field(client: httpx.AsyncClient, body: dict, param: str) -> None:
    raw = json.dumps(body)
    answer = await client.post("/keys", content=raw, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param), answer.text


@pytest.mark.parametrize("odd", ODD)
async def test_odd_text_is_never_a_server_error(client: httpx.AsyncClient, odd: str) -> None:
    bodies = [{"name": odd}, {"name": "k", odd: 1}, {"name": "k", "workspace": odd}, {"name": "k", "tags": [odd]}]
    for path in ("/keys", "/workspaces"):
        for body in bodies:
            raw = json.dumps(body)
            answer = await client.post(path, content=raw, headers={"content-type": "application/json"})
            assert answer.status_code < 500, (path, body, answer.text)
    safe = odd.encode("utf-8", "surrogatepass").hex()
    quoted = "".join(f"%{safe[i : i + 2]}" for i in range(0, len(safe), 2))
    for path in (f"/keys/{quoted}", f"/workspaces/{quoted}"):
        assert (await client.get(path)).status_code < 500
    for name in ("cursor", "workspace", "owner", "tag", "state", "limit", "action", "actor", "target", "x"):
        for path in ("/keys", "/workspaces", "/audit"):
            answer = await client.get(f"{path}?{name}={quoted}")
            assert answer.status_code < 500, (path, name, answer.text)


@pytest.mark.parametrize(
    "raw",
    [b"", b"null", b"[]", b"{", b'"x"', b"1e999", b"\xff", b"[" * 100_000, b'{"name":' + b"9" * 5000 + b"}", b"{}\0"],
)
async def test_odd_bodies_are_never_a_server_error(client: httpx.AsyncClient, raw: bytes) -> None:
    made = await _create(client)
    for method, path in (
        ("POST", "/keys"),
        ("PATCH", f"/keys/{made['id']}"),
        ("POST", f"/keys/{made['id']}/rotate"),
        ("POST", f"/keys/{made['id']}/suspend"),
        ("POST", f"/keys/{made['id']}/clone"),
        ("POST", "/workspaces"),
    ):
        for kind in ("application/json", "text/plain"):
            answer = await client.request(method, path, content=raw, headers={"content-type": kind})
            assert answer.status_code < 500, (method, path, raw[:20], answer.text)


async def test_every_route_needs_an_administrator(app: FastAPI, client: httpx.AsyncClient) -> None:
    routes = list(routes_of(app))
    assert len(routes) >= 15
    assert {permission_of(route) for route in routes} == {"admin:read", "admin", "admin:all"}
    for scopes in ("chat metrics models", "x"):
        for path in ("/keys", "/workspaces", "/audit", "/audit/verify"):
            answer = await client.get(path, headers={"scopes": scopes})
            assert (answer.status_code, answer.json()["error"]["type"]) == (403, "permission_error")


async def test_the_trail_over_http(client: httpx.AsyncClient) -> None:
    made = await _create(client)
    await client.post("/workspaces", json={"id": "other", "name": "Other"})
    listed = (await client.get("/audit", params={"target": made["id"]})).json()
    assert [entry["action"] for entry in listed["items"]] == ["key.create"]
    assert made["key"] not in json.dumps(listed)
    theirs = await client.get("/audit", headers={"scopes": "admin", "workspace": "other"})
    assert [entry["target"] for entry in theirs.json()["items"]] == ["other"]
    verdict = await client.get("/audit/verify")
    assert (verdict.json()["ok"], verdict.json()["entries"]) == (True, 2)
    assert (await client.get("/audit/verify", headers={"scopes": "admin"})).status_code == 403


async def test_workspaces_over_http(client: httpx.AsyncClient) -> None:
    made = await client.post("/workspaces", json={"id": "other", "name": "Other"})
    assert (made.status_code, made.json()["timezone"]) == (201, "UTC")
    assert (await client.post("/workspaces", json={"id": "other", "name": "Other"})).status_code == 409
    changed = await client.patch("/workspaces/other", json={"timezone": "Europe/Berlin"})
    assert changed.json()["timezone"] == "Europe/Berlin"
    assert len((await client.get("/workspaces")).json()["items"]) == 2
    assert (await client.get("/workspaces/other", headers={"scopes": "admin"})).status_code == 404


def test_the_document_has_schemas_and_no_422(app: FastAPI) -> None:
    document = app.openapi()
    assert {"KeyForm", "KeyPatch", "MadeKeyView", "BudgetForm"} <= document["components"]["schemas"].keys()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"], path
            assert "422" not in operation["responses"], (method, path)
            assert operation["security"] == [{"key": []}]


async def test_a_workspaces_memory_policy_is_merged_shown_and_audited(client: httpx.AsyncClient) -> None:
    path = "/workspaces/default"
    first = await client.patch(path, json={"memory": {"retention_days": 30, "redact": ["phone", "email", "email"]}})
    assert first.status_code == 200, first.text
    second = await client.patch(path, json={"memory": {"holdout_share": 0.1, "retention_days": None}})
    policy = second.json()["memory"]
    assert (policy["retention_days"], policy["redact"], policy["holdout_share"]) == (None, ["email", "phone"], 0.1)
    assert (await client.get(path)).json()["memory"] == policy
    (latest, *_) = (await client.get("/audit", params={"action": "workspace.update"})).json()["items"]
    assert latest["details"]["memory"] == {"from": first.json()["memory"], "to": policy}
    assert (await client.patch(path, json={"memory": None})).json()["memory"]["redact"] is None


@pytest.mark.parametrize(
    ("memory", "param"),
    [
        ({"retention_days": -1}, "memory.retention_days"),
        ({"half_life_days": 40_000}, "memory.half_life_days"),
        ({"redact": ["names"]}, "memory.redact"),
        ({"extraction": "a-model"}, "memory.extraction"),
        ({"extraction_usd_per_day": -0.1}, "memory.extraction_usd_per_day"),
        ({"holdout_share": 1.5}, "memory.holdout_share"),
        ({"embedder": "none"}, "memory.embedder"),
    ],
)
async def test_a_wrong_memory_policy_names_its_field(client: httpx.AsyncClient, memory: dict, param: str) -> None:
    answer = await client.patch("/workspaces/default", json={"memory": memory})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"].startswith(param)
