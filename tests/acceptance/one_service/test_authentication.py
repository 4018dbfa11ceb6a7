"""Keys at the door: who is let in, what they may do, and how fast a revoked one stops."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest

from support.api import Api
from support.faulty_upstream import FaultyUpstream
from support.service import Service, eventually

BAD = [
    {},
    {"authorization": "Bearer "},
    {"authorization": "Bearer nonsense"},
    {"authorization": "Bearer cmg_unknown_0123456789abcdef"},
    {"authorization": "Basic Zm9vOmJhcg=="},
    {"x-api-key": "cmg_unknown_0123456789abcdef"},
]


@pytest.mark.parametrize("headers", BAD)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/embeddings", "/v1/ingest", "/v1/recall"])
async def test_a_bad_key_is_401_in_openais_shape(api: Api, headers: dict[str, str], path: str) -> None:
    answer = await api.post(path, {"model": "sim/echo", "messages": []}, key="", headers=headers)
    assert answer.status == 401
    assert answer.error["code"] == "invalid_api_key"
    assert answer.headers["content-type"].startswith("application/json")


@pytest.mark.parametrize("path", ["/v1/models", "/admin/v1/keys", "/admin/v1/usage", "/v1/operations/x"])
async def test_reading_needs_a_key_too(api: Api, path: str) -> None:
    assert (await api.get(path, key="")).status == 401


async def test_a_wrong_secret_of_a_known_key_is_401(api: Api, service: Service) -> None:
    key = service.new_key()
    assert (await api.chat("sim/echo", key=key)).status == 200
    assert (await api.chat("sim/echo", key=key[:-1] + ("0" if key[-1] != "0" else "1"))).status == 401


async def test_x_api_key_is_as_good_as_a_bearer(api: Api, service: Service) -> None:
    body = {"model": "sim/echo", "messages": [{"role": "user", "content": "hi"}]}
    answer = await api.post("/v1/chat/completions", body, key="", headers={"x-api-key": service.new_key()})
    assert answer.status == 200


async def test_a_new_key_works_at_once_on_every_worker(api: Api, service: Service) -> None:
    key = service.new_key()
    answers = await asyncio.gather(*(api.chat("sim/echo", key=key) for _ in range(20)))
    assert {answer.status for answer in answers} == {200}


async def test_a_revoked_key_stops_within_two_seconds_on_every_worker(api: Api, service: Service) -> None:
    made = service.new_key_full()
    answers = await asyncio.gather(*(api.chat("sim/echo", key=made["key"]) for _ in range(20)))
    assert {answer.status for answer in answers} == {200}
    status, _ = await asyncio.to_thread(service.call, "DELETE", f"/admin/v1/keys/{made['id']}")
    assert status in {200, 204}
    revoked = time.monotonic()

    async def all_refused() -> bool:
        tries = await asyncio.gather(*(api.chat("sim/echo", key=made["key"]) for _ in range(20)))
        return {answer.status for answer in tries} == {401}

    await eventually(all_refused, 4, "the key is refused everywhere")
    assert time.monotonic() - revoked < 2.5


@pytest.mark.parametrize("state", ["suspend", "resume"])
async def test_a_suspended_key_stops_until_it_is_resumed(api: Api, service: Service, state: str) -> None:
    made = service.new_key_full()
    for action in ("suspend",) if state == "suspend" else ("suspend", "resume"):
        status, answer = await asyncio.to_thread(service.call, "POST", f"/admin/v1/keys/{made['id']}/{action}", {})
        assert status == 200, answer
    wanted = {401, 403} if state == "suspend" else {200}

    async def settled() -> bool:
        tries = await asyncio.gather(*(api.chat("sim/echo", key=made["key"]) for _ in range(10)))
        return {answer.status for answer in tries} <= wanted

    await eventually(settled, 4, f"the key is {state}d everywhere")


async def test_a_rotated_key_works_beside_its_old_one(api: Api, service: Service) -> None:
    made = service.new_key_full()
    status, rotated = await asyncio.to_thread(service.call, "POST", f"/admin/v1/keys/{made['id']}/rotate", {})
    assert status in {200, 201}, rotated
    assert rotated["key"] != made["key"]
    for key in (rotated["key"], made["key"]):
        answers = await asyncio.gather(*(api.chat("sim/echo", key=key) for _ in range(8)))
        assert {answer.status for answer in answers} == {200}


async def test_an_expired_key_is_refused(api: Api, service: Service) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    key = service.new_key(expires_at=soon)

    async def refused() -> bool:
        return (await api.chat("sim/echo", key=key)).status in {401, 403}

    await eventually(refused, 5, "the key expires")


SCOPES = [
    (["embeddings"], "/v1/chat/completions", {"model": "sim/echo", "messages": [{"role": "user", "content": "x"}]}),
    (["chat"], "/v1/embeddings", {"model": "embed-x", "input": "x"}),
    (["chat"], "/v1/ingest", {"user_id": "u", "messages": [{"role": "user", "content": "x"}]}),
    (["memory:write"], "/v1/recall", {"user_id": "u", "query": "x"}),
    (["chat", "memory:read"], "/admin/v1/keys", {"name": "x"}),
]


@pytest.mark.parametrize(("scopes", "path", "body"), SCOPES)
async def test_a_key_does_only_what_its_scopes_say(api: Api, service: Service, scopes: list, path: str, body) -> None:
    answer = await api.post(path, body, key=service.new_key(scopes=scopes))
    assert answer.status == 403, answer.body
    assert answer.error["type"] == "permission_error"


async def test_an_address_outside_the_list_is_403(api: Api, service: Service) -> None:
    refused = await api.chat("sim/echo", key=service.new_key(ip_allow=["10.0.0.0/8"]))
    assert refused.status == 403
    assert (await api.chat("sim/echo", key=service.new_key(ip_allow=["127.0.0.0/8"]))).status == 200
    spoofed = {"x-forwarded-for": "10.1.2.3"}
    again = await api.chat("sim/echo", key=service.new_key(ip_allow=["10.0.0.0/8"]), headers=spoofed)
    assert again.status == 403


async def test_model_lists_allow_and_block(api: Api, service: Service, model: str, upstream: FaultyUpstream) -> None:
    only = service.new_key(models_allow=["sim/*"])
    assert (await api.chat("sim/echo", key=only)).status == 200
    assert (await api.chat(model, key=only)).status in {403, 404}
    blocked = service.new_key(models_block=[model])
    assert (await api.chat(model, key=blocked)).status in {403, 404}
    assert upstream.calls_of(model) == []
    sneaky = await api.chat("sim/fail-503", key=only, models=[model])
    assert sneaky.status >= 400
    assert upstream.calls_of(model) == []


async def test_a_prefixed_name_does_not_slip_past_a_block(
    api: Api, service: Service, model: str, upstream: FaultyUpstream
) -> None:
    blocked = service.new_key(models_block=[model])
    assert (await api.chat(f"faulty/{model}", key=blocked)).status in {403, 404}
    assert upstream.calls_of(model) == []


async def test_a_default_model_fills_in(api: Api, service: Service) -> None:
    key = service.new_key(default_model="sim/echo")
    answer = await api.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]}, key=key)
    assert answer.status == 200
    assert answer.headers["x-cmg-model"].endswith("echo")


async def test_a_key_never_sees_another_workspace(api: Api, service: Service) -> None:
    status, made = await asyncio.to_thread(service.call, "POST", "/admin/v1/workspaces", {"id": "other", "name": "O"})
    assert status in {201, 409}, made
    stranger = service.new_key(workspace="other", scopes=["admin", "chat"])
    here = service.new_key_full()
    assert (await api.get(f"/admin/v1/keys/{here['id']}", key=stranger)).status == 404
    listed = (await api.get("/admin/v1/keys", key=stranger)).json["items"]
    assert here["id"] not in {item["id"] for item in listed}


async def test_a_secret_is_never_shown_again(api: Api, service: Service) -> None:
    made = service.new_key_full()
    shown = await api.get(f"/admin/v1/keys/{made['id']}")
    assert shown.status == 200
    assert made["key"].rsplit("_", 1)[1].encode() not in shown.body
    assert made["key"].rsplit("_", 1)[1] not in service.log.read_text(errors="replace")
