"""`/v1/ingest`, `/v1/operations/{id}` and `/v1/recall` as a client sees them."""

import asyncio
import json
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from cmg.identity.models import ApiKey, Caller, Workspace
from cmg.kit.asgi import Request
from cmg.kit.errors import CmgError, Conflict, Forbidden, InvalidRequest, NotFound, Unavailable
from cmg.memory import writing
from cmg.memory.api.control_schemas import AddRequest, EditRequest
from cmg.memory.api.parameters import narrow_of
from cmg.memory.api.reading import changes_of, item_of
from cmg.memory.handlers import MemoryApi
from cmg.memory.models import Message, Owner, Thread
from rooms.memory.conftest import Memory, said, scope
from support.access import access_on

WINE = [{"id": "m1", "role": "user", "name": "Ana", "content": "The wine cellar is behind the third door."}]


class Client:
    """Calls the handlers of one workspace."""

    def __init__(self, memory: Memory, instruments, workspace: str = "default") -> None:
        self.memory, self.instruments = memory, instruments
        access = access_on(memory.database, memory.service.policies, memory.clock, instruments)
        self.api = MemoryApi(memory.service, memory.database, access, 2**22, memory.clock, instruments)
        self.caller = self.as_holder_of("memory:read", "memory:write", workspace=workspace)

    def as_holder_of(self, *scopes: str, workspace: str = "default") -> Caller:
        key = ApiKey(id="key1", workspace_id=workspace, name="test")
        self.caller = Caller(key, Workspace(id=workspace, name=workspace), frozenset(scopes), "127.0.0.1")
        return self.caller

    async def __call__(self, path: str, body: Any = None) -> tuple[int, Any]:
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            return {"type": "http.request", "body": data}

        async def send(message: Any) -> None:
            sent.append(message)

        request = Request({"method": "POST", "path": path, "headers": [], "query_string": b""}, receive, "")
        await getattr(self.api, path.split("/")[2].removesuffix("s"))(request, send, self.caller)
        return sent[0]["status"], json.loads(sent[1]["body"])

    async def ingest(self, **body: Any) -> dict[str, Any]:
        status, answer = await self("/v1/ingest", {"user_id": "ana", "wait": True, **body})
        assert (status, answer["status"]) == (200, "done")
        return answer

    async def recall(self, query: str, **body: Any) -> dict[str, Any]:
        status, answer = await self("/v1/recall", {"user_id": "ana", "query": query, **body})
        assert status == 200
        return answer


@pytest.fixture
def client(memory: Memory, instruments) -> Client:
    return Client(memory, instruments)


async def test_what_was_ingested_is_found_with_its_source(client: Client) -> None:
    message = WINE[0] | {"created_at": "2024-05-08T13:56:00+02:00"}
    made = await client.ingest(thread_id="t", messages=[message])
    found = await client.recall("where is the wine cellar", max_items=5)
    (item,) = found["items"]
    assert item["id"] == made["items"][0]["id"]
    assert (item["kind"], item["content"], item["valid_to"]) == ("message", WINE[0]["content"], None)
    said_at = "2024-05-08T11:56:00.000Z"
    source = {"thread_id": "t", "message_id": "m1", "role": "user", "name": "Ana", "created_at": said_at}
    assert item["sources"] == [source]
    assert (found["tokens_used"], found["tokens_available"]) == (item["tokens"], None)


async def test_an_ingest_that_does_not_wait_can_be_asked_about(client: Client, instruments) -> None:
    status, made = await client("/v1/ingest", {"user_id": "ana", "thread_id": "t", "messages": WINE})
    assert status == 202
    other_worker = Client(client.memory, instruments)
    status, state = await other_worker(f"/v1/operations/{made['operation_id']}")
    assert (status, state["status"], state["items"]) == (200, "done", made["items"])


async def test_an_operation_belongs_to_its_workspace(client: Client, instruments) -> None:
    made = await client.ingest(messages=WINE)
    stranger = Client(client.memory, instruments, workspace="other")
    for name in (made["operation_id"], str(uuid.uuid4()), "nope", "%00", "a" * 3000):
        with pytest.raises(NotFound):
            await stranger(f"/v1/operations/{name}")


async def test_a_repeated_id_is_the_same_message_and_other_content_a_conflict(client: Client) -> None:
    first = await client.ingest(thread_id="t", messages=WINE)
    again = await client.ingest(thread_id="t", messages=[WINE[0] | {"name": "Anna"}])
    assert again["items"] == first["items"]
    changed = {"id": "m1", "role": "user", "content": "The key is elsewhere."}
    fine = {"id": "m2", "role": "user", "content": "Never stored."}
    for messages in ([fine, changed], [fine, {**fine, "content": "two at once"}]):
        with pytest.raises(Conflict):
            await client("/v1/ingest", {"user_id": "ana", "thread_id": "t", "messages": messages})
    assert await client.memory.contents() == [WINE[0]["content"]]


async def test_the_same_id_in_another_thread_user_or_workspace_is_another_message(client: Client, instruments) -> None:
    ids = set()
    for user, thread in (("ana", "t"), ("ana", "u"), ("ben", "t")):
        made = await client.ingest(user_id=user, thread_id=thread, messages=WINE)
        ids.add(made["items"][0]["id"])
    other = Client(client.memory, instruments, workspace="other")
    ids.add((await other.ingest(thread_id="t", messages=WINE))["items"][0]["id"])
    assert len(ids) == 4


async def test_no_workspace_finds_anothers(client: Client, instruments) -> None:
    await client.ingest(messages=WINE)
    other = Client(client.memory, instruments, workspace="other")
    assert (await other.recall("wine cellar"))["items"] == []
    assert (await client.recall("wine cellar", user_id="ben"))["items"] == []


async def test_only_what_users_and_assistants_said_is_kept(client: Client) -> None:
    roles = ["system", "developer", "tool", "user", "assistant"]
    made = await client.ingest(messages=[{"role": role, "content": f"said by {role}"} for role in roles])
    assert len(made["items"]) == 2
    assert await client.memory.contents() == ["said by user", "said by assistant"]


@pytest.mark.parametrize("kind", ["document", "diff", "log", "chat"])
async def test_a_content_is_stored_in_passages_of_its_kind(client: Client, kind: str) -> None:
    text = "\n\n".join(f"Chapter {number} tells of hero{number}. " + "words and words " * 30 for number in range(6))
    made = await client.ingest(content=text, content_type=kind)
    assert len(made["items"]) >= 3
    assert len({item["message_id"] for item in made["items"]}) == 1
    assert (await client.ingest(content=text, content_type=kind))["items"] == made["items"]
    (item,) = (await client.recall("hero4", max_items=1))["items"]
    assert "hero4" in item["content"]
    assert item["kind"] == ("message" if kind == "chat" else kind)


async def test_budgets_bound_tokens_and_items(client: Client) -> None:
    texts = [f"Garden fact {number}: the tomato bed number {number} needs water." for number in range(30)]
    await client.ingest(thread_id="t", messages=[{"role": "user", "content": text} for text in texts])
    few = await client.recall("tomato water", token_budget=40)
    assert 0 < few["tokens_used"] <= 40
    assert few["tokens_available"] == 40 - few["tokens_used"]
    assert len((await client.recall("tomato water", max_items=2))["items"]) == 2
    assert len((await client.recall("tomato water", max_items=100))["items"]) == 30
    assert len((await client.recall("tomato water", token_budget=100_000))["items"]) == 30
    assert (await client.recall("tomato water", token_budget=0))["items"] == []


FILTERS = [
    ({"kinds": ["document"]}, []),
    ({"kinds": ["message"]}, ["one", "two"]),
    ({"filters": {"thread_id": "a"}}, ["one"]),
    ({"filters": {"agent_id": "bot"}}, ["two"]),
    ({"filters": {"app_id": "shop"}}, ["one"]),
    ({"filters": {"role": "assistant"}}, []),
    ({"filters": {"created_after": 2000}}, ["two"]),
    ({"filters": {"created_before": "1970-01-01T00:33:20Z"}}, ["one"]),
    ({"filters": {"metadata": {"topic": {"deep": 1}}}}, ["one"]),
    ({"as_of": "2020-01-01"}, []),
    ({"as_of": "2030-01-01"}, ["one", "two"]),
    ({"query": None, "purpose": "the number"}, ["one", "two"]),
]


@pytest.mark.parametrize(("narrow", "expected"), FILTERS)
async def test_filters_narrow_a_recall(client: Client, narrow: dict, expected: list[str]) -> None:
    one = {"role": "user", "content": "number one", "created_at": 1000}
    two = {"role": "user", "content": "number two", "created_at": 2000.5}
    metadata = {"topic": {"deep": 1, "other": 2}}
    await client.ingest(thread_id="a", app_id="shop", messages=[one], metadata=metadata)
    await client.ingest(thread_id="b", agent_id="bot", messages=[two])
    found = await client.recall(**{"query": "number", **narrow})
    assert sorted(item["content"].removeprefix("number ") for item in found["items"]) == expected


WRONG = [
    ("/v1/recall", {"user_id": "a\x00b", "query": "x"}, "user_id"),
    ("/v1/ingest", {"user_id": "a\x00b", "content": "x"}, "user_id"),
    ("/v1/ingest", {"messages": WINE}, "user_id"),
    ("/v1/ingest", {"user_id": "", "messages": WINE}, "user_id"),
    ("/v1/ingest", {"user_id": "u"}, "messages"),
    ("/v1/ingest", {"user_id": "u", "messages": []}, "messages"),
    ("/v1/ingest", {"user_id": "u", "messages": WINE, "content": "x"}, "content"),
    ("/v1/ingest", {"user_id": "u", "messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    ("/v1/ingest", {"user_id": "u", "messages": [{"role": "king", "content": "x"}]}, "messages[0].role"),
    ("/v1/ingest", {"user_id": "u", "messages": [WINE[0] | {"created_at": "soon"}]}, "messages[0].created_at"),
    ("/v1/ingest", {"user_id": "u", "messages": [WINE[0] | {"created_at": -1e99}]}, "messages[0].created_at"),
    ("/v1/ingest", {"user_id": "u", "messages": WINE, "metadata": {"a": "\x00"}}, "metadata"),
    ("/v1/ingest", {"user_id": "u", "messages": WINE, "metadata": {"a": "x" * 20_000}}, "metadata"),
    ("/v1/ingest", {"user_id": "u", "messages": WINE * 1001}, "messages"),
    ("/v1/ingest", {"user_id": "u", "content": "x", "content_type": "video"}, "content_type"),
    ("/v1/ingest", b"{", None),
    ("/v1/recall", {"query": "x"}, "user_id"),
    ("/v1/recall", {"user_id": "u"}, "query"),
    ("/v1/recall", {"user_id": "u", "query": 5}, "query"),
    ("/v1/recall", {"user_id": "u", "query": "x", "token_budget": -1}, "token_budget"),
    ("/v1/recall", {"user_id": "u", "query": "x", "max_items": 0}, "max_items"),
    ("/v1/recall", {"user_id": "u", "query": "x", "filters": {"planet": "x"}}, "filters"),
    ("/v1/recall", {"user_id": "u", "query": "x", "as_of": "yesterday"}, "as_of"),
    ("/v1/recall", {"user_id": "u", "query": "x", "kinds": ["decision", "desicion"]}, "`kinds` names `desicion`"),
    ("/v1/recall", {"user_id": "u", "query": "x", "kinds": []}, "`kinds` is empty"),
]


@pytest.mark.parametrize(("path", "body", "param"), WRONG)
async def test_a_wrong_request_names_the_field(client: Client, path: str, body: Any, param: str | None) -> None:
    with pytest.raises(InvalidRequest) as raised:
        await client(path, body)
    assert param is None or param in f"{raised.value.param} {raised.value.message}"


@pytest.mark.parametrize("kinds", ["task,desicion", "tasks", ","])
def test_a_list_of_kinds_that_are_none_is_refused(kinds: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        narrow_of({"kinds": kinds})
    assert raised.value.param == "kinds"
    assert narrow_of({"kinds": "task,decision"}).kinds == ["task", "decision"]


async def test_each_route_needs_its_scope(client: Client) -> None:
    client.as_holder_of("chat", "memory:read")
    for path in ("/v1/ingest", f"/v1/operations/{uuid.uuid4()}"):
        with pytest.raises(Forbidden):
            await client(path, {"user_id": "u", "messages": WINE})
    client.as_holder_of("memory:write")
    with pytest.raises(Forbidden):
        await client("/v1/recall", {"user_id": "u", "query": "x"})


async def test_odd_texts_are_kept_and_found(client: Client) -> None:
    texts = ["Größe der Straße: Übermaß", "東京の天気は晴れ", "nul \x00 byte marker", "emoji 🦊 fox", "", "   "]
    made = await client.ingest(messages=[{"role": "user", "content": text} for text in texts])
    assert len(made["items"]) == 4
    assert (await client.recall("strasse Übermaß"))["items"][0]["content"] == texts[0]
    assert (await client.recall("nul marker"))["items"][0]["content"] == "nul  byte marker"


@pytest.mark.parametrize("said", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.9999999Z", "0001-01-01T05:00:00+05:00"])
async def test_the_first_and_last_moment_of_the_calendar_are_times_like_others(client: Client, said: str) -> None:
    """What .NET sends for "no time"; the driver and PostgreSQL take exactly these for infinity."""
    await client.ingest(messages=WINE)
    await client.ingest(messages=[{"role": "user", "content": "The wine list is long.", "created_at": said}])
    found = {item["content"]: item["created_at"] for item in (await client.recall("wine"))["items"]}
    assert found["The wine list is long."].startswith(said[:4])
    assert len(found) == 2


def test_what_ends_before_it_begins_is_refused() -> None:
    times = {"valid_from": "2026-05-02", "valid_to": "2026-05-01T23:59:59+00:00"}
    for read in (
        lambda: item_of(AddRequest(user_id="u", content="x", **times), ("default", None)),
        lambda: changes_of(EditRequest(**times)),
    ):
        with pytest.raises(InvalidRequest) as raised:
            read()
        assert raised.value.param == "valid_to"
    assert changes_of(EditRequest(valid_from="2026-05-02", valid_to=None)).valid_to is None


async def test_without_a_database_ingest_and_recall_say_so(client: Client) -> None:
    await client.memory.database.close()
    for path, body in (("/v1/ingest", {"messages": WINE}), ("/v1/recall", {"query": "wine"})):
        with pytest.raises(Unavailable) as raised:
            await client(path, {"user_id": "ana", **body})
        assert isinstance(raised.value, CmgError)


async def test_what_a_call_said_and_what_was_ingested_are_one_memory(client: Client) -> None:
    await client.ingest(thread_id="t", messages=WINE)
    found = await client.memory.recall(scope("ana", "x"), "wine cellar")
    assert found.text is not None
    assert "third door" in found.text


async def test_a_user_has_as_long_an_id_as_a_call_may_name(client: Client) -> None:
    user = "u" * 512
    await client.memory.keep(scope(user), said("My bicycle is green."))
    await client.ingest(user_id=user, messages=[{"role": "user", "content": "My bicycle has a bell."}])
    found = await client.recall("bicycle", user_id=user)
    assert {item["content"] for item in found["items"]} == {"My bicycle is green.", "My bicycle has a bell."}


async def test_neighbours_follow_the_hits_as_items_of_their_own(client: Client) -> None:
    texts = ["Something else.", "How was Lisbon?", "The best pastries of my life!", "Good to hear."]
    messages = [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(texts)]
    await client.ingest(thread_id="t", messages=messages)
    await client.ingest(thread_id="u", messages=[{"role": "user", "content": "Not near."}])
    every = [item["content"] for item in (await client.recall("Lisbon", max_items=10))["items"]]
    assert every[0] == "How was Lisbon?"
    assert set(every[1:]) == {"The best pastries of my life!", "Something else."}
    one = await client.recall("Lisbon", max_items=1)
    assert [item["content"] for item in one["items"]] == ["How was Lisbon?"]
    narrowed = await client.recall("Lisbon", max_items=10, filters={"role": "assistant"})
    assert [item["content"] for item in narrowed["items"]] == ["How was Lisbon?"]


async def test_a_long_document_is_stored_whole_and_in_order_in_several_statements(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "_ROWS", 20)
    text = " ".join(f"word{number}" for number in range(14_000))
    made = await client.ingest(thread_id="t", content=text, content_type="document")
    stored = await client.memory.database.fetch("SELECT id, content FROM memory_turns ORDER BY seq")
    assert [str(row["id"]) for row in stored] == [item["id"] for item in made["items"]]
    assert " ".join(row["content"] for row in stored) == text


async def test_while_a_long_document_is_taken_apart_other_work_goes_on() -> None:
    text = " ".join(f"word{number}" for number in range(14_000))  # 120 KB: in one go that was a tenth of a second
    thread = Thread(Owner("default", "ana"), "t")
    now = datetime.now(UTC)
    said_by = {"message_id": "m", "role": "user", "name": None, "created_at": now}
    message = Message(thread=thread, content=text, kind="document", **said_by)
    rounds = asyncio.create_task(_rounds())
    rows = await writing._rows([message], {thread: (1, 1)})
    rounds.cancel()
    assert await rounds > len(rows) / 4


async def _rounds() -> int:
    """How often other work had its turn until it was ended."""
    count = 0
    try:
        while True:
            await asyncio.sleep(0)
            count += 1
    except asyncio.CancelledError:
        return count
