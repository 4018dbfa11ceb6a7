"""`/v1/ingest`, `/v1/operations/{id}` and `/v1/recall`: shapes, waiting, repeated ids, budgets."""

import pytest

from support.api import Api
from support.service import Service, eventually

ITEM = {"id", "kind", "content", "score", "tokens", "created_at", "valid_from", "valid_to", "sources"}
SOURCE = {"thread_id", "message_id", "role", "name", "created_at"}


def _messages(*texts: str) -> list[dict[str, str]]:
    return [{"id": f"msg-{place}", "role": "user", "content": text} for place, text in enumerate(texts)]


async def test_ingest_is_queued_then_done_then_found(api: Api, user: str) -> None:
    body = {"user_id": user, "thread_id": "t", "messages": _messages("The wine cellar is behind the third door.")}
    answer = await api.post("/v1/ingest", body)
    assert answer.status == 202
    assert set(answer.json) >= {"operation_id", "status", "items"}

    async def done() -> bool:
        state = await api.get(f"/v1/operations/{answer.json['operation_id']}")
        assert state.status == 200
        return state.json["status"] == "done"

    await eventually(done, 5, "the operation is done")
    found = await api.post("/v1/recall", {"user_id": user, "query": "wine cellar door"})
    assert "third door" in found.json["items"][0]["content"]


async def test_ingest_that_waits_is_searchable_when_it_answers(api: Api, user: str) -> None:
    body = {"user_id": user, "thread_id": "t", "messages": _messages("My passport is in the blue box."), "wait": True}
    answer = await api.post("/v1/ingest", body)
    assert (answer.status, answer.json["status"]) == (200, "done")
    assert [set(item) >= {"id", "message_id"} for item in answer.json["items"]] == [True]
    found = await api.post("/v1/recall", {"user_id": user, "query": "passport"})
    (item,) = found.json["items"]
    assert set(item) >= ITEM
    assert set(item["sources"][0]) >= SOURCE
    assert set(found.json) >= {"items", "tokens_used", "tokens_available"}
    assert found.json["tokens_used"] == item["tokens"]


async def test_what_is_taken_is_found_by_the_next_call_without_waiting(api: Api, user: str) -> None:
    """The call waits a moment for it: on a busy machine that may be too short, and the next one finds it."""
    at_once = []
    for word in ("kestrel", "lantern", "quarry", "saddle", "thimble"):
        taken = await api.post("/v1/ingest", {"user_id": user, "messages": _messages(f"The word is {word}")})
        assert taken.status == 202, taken.body

        async def found(word: str = word) -> bool:
            items = (await api.post("/v1/recall", {"user_id": user, "query": word})).json.get("items")
            return bool(items) and items[0]["content"].endswith(word)

        at_once.append(await found())
        await eventually(found, 30, f"{word} is found")
    assert any(at_once), "each had to be asked for again"


async def test_a_repeated_message_id_is_the_same_message(api: Api, user: str) -> None:
    body = {"user_id": user, "thread_id": "t", "messages": _messages("The key is under the mat."), "wait": True}
    first, again = await api.post("/v1/ingest", body), await api.post("/v1/ingest", body)
    assert again.status == 200
    assert [item["id"] for item in again.json["items"]] == [item["id"] for item in first.json["items"]]
    other = await api.post("/v1/ingest", {**body, "messages": _messages("The key is elsewhere.")})
    assert (other.status, other.error["code"]) == (409, "conflict")
    found = await api.post("/v1/recall", {"user_id": user, "query": "key"})
    assert [item["content"] for item in found.json["items"]] == ["The key is under the mat."]


async def test_content_is_taken_in_place_of_messages(api: Api, user: str) -> None:
    body = {"user_id": user, "content": "Release notes. The flux capacitor needs 1.21 GW.", "content_type": "document"}
    answer = await api.post("/v1/ingest", {**body, "wait": True})
    assert answer.status == 200, answer.body
    found = await api.post("/v1/recall", {"user_id": user, "query": "flux capacitor"})
    assert "1.21" in found.json["items"][0]["content"]


async def test_budgets_bound_tokens_and_items(api: Api, user: str) -> None:
    texts = [f"Garden fact {number}: the tomato bed number {number} needs water." for number in range(10)]
    await api.post("/v1/ingest", {"user_id": user, "thread_id": "t", "messages": _messages(*texts), "wait": True})
    few = (await api.post("/v1/recall", {"user_id": user, "query": "tomato water", "token_budget": 40})).json
    assert 0 < few["tokens_used"] <= 40
    assert few["tokens_available"] >= 0
    two = (await api.post("/v1/recall", {"user_id": user, "query": "tomato water", "max_items": 2})).json
    assert len(two["items"]) == 2
    every = (await api.post("/v1/recall", {"user_id": user, "query": "tomato water", "max_items": 100})).json
    assert len(every["items"]) == 10


async def test_rare_words_beat_common_ones(api: Api, user: str) -> None:
    texts = ["We talked about the plan.", "The plan is the plan.", "The zeppelin plan is from Ada.", "A plan, a plan."]
    await api.post("/v1/ingest", {"user_id": user, "thread_id": "t", "messages": _messages(*texts), "wait": True})
    found = await api.post("/v1/recall", {"user_id": user, "query": "what is the zeppelin plan"})
    assert found.json["items"][0]["content"] == "The zeppelin plan is from Ada."


WRONG = [
    ("/v1/ingest", {"messages": []}, "user_id"),
    ("/v1/ingest", {"user_id": "u"}, None),
    ("/v1/ingest", {"user_id": "u", "messages": [{"role": "user", "content": 5}]}, "messages"),
    ("/v1/recall", {"query": "x"}, "user_id"),
    ("/v1/recall", {"user_id": "u", "query": 5}, "query"),
    ("/v1/recall", {"user_id": "u"}, None),
    ("/v1/recall", {"user_id": "u", "query": "x", "token_budget": -1}, "token_budget"),
]


@pytest.mark.parametrize(("path", "body", "param"), WRONG)
async def test_a_wrong_request_names_the_field(api: Api, path: str, body: dict, param: str | None) -> None:
    answer = await api.post(path, body)
    assert answer.status == 400, answer.body
    assert param is None or param in f"{answer.error['param']} {answer.error['message']}"


async def test_an_unknown_operation_is_404(api: Api) -> None:
    for name in ("nope", "01890000-0000-7000-8000-000000000000", "%00", "a" * 3000):
        answer = await api.get(f"/v1/operations/{name}")
        assert answer.status in {400, 404, 414}, (name, answer.status)


async def test_an_operation_of_another_workspace_is_404(api: Api, service: Service, user: str) -> None:
    made = await api.post("/v1/ingest", {"user_id": user, "messages": _messages("x y z")})
    service.call("POST", "/admin/v1/workspaces", {"id": "operations-other", "name": "Other"})
    stranger = service.new_key(workspace="operations-other")
    assert (await api.get(f"/v1/operations/{made.json['operation_id']}", key=stranger)).status == 404


async def test_odd_texts_are_kept_and_found(api: Api, user: str) -> None:
    texts = ("Größe der Straße: Übermaß", "東京の天気は晴れ", "nul \u0000 byte marker", "emoji 🦊 fox", "")
    answer = await api.post("/v1/ingest", {"user_id": user, "messages": _messages(*texts), "wait": True})
    assert answer.status in {200, 400}, answer.body
    assert answer.status == 400 or answer.json["status"] == "done"
    fine = await api.post("/v1/ingest", {"user_id": user, "messages": _messages(*texts[:2]), "wait": True})
    assert fine.status in {200, 409}
    found = await api.post("/v1/recall", {"user_id": user, "query": "strasse Übermaß"})
    assert any("Übermaß" in item["content"] for item in found.json["items"])
