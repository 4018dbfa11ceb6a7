"""Users of one key, tried with another key of the same workspace; what administrators read of somebody is audited."""

import asyncio
import secrets
import time
import uuid
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from support.api import Answer, Api
from support.service import Service

SCOPES = ["chat", "memory:read", "memory:write"]
MCP = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-06-18"}
TOLD = "The treasure is under the oak"


@pytest.fixture
def workspace(service: Service) -> str:
    """A workspace of the test's own."""
    name = f"keys-{secrets.token_hex(6)}"
    service.call("POST", "/admin/v1/workspaces", {"id": name, "name": "Keys"})
    return name


@pytest.fixture
def key(service: Service, workspace: str) -> str:
    """The key that stores."""
    return service.new_key(workspace=workspace, scopes=SCOPES)


@pytest.fixture
def other(service: Service, workspace: str) -> str:
    """Another key of the same workspace."""
    return service.new_key(workspace=workspace, scopes=SCOPES)


async def _set(api: Api, workspace: str, **policy: Any) -> None:
    answer = await api.request("PATCH", f"/admin/v1/workspaces/{workspace}", {"memory": policy})
    assert answer.status == 200, answer.body
    await asyncio.sleep(2.5)  # as long as a process may not know of it


async def _store(api: Api, user: str, key: str) -> dict[str, str]:
    message = {"role": "user", "content": TOLD, "id": "m1"}
    body = {"user_id": user, "thread_id": "map", "agent_id": user, "messages": [message], "wait": True}
    said = (await api.post("/v1/ingest", body, key=key)).json
    written = {"user_id": user, "thread_id": "map", "content": "Likes oaks"}
    memory = (await api.post("/v1/memories", written, key=key)).json["items"][0]["id"]
    added = {"messages": [{"role": "user", "content": "Added"}], "user_id": user, "agent_id": user}
    event = (await api.post("/v3/memories/add/", added, key=key)).json["event_id"]
    return {"said": said["items"][0]["id"], "memory": memory, "operation": said["operation_id"], "event": event}


def _by_user(user: str) -> list[tuple[str, str, Any]]:
    filters = {"filters": {"user_id": user}}
    return [
        ("GET", f"/v1/memories?user_id={user}", None),
        ("POST", "/v1/memories", {"user_id": user, "content": "Forged"}),
        ("POST", "/v1/memories/search", {"user_id": user, "query": "oak"}),
        ("DELETE", f"/v1/memories?user_id={user}", None),
        ("POST", "/v1/ingest", {"user_id": user, "content": "Forged"}),
        ("POST", "/v1/recall", {"user_id": user, "query": "oak treasure"}),
        ("POST", "/v1/workingset", {"user_id": user, "query": "oak treasure"}),
        ("GET", f"/v1/threads?user_id={user}", None),
        ("GET", f"/v1/threads/map?user_id={user}", None),
        ("DELETE", f"/v1/threads/map?user_id={user}", None),
        ("POST", "/v1/export", {"user_id": user}),
        ("POST", "/v1/erase", {"user_id": user}),
        ("POST", "/v3/memories/add/", {"messages": [{"role": "user", "content": "Forged"}], "user_id": user}),
        ("POST", "/v3/memories/", filters),
        ("POST", "/v3/memories/search/", {"query": "oak", **filters}),
        ("DELETE", f"/v2/entities/user/{user}/", None),
    ]


def _by_id(ids: dict[str, str]) -> list[tuple[str, str, Any]]:
    tries: list[tuple[str, str, Any]] = []
    for item in (ids["said"], ids["memory"]):
        tries += [
            ("GET", f"/v1/memories/{item}", None),
            ("GET", f"/v1/memories/{item}/history", None),
            ("PUT", f"/v1/memories/{item}", {"content": "Forged"}),
            ("DELETE", f"/v1/memories/{item}", None),
            ("GET", f"/v1/expand/{item}", None),
            ("GET", f"/v1/expand/{item}/raw", None),
            ("POST", "/v1/feedback", {"item_id": item, "feedback_type": "outdated"}),
            ("PUT", "/v1/batch/", {"memories": [{"memory_id": item, "text": "Forged"}]}),
            ("DELETE", "/v1/batch/", {"memories": [{"memory_id": item}]}),
        ]
    return [*tries, ("GET", f"/v1/operations/{ids['operation']}", None), ("GET", f"/v1/event/{ids['event']}/", None)]


async def _exported(api: Api, user: str, key: str) -> list[bytes]:
    return (await api.post("/v1/export", {"user_id": user}, key=key)).body.splitlines()[1:]


async def test_no_route_opens_another_keys_user(api: Api, user: str, key: str, other: str) -> None:
    ids = await _store(api, user, key)
    before = await _exported(api, user, key)
    for method, path, body in _by_user(user):
        answer = await api.request(method, path, body, key=other)
        assert (answer.status, answer.error["code"]) == (403, "user_of_another_key"), (method, path, answer.body)
        assert b"oak" not in answer.body
    for method, path, body in _by_id(ids):
        answer = await api.request(method, path, body, key=other)
        assert answer.status == 404, (method, path, answer.body)
        assert b"oak" not in answer.body
    assert await _exported(api, user, key) == before


async def test_another_keys_id_is_answered_as_one_that_nobody_has(
    api: Api, service: Service, workspace: str, user: str, key: str, other: str
) -> None:
    ids = await _store(api, user, key)
    nobody = dict.fromkeys(ids, str(uuid.uuid4()))
    prefixed = service.new_key(workspace=workspace, scopes=SCOPES, user_prefix="team-")
    for one, none in zip(_by_id(ids), _by_id(nobody), strict=True):
        for asking in (other, prefixed):
            taken, missing = [await api.request(*tried, key=asking) for tried in (one, none)]
            assert (taken.status, taken.body) == (missing.status, missing.body), one[:2]


async def test_lists_over_all_users_leave_another_keys_users_out(api: Api, user: str, key: str, other: str) -> None:
    await _store(api, user, key)
    for path, more in (("/v3/memories/", {}), ("/v3/memories/search/", {"query": "oak"})):
        for filters in ({"agent_id": user}, {"run_id": "map"}):
            found = await api.post(path, {"filters": filters, **more}, key=other)
            assert (found.status, found.json["results"]) == (200, []), (path, filters)
    assert (await api.get("/v1/entities/", key=other)).json["results"] == []
    assert {one["type"] for one in (await api.get("/v1/entities/", key=key)).json["results"]} == {
        "user",
        "agent",
        "run",
    }
    gone = await api.request("DELETE", f"/v1/memories?agent_id={user}", key=other)
    assert gone.json == {"turns": 0, "facts": 0}
    assert (await api.request("DELETE", f"/v2/entities/agent/{user}/", key=other)).status == 200
    assert len((await api.get(f"/v1/memories?user_id={user}", key=key)).json["items"]) == 3


async def test_a_call_for_another_keys_user_goes_on_without_memory(api: Api, user: str, key: str, other: str) -> None:
    await _store(api, user, key)
    said = await api.chat("sim/memory", user=user, key=key, messages=[{"role": "user", "content": "treasure oak?"}])
    assert "oak" in said.text
    for _ in range(10):
        walled = await api.chat("sim/memory", "treasure oak?", user=user, key=other)
        assert (walled.status, walled.headers["x-cmg-memory-items"]) == (200, "0")
        if walled.headers["x-cmg-memory-status"] != "degraded":  # a busy machine may miss the deadline
            break
    assert walled.headers["x-cmg-memory-status"] == "other_key"
    hidden = [{"role": "user", "content": "Forged by a call"}]
    written = await api.chat("sim/echo", user=user, key=other, messages=hidden, memory={"mode": "write"})
    assert written.status == 200
    await asyncio.sleep(1.5)
    assert b"Forged" not in b"".join(await _exported(api, user, key))


async def test_a_workspace_may_share_its_users_and_administrators_reach_all(
    api: Api, service: Service, workspace: str, user: str, key: str, other: str
) -> None:
    await _store(api, user, key)
    admin = service.new_key(workspace=workspace, scopes=["admin"])
    assert len((await api.get(f"/v1/memories?user_id={user}", key=admin)).json["items"]) == 3
    ours = f"{user}-of-all"
    await _store(api, ours, admin)
    assert len((await api.get(f"/v1/memories?user_id={ours}", key=other)).json["items"]) == 3
    await _set(api, workspace, shared=True)
    assert len((await api.get(f"/v1/memories?user_id={user}", key=other)).json["items"]) == 3
    assert (await api.post("/v1/recall", {"user_id": user, "query": "oak"}, key=other)).json["items"]
    await _set(api, workspace, shared=False)
    assert (await api.get(f"/v1/memories?user_id={user}", key=other)).status == 403


async def test_what_administrators_read_of_somebody_is_audited_without_the_persons_id(
    api: Api, service: Service, workspace: str, user: str, key: str
) -> None:
    ids = await _store(api, user, key)
    made = service.new_key_full(workspace=workspace, scopes=["admin"])
    admin, actor = made["key"], f"key:{made['id']}"
    why = {"x-cmg-reason": f"Ticket 7 of {user}", "authorization": f"Bearer {admin}"}
    for _ in range(3):
        assert (await api.request("GET", f"/v1/memories?user_id={user}", headers=why)).status == 200
    assert (await api.get(f"/v1/expand/{ids['memory']}", key=admin)).status == 200
    assert (await api.get(f"/v1/memories?user_id={user}", key=key)).status == 200
    trail = (await api.get(f"/admin/v1/audit?workspace={workspace}&action=memory.sensitive_read")).json["items"]
    assert {(one["actor"], one["details"]["read"]) for one in trail} == {(actor, "item"), (actor, "list")}
    assert len(trail) <= 4  # each of the two workers notes a visit once
    (subject,) = {one["target"] for one in trail}
    assert subject.startswith("user:")
    assert {one["details"]["reason"] for one in trail} == {None, f"Ticket 7 of {subject}"}
    assert user not in str(trail)
    head = (await api.post("/v1/export", {"user_id": user}, key=key)).body.splitlines()[0]
    assert subject.removeprefix("user:").encode() in head


async def test_a_workspace_may_want_a_reason(api: Api, service: Service, workspace: str, user: str, key: str) -> None:
    await _store(api, user, key)
    admin = service.new_key(workspace=workspace, scopes=["admin"])
    await _set(api, workspace, reason_required=True)
    refused = await api.get(f"/v1/memories?user_id={user}", key=admin)
    assert (refused.status, refused.error["code"]) == (403, "reason_required")
    changed = {"importance": 0.5}  # and the answer shows the rest
    kept = (await api.get(f"/v1/memories?user_id={user}", key=key)).json["items"][0]
    edited = await api.request("PUT", f"/v1/memories/{kept['id']}", changed, key=admin)
    assert (edited.status, edited.error["code"]) == (403, "reason_required")
    tool = {"name": "update_memory", "arguments": {"memory_id": kept["id"], "content": kept["content"]}}
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": tool}
    answer = await api.request("POST", "/mcp", asked, key=admin, headers=MCP)
    assert "reason_required" in answer.body.decode()
    why = {"x-cmg-reason": "Ticket 7", "authorization": f"Bearer {admin}"}
    assert (await api.request("GET", f"/v1/memories?user_id={user}", headers=why)).status == 200
    long = {**why, "x-cmg-reason": "x" * 201}
    assert (await api.request("GET", f"/v1/memories?user_id={user}", headers=long)).status == 400


async def test_a_user_speaks_with_a_token_of_their_own(
    api: Api, service: Service, workspace: str, user: str, key: str
) -> None:
    private = Ed25519PrivateKey.generate()
    pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    await _set(api, workspace, user_token_key=pem, user_token_required=True)
    mine = jwt.encode({"sub": user, "exp": time.time() + 60}, private, "EdDSA")

    async def send(path: str, body: Any, token: str | None) -> Answer:
        told = {} if token is None else {"x-cmg-user-token": token}
        return await api.request("POST", path, body, headers={"authorization": f"Bearer {key}", **told})

    stored = {"user_id": user, "content": TOLD}
    assert (await send("/v1/memories", stored, None)).error["code"] == "user_token_missing"
    assert (await send("/v1/memories", stored, "x.y.z")).error["code"] == "user_token_invalid"
    (item,) = (await send("/v1/memories", stored, mine)).json["items"]
    theirs = await send("/v1/recall", {"user_id": f"{user}-2", "query": "oak"}, mine)
    assert (theirs.status, theirs.error["code"]) == (403, "user_not_of_token")
    assert (await api.get(f"/v1/memories/{item['id']}", key=key)).status == 404
    call = {"model": "sim/memory", "user": user, "messages": [{"role": "user", "content": "treasure oak?"}]}
    assert (await send("/v1/chat/completions", call, None)).error["code"] == "user_token_missing"
    assert "oak" in (await send("/v1/chat/completions", call, mine)).text
    nobody = {**call, "user": None}
    assert (await send("/v1/chat/completions", nobody, None)).status == 200
    admin = service.new_key(workspace=workspace, scopes=["admin"])
    assert (await api.get(f"/v1/memories/{item['id']}", key=admin)).status == 200
