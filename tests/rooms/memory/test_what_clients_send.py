"""What clients send beside the usual: times in every form, messages of chat APIs, texts without a letter."""

from typing import Any
from uuid import UUID

import pytest

from cmg.kit.errors import Conflict, InvalidRequest
from cmg.memory.api.reading import moment
from cmg.memory.items.writing import ItemWriter
from cmg.memory.models import Owner
from rooms.memory.conftest import Memory
from rooms.memory.test_api import Client


@pytest.fixture
def client(memory: Memory, instruments) -> Client:
    return Client(memory, instruments)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2024-01-02", "2024-01-02T00:00:00+00:00"),
        ("2024-01-02t03:04:05z", "2024-01-02T03:04:05+00:00"),
        ("20240102T030405+0530", "2024-01-01T21:34:05+00:00"),
        ("2024-12-31T24:00:00Z", "2025-01-01T00:00:00+00:00"),
        ("2024-01-02T24:00+05:30", "2024-01-02T18:30:00+00:00"),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59+00:00"),
        ("2016-12-31T23:59:60.25Z", "2016-12-31T23:59:59.250000+00:00"),
        ("9999-12-31T23:59:59-12:00", "9999-12-31T23:59:59+00:00"),
        ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:01+00:00"),
        (1_700_000_000, "2023-11-14T22:13:20+00:00"),
    ],
)
def test_times_in_every_form_are_read(written: str | float, read: str) -> None:
    told = moment(written, "created_at")
    assert told is not None
    assert told.isoformat() == read


@pytest.mark.parametrize("written", ["2024-01-02T24:01Z", "2024-01-02T10:60:00Z", "9999-12-31T24:00Z", "2024-02-30"])
def test_times_that_there_are_not_are_refused(written: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        moment(written, "created_at")
    assert caught.value.param == "created_at"


async def test_messages_of_a_chat_api_are_taken_as_they_are(client: Client) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    parts = [{"type": "text", "text": "Look at my"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    messages = [
        {"role": "user", "content": [*parts, {"type": "text", "text": "red kayak."}]},
        {"role": "assistant", "content": None, "tool_calls": [call], "refusal": None},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "a kayak"},
        {"role": "user", "content": parts[1:]},
    ]
    await client.ingest(messages=messages)
    assert await client.memory.contents() == ["Look at my\nred kayak."]


async def test_a_user_who_says_nothing_is_a_fault_that_names_the_message(client: Client) -> None:
    messages = [{"role": "user", "content": "hello"}, {"role": "user", "text": "lost otherwise"}]
    with pytest.raises(InvalidRequest) as caught:
        await client("/v1/ingest", {"user_id": "ana", "messages": messages})
    assert caught.value.param == "messages[1].content"
    assert await client.memory.contents() == []


@pytest.mark.parametrize("blank", ["", " \n", "\u200b\u200d", "\ufeff", "\u202e\u202c", "\u00ad \u2060"])
async def test_what_nobody_sees_is_not_kept(client: Client, blank: str) -> None:
    answer = await client.ingest(messages=[{"role": "user", "content": blank}, {"role": "user", "content": "🎉"}])
    assert len(answer["items"]) == 1
    assert await client.memory.contents() == ["🎉"]


UNKNOWN: list[tuple[str, dict[str, Any]]] = [
    ("/v1/ingest", {"content": "x", "metdata": {}}),
    ("/v1/recall", {"query": "x", "max_item": 3}),
    ("/v1/recall", {"query": "x", "filter": {"agent_id": "a"}}),
]


@pytest.mark.parametrize(("path", "body"), UNKNOWN)
async def test_a_field_that_would_be_passed_over_is_refused(client: Client, path: str, body: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await client(path, {"user_id": "ana", **body})
    assert caught.value.param == list(body)[-1]


async def test_ids_may_be_as_long_as_in_a_chat_call(client: Client) -> None:
    name = "t" * 512
    await client.ingest(
        thread_id=name, agent_id=name, messages=[{"id": name, "role": "user", "content": "Long names."}]
    )
    found = await client.recall("names", filters={"thread_id": name, "agent_id": name})
    assert [item["content"] for item in found["items"]] == ["Long names."]
    with pytest.raises(InvalidRequest) as caught:
        await client("/v1/recall", {"user_id": "ana", "query": "x", "filters": {"thread_id": name + "t"}})
    assert caught.value.param == "filters.thread_id"


async def test_a_document_sent_again_is_whole_again(client: Client) -> None:
    text = "\n\n".join(f"Chapter {number} tells of hero{number}. " + "words and words " * 30 for number in range(4))
    asked = {"thread_id": "d", "content_type": "document"}
    items = (await client.ingest(content=text, **asked))["items"]
    whole = await client.memory.contents()
    for place in (2, 0):
        await forget(client, items[place]["id"])
        assert len(await client.memory.contents()) == len(whole) - 1
        assert (await client.ingest(content=text, **asked))["items"] == items
        assert sorted(await client.memory.contents()) == sorted(whole)


async def test_other_words_do_not_fill_the_gap_that_a_deletion_left(client: Client) -> None:
    said = {"id": "m1", "role": "user", "content": "one two three. " * 200}
    first = (await client.ingest(thread_id="t", messages=[said]))["items"][0]
    await forget(client, first["id"])
    left = await client.memory.contents()
    other = {"user_id": "ana", "thread_id": "t", "messages": [{**said, "content": "four five six. " * 200}]}
    with pytest.raises(Conflict):
        await client("/v1/ingest", other)
    assert await client.memory.contents() == left


async def forget(client: Client, item_id: str) -> None:
    """Delete one passage, as somebody who was asked to forget it does."""
    writer = ItemWriter(client.memory.clock, client.memory.service.policies)
    async with client.memory.database.transaction() as conn:
        assert await writer.delete(conn, Owner("default", "ana"), [UUID(item_id)]) == (1, 1, 0)
