"""Logs from outside: lines of every process are found, through kill -9, by their workspace's administrators only."""

import json
import os
import select
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import pytest

from support.processes import kill, wait_until
from support.service import CMG, Service

CHAT = {"model": "sim/echo", "messages": [{"role": "user", "content": "Hello"}]}
LOGS = "/admin/v1/logs"


def found(at: Service, key: str | None = None, **asked: object) -> list[dict[str, Any]]:
    """The lines of a search."""
    status, page = at.call("GET", f"{LOGS}?{urllib.parse.urlencode(asked)}", key=key)
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


def wait_for(at: Service, count: int = 1, **asked: object) -> list[dict[str, Any]]:
    """The lines of a search, once there are so many."""
    wait_until(lambda: len(found(at, **asked)) >= count, 15, f"lines with {asked}")
    return found(at, **asked)


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
    wait_until(lambda: service.call("GET", LOGS)[0] == 200, 60, "the control plane answers again")

    def counted() -> list[int]:
        return [len(found(service, request_id=one)) for one in ids]

    wait_until(lambda: counted() == [1] * 20, 30, "every line is there once")
    time.sleep(1.5)
    assert counted() == [1] * 20


def test_a_collector_sends_lines_with_a_key_for_that_and_its_workspace_finds_them(service: Service) -> None:
    key = service.new_key(scopes=["logs:write"])
    record = {"body": {"stringValue": "1:M 24 Nov 2026 12:00:00.123 # Out of memory"}}
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "redis"}}]}
    export = {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [record]}]}]}
    assert service.call("POST", "/v1/logs", export, key=key) == (200, {})
    (line,) = found(service, service="redis", level="warning")
    assert (line["message"], line["log.level"]) == ("Out of memory", "warning")
    assert service.call("GET", LOGS, key=key)[0] == 403
    assert service.call("POST", "/v1/logs", export, key=service.new_key())[0] == 403


def test_a_level_reaches_every_process_and_is_taken_back(service: Service) -> None:
    told = {"logger": "cmg.access", "level": "debug", "for": "10m"}
    assert service.call("PUT", f"{LOGS}/levels", told)[0] == 200

    def good_calls() -> list[dict[str, Any]]:
        service.call("GET", "/v1/models")
        return [one for one in found(service, logger="cmg.access") if one["http.response.status_code"] == 200]

    wait_until(lambda: bool(good_calls()), 15, "good requests are lines now")
    status, levels = service.call("GET", f"{LOGS}/levels")
    assert (status, levels["default"], levels["items"][0]["logger"]) == (200, "info", "cmg.access")
    assert service.call("DELETE", f"{LOGS}/levels/cmg.access")[0] == 204
    assert service.call("PUT", f"{LOGS}/levels", told, key=service.new_key(scopes=["admin"]))[0] == 403


def test_a_tail_streams_new_lines_through_the_gateway(service: Service) -> None:
    request = urllib.request.Request(
        f"{service.url}{LOGS}/tail?logger=cmg.access", headers={"authorization": f"Bearer {service.key}"}
    )
    with urllib.request.urlopen(request, timeout=20) as stream:
        time.sleep(0.5)
        wanted = refused_call(service, service.key)
        line = stream.readline()
        while wanted.encode() not in line:
            line = stream.readline()
    assert b'"http.response.status_code":404' in line


def test_patterns_count_kinds_of_lines(service: Service) -> None:
    refused_call(service, service.key)
    wait_until(lambda: bool(found(service, logger="cmg.access")), 15, "there is a line")
    status, page = service.call("GET", f"{LOGS}/patterns?logger=cmg.access")
    assert status == 200
    assert ("request", True) in [(one["template"], one["new"]) for one in page["items"]]


def test_the_databases_own_log_is_there(service: Service) -> None:
    (line, *_) = wait_for(service, service="postgresql")
    assert line["log.logger"] == "postgres"


def test_the_command_line_searches_and_follows(service: Service) -> None:
    request_id = refused_call(service, service.key)
    wait_for(service, request_id=request_id)
    done = command(service, "logs", "search", "request", "--request-id", request_id, "--json")
    assert (done.returncode, [one["cmg.request_id"] for one in json.loads(done.stdout)["items"]]) == (0, [request_id])
    assert command(service, "logs", "search", "--request-id", "nobody").returncode == 1
    assert command(service, "logs", "search", "--level", "loud").returncode == 2
    assert "request" in command(service, "logs", "patterns").stdout
    told = [str(CMG), "logs", "tail", "--logger", "cmg.access", "--json"]
    with subprocess.Popen(told, env=environ(service), stdout=subprocess.PIPE, text=True) as tail:
        try:
            assert tail.stdout is not None
            wait_until(lambda: _called_and_told(service, tail), 60, "a line is told")
            assert json.loads(tail.stdout.readline())["log.logger"] == "cmg.access"
        finally:
            tail.terminate()


def _called_and_told(service: Service, tail: subprocess.Popen[str]) -> bool:
    """What was called before the command began to follow is not told, so it is called again."""
    refused_call(service, service.key)
    return bool(select.select([tail.stdout], [], [], 0.3)[0])


def test_a_hold_is_placed_seen_and_released(service: Service) -> None:
    status, hold = service.call("POST", f"{LOGS}/holds", {"reason": "case 7", "since": "2d"})
    assert status == 201, hold
    assert service.call("GET", f"{LOGS}/holds")[1]["items"][0]["reason"] == "case 7"
    assert service.call("DELETE", f"{LOGS}/holds/{hold['hold']}")[0] == 204
    trail = service.call("GET", "/admin/v1/audit?action=logs.release")[1]
    assert trail["items"][0]["target"] == hold["hold"]


def environ(service: Service) -> dict[str, str]:
    """The environment of a command on the service's data."""
    return {**os.environ, "CMG_DATA_DIR": str(service.data_dir)}


def command(service: Service, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `cmg` on the service's data."""
    told = [str(CMG), *words]
    return subprocess.run(told, env=environ(service), capture_output=True, text=True, timeout=120, check=False)
