"""`/v1/memories`, expand, feedback, threads, export: what is remembered can be listed, shown, corrected and deleted."""

import json
import time
from typing import Any

import pytest

from support.api import Api
from support.service import Service, eventually


async def add(api: Api, user: str, content: str, **fields: Any) -> dict[str, Any]:
    """Add one memory; returns it."""
    answer = await api.post("/v1/memories", {"user_id": user, "content": content, **fields})
    assert answer.status == 201, answer.body
    (item,) = answer.json["items"]
    return dict(item)


async def say(api: Api, user: str, *texts: str, thread: str = "t", **fields: Any) -> list[str]:
    """Ingest messages; returns the ids of their items."""
    messages = [{"id": f"{thread}-{place}", "role": "user", "content": text} for place, text in enumerate(texts)]
    body = {"user_id": user, "thread_id": thread, "messages": messages, "wait": True, **fields}
    answer = await api.post("/v1/ingest", body)
    assert answer.status == 200, answer.body
    return [item["id"] for item in answer.json["items"]]


async def contents(api: Api, user: str, query: str = "") -> list[str]:
    """What a user's list holds, newest first."""
    answer = await api.get(f"/v1/memories?user_id={user}{query}")
    assert answer.status == 200, answer.body
    return [item["content"] for item in answer.json["items"]]


async def test_a_memory_is_added_shown_found_edited_and_deleted(api: Api, user: str) -> None:
    item = await add(api, user, "Prefers window seats", kind="preference", metadata={"trip": 1}, importance=0.8)
    assert (item["kind"], item["metadata"], item["version"]) == ("preference", {"trip": 1}, 1)
    assert (await api.get(f"/v1/memories/{item['id']}")).json["content"] == "Prefers window seats"
    found = await api.post("/v1/memories/search", {"user_id": user, "query": "which seats"})
    assert [one["id"] for one in found.json["items"]] == [item["id"]]
    assert found.json["items"][0]["score"] > 0
    edited = await api.request("PUT", f"/v1/memories/{item['id']}", {"content": "Prefers aisle seats"})
    assert (edited.status, edited.json["version"], edited.json["metadata"]) == (200, 2, {"trip": 1})
    found = await api.post("/v1/memories/search", {"user_id": user, "query": "which seats"})
    assert [one["content"] for one in found.json["items"]] == ["Prefers aisle seats"]
    history = (await api.get(f"/v1/memories/{item['id']}/history")).json["items"]
    assert [one["content"] for one in history] == ["Prefers window seats", "Prefers aisle seats"]
    gone = await api.request("DELETE", f"/v1/memories/{item['id']}")
    assert (gone.status, gone.json) == (200, {"turns": 0, "facts": 1}), "an item and its history are one"
    assert (await api.get(f"/v1/memories/{item['id']}")).status == 404
    assert await contents(api, user) == []


async def test_a_recalled_memory_says_when_it_is_true(api: Api, user: str) -> None:
    span = {"valid_from": "2026-01-01T00:00:00.000Z", "valid_to": "2222-06-01T00:00:00.000Z"}
    item = await add(api, user, "The office is in Lyon", kind="profile", **span)
    (found,) = (await api.post("/v1/recall", {"user_id": user, "query": "the office", "max_items": 5})).json["items"]
    assert found["id"] == item["id"]
    assert {name: found[name] for name in span} == span


@pytest.mark.parametrize(("field", "time"), [("valid_to", "2025-12-31"), ("valid_from", "2026-06-02")])
async def test_an_edit_of_one_end_cannot_turn_a_span_around(api: Api, user: str, field: str, time: str) -> None:
    span = {"valid_from": "2026-01-01T00:00:00.000Z", "valid_to": "2026-06-01T00:00:00.000Z"}
    item = await add(api, user, "The office is in Lyon", **span)
    refused = await api.request("PUT", f"/v1/memories/{item['id']}", {field: time})
    assert (refused.status, refused.error["param"]) == (400, field)
    kept = (await api.get(f"/v1/memories/{item['id']}")).json
    assert {name: kept[name] for name in (*span, "version")} == {**span, "version": 1}
    other = ({"valid_from", "valid_to"} - {field}).pop()
    moved = await api.request("PUT", f"/v1/memories/{item['id']}", {field: time, other: None})
    assert (moved.status, moved.json[field][:10]) == (200, time)


async def test_an_edit_that_is_sent_again_makes_no_further_version(api: Api, user: str) -> None:
    item = await add(api, user, "Plain", metadata={"b": 1, "a": [1]})
    edit = {"content": "Fancy", "metadata": {"a": [2], "b": 1}, "importance": 0.8, "expires_at": "2222-01-01"}
    answers = [await api.request("PUT", f"/v1/memories/{item['id']}", edit) for _ in range(3)]
    assert {(one.status, one.json["version"], one.json["updated_at"]) for one in answers} == {
        (200, 2, answers[0].json["updated_at"])
    }
    for change in ({"metadata": None}, {"importance": 0.7}, {"expires_at": None}, {"content": "Plain"}):
        answer = await api.request("PUT", f"/v1/memories/{item['id']}", change)
    assert answer.json["version"] == 6


@pytest.mark.parametrize("change", [{"valid_to": "2025-06-01"}, {"content": "The office is in Nantes"}])
async def test_what_was_known_then_tells_no_end_that_became_known_later(
    api: Api, user: str, change: dict[str, str]
) -> None:
    item = await add(api, user, "The office is in Lyon", valid_from="2024-01-01")
    then = time.time()
    await api.request("PUT", f"/v1/memories/{item['id']}", change)
    about = {"user_id": user, "query": "the office", "max_items": 5, "as_of": then}
    (known,) = (await api.post("/v1/recall", about)).json["items"]
    assert (known["content"], known["valid_to"]) == ("The office is in Lyon", None)
    assert known["valid_from"] == "2024-01-01T00:00:00.000Z"


async def test_a_recalled_fact_names_the_messages_it_was_drawn_from(api: Api, user: str) -> None:
    said_at = {"created_at": "2024-01-05T10:00:00.000Z"}
    await say(api, user, "We decided to use Postgres for the billing.", **said_at)
    body = {"user_id": user, "query": "Postgres", "kinds": ["decision"], "max_items": 5}

    async def drawn() -> bool:
        return bool((await api.post("/v1/recall", body)).json["items"])

    await eventually(drawn, 30, "the decision is drawn")
    (found,) = (await api.post("/v1/recall", body)).json["items"]
    assert found["sources"] == [{"thread_id": "t", "message_id": "t-0", "role": "user", "name": None, **said_at}]
    assert (await api.get(f"/v1/expand/{found['id']}")).json["sources"] == found["sources"]


@pytest.mark.parametrize(
    ("method", "path", "served"),
    [
        ("PATCH", "/v1/memories/{id}", "DELETE, GET, PUT"),
        ("POST", "/v1/expand/{id}", "GET"),
        ("DELETE", "/v1/operations/{id}", "GET"),
        ("PUT", "/v1/threads/t", "DELETE, GET"),
        ("PATCH", "/v1/models/sim/echo", "GET"),
    ],
)
async def test_a_method_that_a_path_below_does_not_take_is_405(api: Api, method: str, path: str, served: str) -> None:
    answer = await api.request(method, path.format(id="00000000-0000-0000-0000-000000000000"), {})
    assert (answer.status, answer.headers.get("allow")) == (405, served)


@pytest.mark.parametrize(
    ("method", "path", "body", "param"),
    [
        ("GET", "/v1/memories?user_id=a%00na", None, "user_id"),
        ("GET", "/v1/memories?user_id=ana&thread_id=t%00", None, "thread_id"),
        ("DELETE", "/v1/memories?agent_id=%00a", None, "agent_id"),
        ("GET", "/v1/threads?user_id=a%00na", None, "user_id"),
        ("POST", "/v1/export", {"user_id": "a\0na"}, "user_id"),
        ("POST", "/v1/ingest", {"user_id": "ana", "thread_id": "t\0", "content": "x"}, "thread_id"),
        ("POST", "/v1/memories", {"user_id": "ana", "app_id": "t\0", "content": "x"}, "app_id"),
        ("POST", "/v1/recall", {"user_id": "ana", "query": "x", "filters": {"thread_id": "t\0"}}, "filters.thread_id"),
        ("POST", "/v1/workingset", {"user_id": "ana", "query": "x", "thread_id": "t\0"}, "thread_id"),
    ],
)
async def test_a_name_with_a_nul_is_refused_as_a_chat_call_refuses_it(
    api: Api, method: str, path: str, body: Any, param: str
) -> None:
    answer = await api.request(method, path, body)
    assert (answer.status, answer.error["param"]) == (400, param)


async def test_the_list_is_paged_and_narrowed(api: Api, user: str) -> None:
    await say(api, user, *[f"Said number {number}" for number in range(5)], agent_id="a1")
    await add(api, user, "A written one", kind="task", thread_id="other")
    first = (await api.get(f"/v1/memories?user_id={user}&limit=4")).json
    rest = (await api.get(f"/v1/memories?user_id={user}&limit=4&cursor={first['next']}")).json
    assert [len(first["items"]), len(rest["items"]), rest["next"]] == [4, 2, None]
    assert await contents(api, user, "&kinds=task,decision") == ["A written one"]
    assert len(await contents(api, user, "&agent_id=a1")) == 5
    assert len(await contents(api, user, "&thread_id=t")) == 5


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/v1/memories?user_id={user}&agent_di=a1"),
        ("GET", "/v1/memories?user_id={user}&kind=task"),
        ("GET", "/v1/threads?user_id={user}&before=2"),
        ("DELETE", "/v1/threads/t?user_id={user}&agent_id=a1"),
    ],
)
async def test_a_mistyped_filter_is_told_and_nothing_is_deleted(api: Api, user: str, method: str, path: str) -> None:
    await say(api, user, "Stays where it is")
    answer = await api.request(method, path.format(user=user))
    name = path.rpartition("&")[2].partition("=")[0]
    assert (answer.status, answer.json["error"]["param"]) == (400, name)
    assert await contents(api, user) == ["Stays where it is"]


async def test_an_expired_memory_is_neither_listed_nor_found(api: Api, user: str) -> None:
    gone = await add(api, user, "Yesterday's password is plum", expires_at="2026-01-01T00:00:00Z")
    kept = await add(api, user, "Tomorrow's password is fig", expires_at="2099-01-01T00:00:00Z")
    assert await contents(api, user) == ["Tomorrow's password is fig"]
    found = await api.post("/v1/memories/search", {"user_id": user, "query": "password"})
    assert [one["content"] for one in found.json["items"]] == ["Tomorrow's password is fig"]
    assert (await api.get(f"/v1/expand/{kept['id']}")).status == 200
    for path in (f"/v1/memories/{gone['id']}", f"/v1/memories/{gone['id']}/history", f"/v1/expand/{gone['id']}"):
        assert (await api.get(path)).status == 404, path
    for method, path, body in (
        ("PUT", f"/v1/memories/{gone['id']}", {"content": "Back again"}),
        ("POST", "/v1/feedback", {"item_id": gone["id"], "feedback_type": "helpful"}),
        ("DELETE", f"/v1/memories/{gone['id']}", None),
    ):
        assert (await api.request(method, path, body)).status == 404, path


async def test_an_item_that_is_told_to_have_expired_is_gone_with_its_versions(api: Api, user: str) -> None:
    item = await add(api, user, "The door code is 1234")
    changed = await api.request("PUT", f"/v1/memories/{item['id']}", {"content": "The door code is 4321"})
    assert changed.status == 200
    (earlier, _) = (await api.get(f"/v1/memories/{item['id']}/history")).json["items"]
    assert (await api.get(f"/v1/memories/{earlier['id']}")).json["content"] == "The door code is 1234"
    ended = await api.request("PUT", f"/v1/memories/{item['id']}", {"expires_at": "2026-01-01T00:00:00Z"})
    assert (ended.status, ended.json["content"]) == (200, "The door code is 4321")
    for one in (item, earlier):
        assert (await api.get(f"/v1/memories/{one['id']}")).status == 404


async def test_an_expired_turn_is_no_source_and_not_in_its_thread(api: Api, user: str) -> None:
    said = [{"role": "user", "content": text} for text in ("I live in Lyon.", "And I like plums.")]
    body = {"user_id": user, "thread_id": "t", "messages": said, "wait": True}
    turn, _ = [one["id"] for one in (await api.post("/v1/ingest", body)).json["items"]]
    ended = await api.request("PUT", f"/v1/memories/{turn}", {"expires_at": "2026-01-01T00:00:00Z"})
    assert ended.status == 200
    thread = (await api.get(f"/v1/threads/t?user_id={user}")).json
    assert [one["content"] for one in thread["items"]] == ["And I like plums."]
    assert thread["thread"]["items"] == 1


async def test_messages_can_be_added_too(api: Api, user: str) -> None:
    body = {"user_id": user, "thread_id": "m", "messages": [{"role": "user", "content": "The dog is called Rex"}]}
    answer = await api.post("/v1/memories", body)
    assert (answer.status, answer.json["items"][0]["kind"]) == (201, "message")


async def test_expand_shows_sources_versions_links_and_why(api: Api, user: str) -> None:
    (said,) = await say(api, user, "We decided on PostgreSQL")
    judged = await api.post("/v1/feedback", {"item_id": said, "feedback_type": "helpful", "comment": "right"})
    assert judged.status == 200, judged.body
    shown = (await api.get(f"/v1/expand/{said}")).json
    assert shown["sources"][0]["message_id"] == "t-0"
    assert shown["feedback"][0]["comment"] == "right"
    assert shown["salience"]["salience"] == judged.json["salience"]
    assert set(shown["salience"]) == {"salience", "importance", "mentions", "uses", "feedback", "age"}
    raw = (await api.get(f"/v1/expand/{said}/raw")).json
    assert raw["sources"][0]["content"] == "We decided on PostgreSQL"


async def test_threads_are_listed_shown_and_deleted(api: Api, user: str) -> None:
    await say(api, user, "First", "Second", thread="a/b c")
    await say(api, user, "Elsewhere", thread="two")
    listed = (await api.get(f"/v1/threads?user_id={user}")).json
    assert [(one["id"], one["items"]) for one in listed["items"]] == [("two", 1), ("a/b c", 2)]
    shown = (await api.get(f"/v1/threads/a%2Fb%20c?user_id={user}")).json
    assert [one["content"] for one in shown["items"]] == ["First", "Second"]
    gone = await api.request("DELETE", f"/v1/threads/a%2Fb%20c?user_id={user}")
    assert gone.json == {"turns": 2, "facts": 0}
    assert await contents(api, user) == ["Elsewhere"]
    assert (await api.get(f"/v1/threads/a%2Fb%20c?user_id={user}")).status == 404


async def test_deleting_a_user_touches_nobody_else(api: Api, user: str) -> None:
    await say(api, user, "Mine to go")
    await say(api, f"{user}-other", "Mine to stay")
    assert (await api.request("DELETE", "/v1/memories")).status == 400
    assert (await api.request("DELETE", "/v1/memories?user_id=")).status == 400
    gone = await api.request("DELETE", f"/v1/memories?user_id={user}")
    assert gone.json["turns"] == 1
    assert await contents(api, user) == []
    assert await contents(api, f"{user}-other") == ["Mine to stay"]


async def test_a_deleted_turn_does_not_come_back_with_the_history(api: Api, user: str) -> None:
    secret = f"My locker is number 42, says {user}"
    messages = [{"role": "user", "content": secret}]
    await api.chat("sim/echo", messages=messages, user=user, thread_id="h")

    async def kept() -> list[str]:
        return [one for one in await contents(api, user, "&kinds=message") if one == secret]

    await eventually(kept, 5, "the turn is stored")
    listed = (await api.get(f"/v1/memories?user_id={user}")).json["items"]
    for item in listed:
        assert (await api.request("DELETE", f"/v1/memories/{item['id']}")).status == 200
    again = [*messages, {"role": "assistant", "content": secret}, {"role": "user", "content": "And now?"}]
    for _ in range(6):  # whichever worker takes it
        await api.chat("sim/echo", messages=again, user=user, thread_id="h")

    async def later() -> bool:
        return "And now?" in await contents(api, user)

    await eventually(later, 5, "the new turn is stored")
    assert secret not in await contents(api, user)


async def test_an_export_holds_everything_of_one_user_only(api: Api, user: str) -> None:
    await say(api, user, *[f"Line {number}" for number in range(1200 // 2)])
    item = await add(api, user, "Old words")
    await api.request("PUT", f"/v1/memories/{item['id']}", {"content": "New words"})
    await say(api, f"{user}-other", "Not theirs")
    answer = await api.post("/v1/export", {"user_id": user})
    lines = [json.loads(line) for line in answer.body.splitlines()]
    assert (lines[0]["type"], lines[0]["user_id"]) == ("export", user)
    end = lines[-1]
    assert (end["type"], end["threads"], end["items"]) == ("end", 2, 602)
    assert end["summaries"] == sum(line["type"] == "summary" for line in lines), "there is one once it is made"
    words = {line["content"] for line in lines if line["type"] == "item"}
    assert {"Old words", "New words", "Line 599"} <= words
    assert "Not theirs" not in words


async def test_an_export_holds_what_was_said_of_the_users_items(api: Api, user: str) -> None:
    (said,) = await say(api, user, "The office is in Lyon")
    item = await add(api, user, "Old words")
    for item_id, comment in ((said, "She moved."), (item["id"], "Not hers.")):
        judged = {"item_id": item_id, "feedback_type": "outdated", "comment": comment}
        assert (await api.post("/v1/feedback", judged)).status == 200
    await api.request("PUT", f"/v1/memories/{item['id']}", {"content": "New words"})
    answer = await api.post("/v1/export", {"user_id": user})
    lines = [json.loads(line) for line in answer.body.splitlines()]
    judgements = {line["item_id"]: line["comment"] for line in lines if line["type"] == "judgement"}
    assert judgements == {said: "She moved.", item["id"]: "Not hers."}
    assert lines[-1]["judgements"] == 2


WRONG = [
    ("GET", "/v1/memories", None, "user_id"),
    ("GET", "/v1/memories?user_id=u&limit=0", None, "limit"),
    ("GET", "/v1/memories?user_id=u&cursor=x", None, "cursor"),
    ("GET", "/v1/memories?user_id=u&agent_id=", None, "agent_id"),
    ("POST", "/v1/memories", {"user_id": "u"}, "content"),
    ("POST", "/v1/memories", {"content": "x"}, "user_id"),
    ("POST", "/v1/memories", {"user_id": "u", "content": "x", "kind": "nonsense"}, "kind"),
    ("POST", "/v1/memories", {"user_id": "u", "content": "x", "expires_at": "soon"}, "expires_at"),
    ("POST", "/v1/memories/search", {"user_id": "u", "query": ""}, "query"),
    ("POST", "/v1/feedback", {"item_id": "x", "feedback_type": "helpful"}, "item_id"),
    ("POST", "/v1/feedback", {"item_id": "x", "feedback_type": "great"}, "feedback_type"),
    ("GET", "/v1/threads", None, "user_id"),
    ("POST", "/v1/export", {}, "user_id"),
    ("POST", "/v1/erase", {"user_id": ""}, "user_id"),
    ("POST", "/v1/erase", {"user_id": "u", "all": True}, "all"),
]


@pytest.mark.parametrize(("method", "path", "body", "param"), WRONG)
async def test_a_wrong_request_names_the_field(api: Api, method: str, path: str, body: Any, param: str) -> None:
    answer = await api.request(method, path, body)
    assert answer.status == 400, answer.body
    assert param in f"{answer.error['param']} {answer.error['message']}"


async def test_a_key_with_a_prefix_speaks_for_its_users_only(api: Api, service: Service, user: str) -> None:
    key = service.new_key(user_prefix=f"{user}-")
    mine = {"user_id": f"{user}-1", "content": "Mine"}
    (item,) = (await api.post("/v1/memories", mine, key=key)).json["items"]
    assert (await api.get(f"/v1/memories/{item['id']}", key=key)).status == 200
    other = await add(api, user, "Somebody else's")
    assert (await api.get(f"/v1/memories/{other['id']}", key=key)).status == 404
    for method, path, body in (
        ("GET", f"/v1/memories?user_id={user}", None),
        ("POST", "/v1/recall", {"user_id": user, "query": "x"}),
        ("POST", "/v1/ingest", {"user_id": user, "content": "x"}),
        ("POST", "/v1/erase", {"user_id": user}),
        ("DELETE", "/v1/memories?agent_id=x", None),
    ):
        answer = await api.request(method, path, body, key=key)
        assert (answer.status, answer.error["code"]) == (403, "user_not_allowed"), path
    assert (await api.chat("sim/echo", user=user, key=key)).status == 403
    texts = {"model": "sim/embed", "input": "x"}
    assert (await api.post("/v1/embeddings", {**texts, "user": user}, key=key)).error["code"] == "user_not_allowed"
    for allowed in (texts, {**texts, "user": f"{user}-1"}):
        assert (await api.post("/v1/embeddings", allowed, key=key)).status == 200


async def test_what_only_a_memory_has_is_not_lost_on_messages(api: Api, user: str) -> None:
    said = [{"role": "user", "content": "Hello there"}]
    for name, value in (
        ("kind", "task"),
        ("importance", 0.9),
        ("expires_at", "2030-01-01"),
        ("valid_to", "2030-01-01"),
    ):
        answer = await api.post("/v1/memories", {"user_id": user, "messages": said, name: value})
        assert (answer.status, answer.error["param"]) == (400, name)
    assert await contents(api, user) == []


async def test_an_id_in_a_query_is_as_long_as_in_a_body(api: Api, user: str) -> None:
    await say(api, user, "Long thread", thread="t" * 510)
    assert await contents(api, user, f"&thread_id={'t' * 510}") == ["Long thread"]
    answer = await api.get(f"/v1/memories?user_id={user}&thread_id={'t' * 513}")
    assert (answer.status, answer.error["param"]) == (400, "thread_id")
