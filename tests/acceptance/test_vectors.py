"""Vectors in the whole service: an ingest is done when they are there, whatever dies meanwhile."""

import asyncio
import contextlib
import os
import signal

import asyncpg
import pytest

from support.processes import kill, wait_until
from support.service import Service, ServiceOptions


def turns(count: int, mark: str = "turn") -> list[dict]:
    return [{"role": "user", "content": f"{mark} {number}: we walk the dog by the river"} for number in range(count)]


def ingest(service: Service, user: str, messages: list[dict], *, wait: bool):
    body = {"user_id": user, "thread_id": "t", "messages": messages, "wait": wait}
    return service.call("POST", "/v1/ingest", body)


def sql(service: Service, statement: str):
    async def ask():
        connection = await asyncpg.connect(service.database_url())
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(ask())


def status_of(service: Service, operation: str) -> str:
    return service.call("GET", f"/v1/operations/{operation}")[1]["status"]


@pytest.fixture(scope="module")
def service():
    with Service(ServiceOptions()) as one:
        yield one


def test_an_ingest_that_waits_is_done_when_its_vectors_are_there(service):
    status, answer = ingest(service, "waits", turns(5), wait=True)
    assert (status, answer["status"]) == (200, "done")
    left = sql(
        service,
        "SELECT count(*) FROM memory_turns t LEFT JOIN memory_vectors v USING (user_no, seq) WHERE v.seq IS NULL",
    )
    assert left == 0


def test_an_ingest_that_does_not_wait_is_queued_and_done_later(service):
    status, answer = ingest(service, "leaves", turns(20), wait=False)
    assert (status, answer["status"]) == (202, "queued")
    wait_until(lambda: status_of(service, answer["operation_id"]) == "done", 20, "the vectors are there")


def test_a_killed_embedder_is_replaced_and_nothing_is_lost(service):
    _, answer = ingest(service, "killed", turns(150), wait=False)
    [embedder] = service.pids("child embedder")
    kill(embedder)
    status, recalled = service.call("POST", "/v1/recall", {"user_id": "killed", "query": "dog river"})
    assert status == 200
    assert recalled["items"]
    wait_until(lambda: status_of(service, answer["operation_id"]) == "done", 40, "the vectors are there")
    assert sql(service, "SELECT count(*) FROM memory_unembeddable") == 0


def test_what_a_client_of_mem0_adds_has_succeeded_when_it_is_found_by_its_meaning(service):
    [embedder] = service.pids("child embedder")
    os.kill(embedder, signal.SIGSTOP)
    try:
        said = [{"role": "user", "content": "I play the violin"}]
        added = service.call("POST", "/v3/memories/add/", {"user_id": "mem0", "messages": said})[1]
        event = f"/v1/event/{added['event_id']}/"
        assert (added["status"], service.call("GET", event)[1]["status"]) == ("PENDING", "PENDING")
    finally:
        os.kill(embedder, signal.SIGCONT)
    wait_until(lambda: service.call("GET", event)[1]["status"] == "SUCCEEDED", 40, "the vectors are there")
    wish = {"query": "Which instrument?", "filters": {"user_id": "mem0"}}
    found = service.call("POST", "/v3/memories/search/", wish)[1]["results"]
    assert found[0]["memory"] == "I play the violin"


def test_killed_background_work_goes_on_where_it_was(service):
    _, answer = ingest(service, "backstage", turns(200), wait=False)
    [backstage] = service.pids("child backstage")
    kill(backstage)
    wait_until(lambda: status_of(service, answer["operation_id"]) == "done", 90, "the vectors are there")


def test_turns_of_calls_get_their_vectors(service):
    body = {
        "model": "sim/echo",
        "user": "caller",
        "thread_id": "c",
        "messages": [{"role": "user", "content": "I moved to Lisbon"}],
    }
    assert service.call("POST", "/v1/chat/completions", body)[0] == 200
    count = (
        "SELECT count(*) FROM memory_vectors JOIN memory_turns USING (user_no, seq) WHERE content = 'I moved to Lisbon'"
    )
    wait_until(lambda: sql(service, count) >= 1, 10, "the turn has a vector")


def test_without_an_embedder_an_ingest_is_done_at_once():
    with Service(ServiceOptions(toml='[memory]\nembedder = "none"\n')) as one:
        assert one.pids("child embedder") == []
        status, answer = ingest(one, "none", turns(3), wait=False)
        assert (status, answer["status"]) == (202, "done")
        assert one.call("GET", "/health")[1]["level"] == "HEALTHY"


def test_the_service_ends_as_quickly_as_before(service):
    with contextlib.suppress(AssertionError):
        wait_until(lambda: sql(service, "SELECT count(*) FROM memory_unembedded") == 0, 20, "the queue is empty")
    assert service.terminate(15) == 0
