"""Logs from outside: lines of every process are found, through kill -9, by their workspace's administrators only."""

import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from support.processes import kill, wait_until
from support.service import Service, ServiceOptions

CHAT = {"model": "sim/echo", "messages": [{"role": "user", "content": "Hello"}]}
LOGS = "/admin/v1/logs"


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """One service for these tests."""
    with Service(ServiceOptions(workers=2)) as one:
        yield one


def found(service: Service, key: str | None = None, **asked: object) -> list[dict[str, Any]]:
    """The lines of a search."""
    status, page = service.call("GET", f"{LOGS}?{urllib.parse.urlencode(asked)}", key=key)
    assert status == 200, page
    return list(page["items"])


def refused_call(service: Service, key: str) -> str:
    """A call that fails; returns the id of its request."""
    request = urllib.request.Request(
        f"{service.url}/v1/models/none/such", headers={"authorization": f"Bearer {key}"}, method="GET"
    )
    with pytest.raises(urllib.error.HTTPError) as told:
        urllib.request.urlopen(request, timeout=10)
    return str(told.value.headers["x-cmg-request-id"])


def wait_for(service: Service, count: int = 1, **asked: object) -> list[dict[str, Any]]:
    """The lines of a search, once there are so many."""
    wait_until(lambda: len(found(service, **asked)) >= count, 15, f"lines with {asked}")
    return found(service, **asked)


def test_a_failed_request_is_found_by_the_id_that_its_answer_carried(service: Service) -> None:
    request_id = refused_call(service, service.key)
    (line,) = wait_for(service, request_id=request_id)
    assert (line["http.response.status_code"], line["log.logger"]) == (404, "cmg.access")
    assert (line["cmg.workspace"], line["process.name"][:8]) == ("default", "gateway-")


def test_the_processes_lines_are_there(service: Service) -> None:
    kill(service.pids("notes")[0])
    (line, *_) = wait_for(service, q='"a process ended and is replaced"')
    assert (line["process.name"], line["log.level"]) == ("supervisor", "error")


def test_an_administrator_of_a_workspace_sees_its_lines_only(service: Service) -> None:
    service.call("POST", "/admin/v1/workspaces", {"id": "team", "name": "Team"})
    key = service.new_key(workspace="team", scopes=["admin", "models"])
    mine, others = refused_call(service, key), refused_call(service, service.key)
    wait_for(service, request_id=others)
    wait_for(service, request_id=mine)
    assert [line["cmg.request_id"] for line in found(service, key=key)] == [mine]
    assert not found(service, key=key, request_id=others)
    status, answer = service.call("GET", f"{LOGS}?workspace=default", key=key)
    assert (status, answer["error"]["param"]) == (404, "workspace")


def test_a_key_without_the_scope_sees_nothing(service: Service) -> None:
    assert service.call("GET", LOGS, key=service.new_key())[0] == 403


@pytest.mark.parametrize("kind", ["gateway", "backstage"])
def test_no_line_is_doubled_or_lost_when_a_process_is_killed(service: Service, kind: str) -> None:
    ids = [refused_call(service, service.key) for _ in range(20)]
    time.sleep(0.3)  # longer than lines stay in a process' memory
    kill(service.pids(kind)[0])
    wait_until(lambda: service.get_status("/health") == 200, 20, "the service answers again")

    def counted() -> list[int]:
        return [len(found(service, request_id=one)) for one in ids]

    wait_until(lambda: counted() == [1] * 20, 30, "every line is there once")
    time.sleep(1.5)
    assert counted() == [1] * 20
