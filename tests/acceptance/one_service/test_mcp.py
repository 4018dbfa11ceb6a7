"""MCP's official client against `/mcp`: the tools work, and keys and scopes hold."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from support.api import Api
from support.service import Service

TOOLS = [
    "add_memory",
    "search_memories",
    "get_memories",
    "get_memory",
    "update_memory",
    "delete_memory",
    "delete_all_memories",
]


@asynccontextmanager
async def connected(
    service: Service, key: str | None = None, mode: str = "auto", **headers: str | bytes
) -> AsyncIterator[Any]:
    """A client with a key, in a mode of the protocol. It is loaded here: that takes a third of a second."""
    from httpx2 import AsyncClient
    from mcp.client.client import Client
    from mcp.client.streamable_http import streamable_http_client

    own = {"authorization": f"Bearer {key or service.key}", **headers}
    async with (
        AsyncClient(headers=own, timeout=20) as http,
        Client(streamable_http_client(f"{service.url}/mcp", http_client=http), mode=mode) as client,
    ):
        yield client


async def call(client: Any, tool: str, **arguments: Any) -> dict[str, Any]:
    """A tool's result; fails when the tool says that it failed."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    return dict(result.structured_content)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_an_agent_remembers_searches_corrects_and_forgets(service: Service, user: str, mode: str) -> None:
    async with connected(service, mode=mode) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == TOOLS
        item = await call(client, "add_memory", user_id=user, content="The deploy day is Tuesday")
        found = await call(client, "search_memories", user_id=user, query="when do we deploy?")
        assert [one["id"] for one in found["items"]] == [item["id"]]
        changed = await call(client, "update_memory", memory_id=item["id"], content="The deploy day is Monday")
        assert (changed["content"], changed["version"]) == ("The deploy day is Monday", 2)
        assert (await call(client, "get_memory", memory_id=item["id"]))["content"] == "The deploy day is Monday"
        await call(client, "add_memory", user_id=user, content="Fridays are free")
        listed = await call(client, "get_memories", user_id=user, limit=1)
        assert [one["content"] for one in listed["items"]] == ["Fridays are free"]
        more = await call(client, "get_memories", user_id=user, limit=1, cursor=listed["next"])
        assert [one["id"] for one in more["items"]] == [item["id"]]
        assert (await call(client, "delete_memory", memory_id=item["id"]))["deleted"] == 1
        assert (await call(client, "delete_all_memories", user_id=user))["deleted"] == 1
        assert (await call(client, "get_memories", user_id=user))["items"] == []


async def test_the_connection_may_say_who_the_user_is(service: Service, api: Api, user: str) -> None:
    async with connected(service, **{"x-cmg-user": user}) as client:
        await call(client, "add_memory", content="Known by the header")
    listed = (await api.get(f"/v1/memories?user_id={user}")).json["items"]
    assert [one["content"] for one in listed] == ["Known by the header"]


async def test_a_user_with_letters_beyond_ascii_is_the_one_that_a_chat_call_names(service: Service, api: Api) -> None:
    name = "Zoë Ångström"
    await api.post("/v1/memories", {"user_id": name, "content": "Takes the tram"})
    for sent in (name.encode(), name.encode("latin-1")):
        async with connected(service, **{"x-cmg-user": sent}) as client:
            listed = await call(client, "get_memories")
            assert [one["content"] for one in listed["items"]] == ["Takes the tram"]


async def test_a_wrong_call_tells_the_model_what_is_wrong(service: Service, user: str) -> None:
    async with connected(service) as client:
        for tool, arguments, param in (
            ("add_memory", {"content": "x"}, "user_id"),
            ("add_memory", {"user_id": user}, "content"),
            ("add_memory", {"user_id": user, "content": "x", "colour": "red"}, "colour"),
            ("get_memory", {"memory_id": "nothing"}, "id"),
            ("search_memories", {"user_id": user, "query": "x", "limit": 0}, "limit"),
            ("format_disk", {}, "name"),
        ):
            result = await client.call_tool(tool, arguments)
            assert result.is_error, tool
            assert json.loads(result.content[0].text)["error"]["param"] == param


async def test_keys_and_scopes_hold(service: Service, api: Api, user: str) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    accept = {"accept": "application/json, text/event-stream"}
    assert (await api.post("/mcp", body, key="", headers=accept)).status == 401
    assert (await api.post("/mcp", body, key="cmg_nobody_0123456789", headers=accept)).status == 401
    assert (await api.get("/mcp", headers=accept)).status == 405
    reader = service.new_key(scopes=["memory:read"])
    async with connected(service, reader) as client:
        assert (await call(client, "get_memories", user_id=user))["items"] == []
        for tool, arguments in (
            ("add_memory", {"user_id": user, "content": "x"}),
            ("delete_all_memories", {"user_id": user}),
        ):
            refused = await client.call_tool(tool, arguments)
            assert refused.is_error, tool
            assert "memory:write" in refused.content[0].text


async def test_another_workspaces_memories_do_not_exist(service: Service, user: str) -> None:
    service.call("POST", "/admin/v1/workspaces", {"id": "mcp-other", "name": "Other"})
    stranger = service.new_key(workspace="mcp-other")
    async with connected(service) as client:
        item = await call(client, "add_memory", user_id=user, content="Private")
    async with connected(service, stranger) as client:
        assert (await call(client, "get_memories", user_id=user))["items"] == []
        assert (await call(client, "search_memories", user_id=user, query="private"))["items"] == []
        for tool, more in (("get_memory", {}), ("update_memory", {"content": "x"}), ("delete_memory", {})):
            refused = await client.call_tool(tool, {"memory_id": item["id"], **more})
            assert refused.is_error, tool
        assert (await call(client, "delete_all_memories", user_id=user))["deleted"] == 0
    async with connected(service) as client:
        assert (await call(client, "get_memory", memory_id=item["id"]))["content"] == "Private"
