"""The client of mem0 works by changing its host: its own package against the real service."""

import json
import os
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.processes import wait_until
from support.service import Service


@pytest.fixture(scope="module")
def mem0(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The package, which writes a file into its home and calls home unless told not to."""
    home: Path = tmp_path_factory.mktemp("mem0")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEM0_DIR", str(home))
        patch.setenv("MEM0_TELEMETRY", "False")
        patch.delenv("MEM0_API_KEY", raising=False)
        import mem0 as package

        yield package


@pytest.fixture
def client(mem0: Any, service: Service) -> Any:
    """`MemoryClient` with nothing changed but host and key."""
    return mem0.MemoryClient(api_key=service.key, host=service.url)


@pytest.fixture
async def async_client(mem0: Any, service: Service) -> AsyncIterator[Any]:
    """`AsyncMemoryClient`."""
    async with mem0.AsyncMemoryClient(api_key=service.key, host=service.url) as made:
        yield made


TALK = [
    {"role": "system", "content": "You are a travel agent."},
    {"role": "user", "content": "I am vegetarian and allergic to nuts."},
    {"role": "assistant", "content": "Noted: vegetarian meals without nuts."},
]


def words(answer: dict[str, Any]) -> list[str]:
    """The memories of an answer."""
    return [one["memory"] for one in answer["results"]]


def test_add_get_all_and_search(client: Any, user: str) -> None:
    added = client.add(TALK, user_id=user, run_id="trip", metadata={"topic": "food"})
    assert [one["event"] for one in added["results"]] == ["ADD", "ADD"]
    listed = client.get_all(filters={"user_id": user})
    assert (listed["count"], listed["next"], listed["previous"]) == (2, None, None)
    assert set(words(listed)) == {TALK[1]["content"], TALK[2]["content"]}
    item = listed["results"][0]
    assert item["memory"] == item["content"]
    assert (item["user_id"], item["run_id"], item["metadata"]) == (user, "trip", {"topic": "food"})
    found = client.search("what is the user allergic to?", filters={"user_id": user}, top_k=1)
    assert words(found) == [TALK[1]["content"]]
    assert 0 < found["results"][0]["score"] <= 1


def test_who_it_is_may_stand_in_the_filters(client: Any, user: str) -> None:
    client.add("Plays the cello", filters={"user_id": user})
    assert words(client.get_all(filters={"user_id": user})) == ["Plays the cello"]


def test_get_update_history_feedback_and_delete(client: Any, user: str, mem0: Any) -> None:
    (added,) = client.add("Lives in Oslo", user_id=user, infer=False)["results"]
    assert client.get(added["id"])["memory"] == "Lives in Oslo"
    changed = client.update(added["id"], text="Lives in Bergen", metadata={"since": 2026})
    assert (changed["memory"], changed["metadata"]) == ("Lives in Bergen", {"since": 2026})
    events = client.history(added["id"])
    assert [(one["event"], one["old_memory"], one["new_memory"]) for one in events] == [
        ("ADD", None, "Lives in Oslo"),
        ("UPDATE", "Lives in Oslo", "Lives in Bergen"),
    ]
    for opinion in ("POSITIVE", "NEGATIVE", "VERY_NEGATIVE", None):
        assert client.feedback(added["id"], opinion, "because")["feedback"] == opinion
    client.delete(added["id"])
    with pytest.raises(mem0.exceptions.MemoryNotFoundError):
        client.get(added["id"])


def test_delete_all_touches_that_user_alone(client: Any, user: str, mem0: Any) -> None:
    client.add("Mine", user_id=user)
    client.add("Theirs", user_id=f"{user}-other")
    client.delete_all(user_id=user)
    assert words(client.get_all(filters={"user_id": user})) == []
    assert words(client.get_all(filters={"user_id": f"{user}-other"})) == ["Theirs"]
    with pytest.raises(mem0.exceptions.ValidationError):
        client.delete_all()


def test_delete_all_knows_the_workspaces_names_and_no_filter_that_it_would_ignore(
    client: Any, user: str, mem0: Any
) -> None:
    client.add("Keep this", user_id=user, infer=False)
    with pytest.raises(mem0.exceptions.ValidationError):
        client.delete_all(user_id=user, categories=["food"])
    assert client.get_all(filters={"user_id": user})["count"] == 1
    client.delete_all(user_id=user, org_id="o", project_id="p")
    assert client.get_all(filters={"user_id": user})["count"] == 0


def test_batches_change_and_delete_several(client: Any, user: str) -> None:
    ids = [client.add(text, user_id=user)["results"][0]["id"] for text in ("One", "Two", "Three")]
    client.batch_update([{"memory_id": ids[0], "text": "First"}, {"memory_id": ids[1], "text": "Second"}])
    assert set(words(client.get_all(filters={"user_id": user}))) == {"First", "Second", "Three"}
    client.batch_delete([{"memory_id": one} for one in ids[:2]])
    assert words(client.get_all(filters={"user_id": user})) == ["Three"]


def test_entities_are_listed_and_deleted(client: Any, user: str) -> None:
    client.add("Hello", user_id=user, agent_id=f"agent-{user}")
    named = {(one["type"], one["name"]): one["total_memories"] for one in client.users()["results"]}
    assert named["user", user] == named["agent", f"agent-{user}"] == 1
    client.delete_users(agent_id=f"agent-{user}")
    assert words(client.get_all(filters={"agent_id": f"agent-{user}"})) == []


def test_an_agent_alone_has_a_memory(client: Any) -> None:
    agent = f"agent-{uuid.uuid4().hex}"
    client.add("Answers in verse", agent_id=agent)
    assert words(client.get_all(filters={"agent_id": agent})) == ["Answers in verse"]
    assert words(client.search("verse", filters={"agent_id": agent})) == ["Answers in verse"]


def test_a_list_comes_in_pages(client: Any, user: str) -> None:
    for number in range(5):
        client.add(f"Number {number}", user_id=user)
    first = client.get_all(filters={"user_id": user}, page=1, page_size=2)
    last = client.get_all(filters={"user_id": user}, page=3, page_size=2)
    assert (first["count"], words(first), words(last)) == (5, ["Number 4", "Number 3"], ["Number 0"])
    assert first["next"] is not None
    assert (last["next"], last["previous"] is None) == (None, False)


FILTERS: list[tuple[dict[str, Any], set[str]]] = [
    ({"metadata": {"n": 1}}, {"one"}),
    ({"metadata": {"n": {"gte": 2}}}, {"two", "three"}),
    ({"OR": [{"metadata": {"n": 1}}, {"agent_id": "b"}]}, {"one", "three"}),
    ({"NOT": [{"metadata": {"n": {"in": [1, 2]}}}]}, {"three"}),
    ({"agent_id": {"ne": "b"}, "metadata": {"n": {"lt": 3}}}, {"one", "two"}),
    ({"agent_id": "*"}, {"two", "three"}),
    ({"run_id": {"in": ["r1"]}}, {"one"}),
    ({"keywords": {"contains": "wo"}}, {"two"}),
    ({"keywords": {"icontains": "THR"}}, {"three"}),
    ({"created_at": {"gte": "2026-01-02"}}, {"two", "three"}),
    ({"created_at": {"lt": "2026-01-02T00:00:00Z"}}, {"one"}),
    ({"categories": {"in": ["c2"]}}, {"two"}),
    ({"categories": {"contains": "c3"}}, {"three"}),
]


@pytest.fixture(scope="module")
def filtered(mem0: Any, service: Service) -> tuple[Any, str]:
    """A user with three memories that differ in everything."""
    client, user = mem0.MemoryClient(api_key=service.key, host=service.url), f"filtered-{uuid.uuid4().hex}"
    for number, (word, agent) in enumerate((("one", None), ("two", "a"), ("three", "b")), 1):
        day = 1767225600 + (number - 1) * 86_400  # 2026-01-01 and on
        metadata = {"n": number, "categories": [f"c{number}"]}
        kept = {"metadata": metadata, "timestamp": day, "run_id": f"r{number}", "agent_id": agent}
        client.add(word, user_id=user, **kept)
    return client, user


@pytest.mark.parametrize(("more", "expected"), FILTERS, ids=[str(one[0]) for one in FILTERS])
def test_the_filter_language(filtered: tuple[Any, str], more: dict[str, Any], expected: set[str]) -> None:
    client, user = filtered
    filters = {"AND": [{"user_id": user}, more]}
    assert set(words(client.get_all(filters=filters))) == expected
    found = client.search("one two three", filters=filters)
    assert set(words(found)) == expected


def test_filters_that_name_nobody_or_nothing_known_are_refused(filtered: tuple[Any, str], mem0: Any) -> None:
    client, user = filtered
    wrong = [
        None,
        {"metadata": {"n": 1}},
        {"OR": [{"user_id": user}, {"metadata": {"n": 1}}]},
        {"NOT": [{"user_id": user}]},
        {"user_id": "*"},
        {"user_id": user, "shoe_size": 43},
        {"user_id": {"like": user}},
        {"user_id": user, "created_at": {"gte": "yesterday"}},
        {"user_id": user, "metadata": {"n": {"in": []}}},
    ]
    for filters in wrong:
        with pytest.raises(mem0.exceptions.ValidationError):
            client.get_all(filters=filters)


def test_a_search_over_too_many_users_is_refused(filtered: tuple[Any, str], mem0: Any) -> None:
    client, _ = filtered
    many = {"user_id": {"in": [f"nobody-{number}" for number in range(21)]}}
    assert words(client.get_all(filters=many)) == []
    with pytest.raises(mem0.exceptions.ValidationError):
        client.search("one", filters=many)


def test_quotes_in_filters_are_only_words(filtered: tuple[Any, str]) -> None:
    client, user = filtered
    for odd in ('x") || (1 == 1', "'; DROP TABLE memory_turns; --", '\\" || true', "$.user_id", "\u2028", "{}"):
        assert words(client.get_all(filters={"user_id": user, "metadata": {odd: odd}})) == []
        assert words(client.get_all(filters={"user_id": odd})) == []
        assert words(client.get_all(filters={"user_id": user, "keywords": {"contains": odd}})) == []


def test_a_wrong_key_is_refused(mem0: Any, service: Service) -> None:
    with pytest.raises(ValueError, match="401"):
        mem0.MemoryClient(api_key="cmg_nobody_0123456789", host=service.url)


async def test_the_asynchronous_client(async_client: Any, user: str) -> None:
    added = await async_client.add(TALK, user_id=user)
    first = added["results"][0]["id"]
    assert (await async_client.get(first))["memory"] == TALK[1]["content"]
    assert words(await async_client.search("nuts", filters={"user_id": user}))[0] in {
        TALK[1]["content"],
        TALK[2]["content"],
    }
    await async_client.update(first, text="No nuts")
    assert len(await async_client.history(first)) == 2
    await async_client.delete(first)
    await async_client.delete_all(user_id=user)
    assert words(await async_client.get_all(filters={"user_id": user})) == []
    assert "MEM0_API_KEY" not in os.environ


def test_an_event_tells_how_an_add_went(client: Any, user: str) -> None:
    event = client.add("Something", user_id=user)["event_id"]

    def told() -> tuple[str, int]:
        answer = client.client.get(f"/v1/event/{event}/").json()
        return answer["status"], len(answer["results"])

    assert told() in {("PENDING", 1), ("SUCCEEDED", 1)}
    wait_until(lambda: told() == ("SUCCEEDED", 1), 20, "the memory can be found by its meaning")
    assert client.client.get(f"/v1/event/{uuid.uuid4()}/").status_code == 404


def refused(mem0: Any, call: Callable[[], Any]) -> str:
    """The field that a refusal names."""
    with pytest.raises((mem0.exceptions.ValidationError, mem0.exceptions.MemoryNotFoundError)) as caught:
        call()
    return str(json.loads(str(caught.value))["error"]["param"])


def test_an_add_that_says_nothing_is_refused(client: Any, user: str, mem0: Any) -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    for content in ("", " ", "\u200b", [image], image):
        said = [{"role": "user", "content": content}]
        assert refused(mem0, lambda said=said: client.add(said, user_id=user)) == "messages"
    added = client.add([{"role": "user", "content": image}, {"role": "user", "content": "My cat"}], user_id=user)
    assert words(added) == ["My cat"]


def test_a_refusal_names_the_fields_of_the_client(client: Any, user: str, mem0: Any) -> None:
    (added,) = client.add("Lives in Oslo", user_id=user)["results"]
    for change in ({"text": ""}, {"timestamp": "soon"}, {"expiration_date": "soon"}):
        assert refused(mem0, lambda change=change: client.update(added["id"], **change)) == next(iter(change))
    assert refused(mem0, lambda: client.update(added["id"], content="Not a field of theirs")) == "text"
    assert refused(mem0, lambda: client.add("Now", user_id=user, timestamp="soon")) == "timestamp"
    assert len(client.history(added["id"])) == 1


def test_a_batch_with_one_wrong_entry_changes_nothing(client: Any, user: str, mem0: Any) -> None:
    ids = [client.add(text, user_id=user)["results"][0]["id"] for text in ("One", "Two")]
    missing = {"memory_id": str(uuid.uuid4()), "text": "x"}
    good = [{"memory_id": one, "text": "Changed"} for one in ids]
    assert refused(mem0, lambda: client.batch_update([*good, missing])) == "memories[2].memory_id"
    assert refused(mem0, lambda: client.batch_update([*good, {"memory_id": ids[0], "text": ""}])) == "text"
    assert refused(mem0, lambda: client.batch_delete([{"memory_id": ids[0]}, missing])) == "memories[1].memory_id"
    assert set(words(client.get_all(filters={"user_id": user}))) == {"One", "Two"}
    client.batch_delete([{"memory_id": ids[0]}] * 2)
    assert words(client.get_all(filters={"user_id": user})) == ["Two"]


def test_delete_all_takes_the_filters_of_its_options(client: Any, user: str, mem0: Any) -> None:
    from mem0.client.types import DeleteAllMemoryOptions

    client.add("In a run", user_id=user, run_id="it's")
    client.add("Keep this", user_id=user)
    for wrong in (
        {},
        {"user_id": "*"},
        {"user_id": {"in": [user]}},
        {"OR": [{"user_id": user}]},
        {"user_id": user, "a": 1},
    ):
        assert refused(mem0, lambda wrong=wrong: client.delete_all(filters=wrong)) in {"filters", "user_id"}
    assert client.get_all(filters={"user_id": user})["count"] == 2
    client.delete_all(DeleteAllMemoryOptions(filters={"user_id": user, "run_id": "it's"}))
    assert words(client.get_all(filters={"user_id": user})) == ["Keep this"]
    client.delete_all(filters={"user_id": user})
    assert client.get_all(filters={"user_id": user})["count"] == 0
