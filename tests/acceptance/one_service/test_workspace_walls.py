"""Every id of one workspace, tried with another workspace's key on every route that takes one."""

import uuid
from typing import Any

import pytest

from support.api import Api
from support.service import Service

OTHER = "walls-other"


@pytest.fixture(scope="module")
def stranger(service: Service) -> str:
    """A key of another workspace that may do everything there."""
    service.call("POST", "/admin/v1/workspaces", {"id": OTHER, "name": "Other"})
    return service.new_key(workspace=OTHER, scopes=["chat", "memory:read", "memory:write", "admin"])


async def _everything(api: Api, user: str) -> dict[str, str]:
    """One of each thing that has an id, in the first workspace."""
    message = {"role": "user", "content": "The treasure is under the oak", "id": "m1"}
    body = {"user_id": user, "thread_id": "map", "agent_id": user, "messages": [message], "wait": True}
    said = (await api.post("/v1/ingest", body)).json
    written = {"user_id": user, "thread_id": "map", "agent_id": user, "content": "Likes oaks"}
    memory = (await api.post("/v1/memories", written)).json["items"][0]["id"]
    edited = await api.request("PUT", f"/v1/memories/{memory}", {"content": "Loves oaks"})
    assert edited.status == 200
    versions = (await api.get(f"/v1/memories/{memory}/history")).json["items"]
    older = next(one["id"] for one in versions if one["id"] != memory)
    added = {"messages": [{"role": "user", "content": "Added"}], "user_id": user, "agent_id": user}
    event = (await api.post("/v3/memories/add/", added)).json["event_id"]
    return {
        "said": said["items"][0]["id"],
        "memory": memory,
        "older": older,
        "operation": said["operation_id"],
        "event": event,
    }


def _by_item(item: str) -> list[tuple[str, str, Any]]:
    return [
        ("GET", f"/v1/memories/{item}", None),
        ("GET", f"/v1/memories/{item}/", None),
        ("GET", f"/v1/memories/{item}/history", None),
        ("PUT", f"/v1/memories/{item}", {"content": "taken over"}),
        ("DELETE", f"/v1/memories/{item}", None),
        ("GET", f"/v1/expand/{item}", None),
        ("GET", f"/v1/expand/{item}/raw", None),
        ("POST", "/v1/feedback", {"item_id": item, "feedback_type": "outdated"}),
        ("PUT", "/v1/batch/", {"memories": [{"memory_id": item, "text": "taken over"}]}),
        ("DELETE", "/v1/batch/", {"memories": [{"memory_id": item}]}),
    ]


def _as_mem0(body: Any) -> Any:
    """The same as mem0's client sends it."""
    if body and "feedback_type" in body:
        return {"memory_id": body["item_id"], "feedback": "NEGATIVE"}
    return {"text": body["content"]} if body and "content" in body else body


@pytest.mark.parametrize("scheme", ["Bearer", "Token"])
async def test_no_id_of_another_workspace_opens_anything(api: Api, user: str, stranger: str, scheme: str) -> None:
    ids = await _everything(api, user)
    before = (await api.post("/v1/export", {"user_id": user})).body.splitlines()[1:]
    headers = {"authorization": f"{scheme} {stranger}"}
    tries = [one for name in ("said", "memory", "older") for one in _by_item(ids[name])]
    tries += [("GET", f"/v1/operations/{ids['operation']}", None), ("GET", f"/v1/event/{ids['event']}/", None)]
    tries += [("GET", f"/v1/threads/map?user_id={user}", None), ("DELETE", f"/v1/threads/map?user_id={user}", None)]
    for method, path, body in tries:
        answer = await api.request(method, path, _as_mem0(body) if scheme == "Token" else body, headers=headers)
        assert answer.status == 404, (method, path, answer.status, answer.body)
        assert b"oak" not in answer.body
    assert (await api.post("/v1/export", {"user_id": user})).body.splitlines()[1:] == before


async def test_no_name_of_another_workspace_finds_or_deletes_anything(api: Api, user: str, stranger: str) -> None:
    ids = await _everything(api, user)
    named = {"user_id": user, "agent_id": user}
    lists = [
        await api.get(f"/v1/memories?user_id={user}", key=stranger),
        await api.get(f"/v1/threads?user_id={user}", key=stranger),
        await api.post("/v1/memories/search", {"user_id": user, "query": "oak"}, key=stranger),
        await api.post("/v1/recall", {"user_id": user, "query": "oak treasure"}, key=stranger),
    ]
    assert [one.json["items"] for one in lists] == [[], [], [], []]
    working = await api.post("/v1/workingset", {"user_id": user, "thread_id": "map", "query": "oak"}, key=stranger)
    assert (working.status, working.json["tokens_used"], b"oaks" in working.body) == (200, 0, False)
    for filters in (
        {"user_id": user},
        {"agent_id": user},
        {"run_id": "map"},
        {"OR": [{"user_id": user}, {"run_id": "map"}]},
    ):
        for path, more in (("/v3/memories/", {}), ("/v3/memories/search/", {"query": "oak"})):
            found = await api.post(path, {"filters": filters, **more}, key=stranger)
            assert found.json["results"] == [], (path, filters)
    entities = (await api.get("/v1/entities/", key=stranger)).json["results"]
    assert user not in {one["name"] for one in entities}
    exported = await api.post("/v1/export", {"user_id": user}, key=stranger)
    assert b"oak" not in exported.body
    for field in named:
        assert (await api.request("DELETE", f"/v1/memories?{field}={user}", key=stranger)).json == {
            "turns": 0,
            "facts": 0,
        }
    assert (await api.request("DELETE", f"/v2/entities/agent/{user}/", key=stranger)).status == 200
    receipt = (await api.post("/v1/erase", {"user_id": user}, key=stranger)).json
    assert set(receipt["erased"].values()) == {0}
    assert (await api.get(f"/v1/memories/{ids['memory']}")).json["content"] == "Loves oaks"
    assert len((await api.get(f"/v1/memories?user_id={user}")).json["items"]) == 3


async def test_scopes_hold_on_every_route(api: Api, service: Service, user: str) -> None:
    item, nobody = str(uuid.uuid4()), service.new_key(scopes=["models"])
    tries = [
        *_by_item(item),
        ("GET", f"/v1/memories?user_id={user}", None),
        ("POST", "/v1/memories", {"user_id": user, "content": "x"}),
        ("POST", "/v1/memories/search", {"user_id": user, "query": "x"}),
        ("DELETE", f"/v1/memories?user_id={user}", None),
        ("GET", f"/v1/threads?user_id={user}", None),
        ("GET", f"/v1/threads/t?user_id={user}", None),
        ("DELETE", f"/v1/threads/t?user_id={user}", None),
        ("POST", "/v1/export", {"user_id": user}),
        ("POST", "/v1/erase", {"user_id": user}),
        ("POST", "/v3/memories/add/", {"messages": [{"role": "user", "content": "x"}], "user_id": user}),
        ("POST", "/v3/memories/", {"filters": {"user_id": user}}),
        ("POST", "/v3/memories/search/", {"query": "x", "filters": {"user_id": user}}),
        ("GET", "/v1/entities/", None),
        ("DELETE", f"/v2/entities/user/{user}/", None),
        ("GET", f"/v1/event/{item}/", None),
    ]
    for method, path, body in tries:
        answer = await api.request(method, path, body, key=nobody)
        assert (answer.status, answer.error["code"]) == (403, "missing_scope"), (method, path)
        assert (await api.request(method, path, body, key="")).status == 401, (method, path)
