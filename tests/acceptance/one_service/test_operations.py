"""Probes, metrics over two workers, the audit trail, starting and stopping as an operator sees them."""

import asyncio
import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from cmg.kit.paths import runtime_dir
from support.api import Api
from support.faulty_plan import TEXT, Plan
from support.faulty_upstream import FaultyUpstream
from support.processes import descendants, kill, wait_until
from support.service import CMG, Service, ServiceOptions, eventually, upstream_toml


async def _total(api: Api, name: str, **labels: str) -> float:
    text = (await api.get("/metrics")).body.decode()
    samples = [s for family in parse_text(text) for s in family.samples if s.name == name]
    return sum(s.value for s in samples if labels.items() <= s.labels.items())


async def test_counters_add_up_over_two_workers(api: Api, model: str) -> None:
    route = {"route": "/v1/chat/completions", "status": "200"}
    before = await _total(api, "cmg_http_requests_total", **route)
    answers = await asyncio.gather(*(api.chat(model) for _ in range(50)))
    assert {answer.status for answer in answers} == {200}
    for _ in range(4):
        assert await _total(api, "cmg_http_requests_total", **route) == before + 50
    buckets = await _total(api, "cmg_http_request_duration_seconds_count", route="/v1/chat/completions")
    assert buckets >= before + 50


async def test_metrics_parse_as_openmetrics_too(api: Api) -> None:
    answer = await api.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    families = {family.name: family for family in parse_openmetrics(answer.body.decode())}
    assert families["cmg_http_requests"].type == "counter"
    assert all(family.documentation for name, family in families.items() if name.startswith("cmg_"))


async def test_metrics_need_a_key_with_the_scope(api: Api, service: Service) -> None:
    assert (await api.get("/metrics", key="")).status == 401
    assert (await api.get("/metrics", key=service.new_key(scopes=["chat"]))).status == 403
    assert (await api.get("/metrics", key=service.new_key(scopes=["metrics"]))).status == 200


async def test_a_model_name_of_a_clients_fancy_is_no_label(api: Api) -> None:
    fancy = [f"m-fancy-{number}" for number in range(30)]
    await asyncio.gather(*(api.chat(name) for name in fancy))
    text = (await api.get("/metrics")).body
    assert sum(name.encode() in text for name in fancy) == 0
    await asyncio.gather(*(api.get(f"/v1/odd/{name}") for name in fancy))
    assert b"/v1/odd/" not in (await api.get("/metrics")).body


@pytest.mark.parametrize("path", ["/v1/models", "/admin/v1/usage"])
def test_an_answer_is_dated_once_also_when_it_was_passed_on(service: Service, path: str) -> None:
    asked = urllib.request.Request(service.url + path, headers={"authorization": f"Bearer {service.key}"})
    with urllib.request.urlopen(asked, timeout=30) as answer:
        assert len(answer.headers.get_all("date")) == 1


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/health"])
async def test_probes_answer_without_a_key(service: Service, api: Api, path: str) -> None:
    answer = await api.get(path, key="")
    assert answer.status == 200
    if path == "/health":
        assert answer.headers["content-type"].startswith("application/health+json")
        assert set(answer.json) == {"status", "level", "serviceId"}, "a stranger sees the level alone"
    else:
        asked = urllib.request.Request(service.url + path, method="HEAD")
        with await asyncio.to_thread(urllib.request.urlopen, asked, timeout=30) as head:
            assert (head.status, head.read()) == (200, b"")


async def test_detailed_health_tells_every_part_and_dependencies_what_is_outside(api: Api, model: str) -> None:
    await api.chat(model)
    detailed, outside = (await api.get("/health/detailed")).json, (await api.get("/health/dependencies")).json
    named = {"process:uptime", "gateway:undrained", "jobs:due", "gateway:answers", "database:writes", "timeseries:age"}
    assert named <= set(detailed["checks"])
    answering = {one["componentId"]: one["observedValue"] for one in detailed["checks"]["gateway:answers"]}
    assert answering == {"gateway-0": True, "gateway-1": True}
    assert set(outside["levels"]) == {"database", "upstream/faulty", "upstream/backup", "upstream/refusing"}
    assert {key.partition(":")[0] for key in outside["checks"]} == {"database", "upstream"}


async def test_an_upstream_that_refuses_degrades_and_one_that_is_not_configured_does_not(api: Api) -> None:
    await api.chat("unset/anything")
    told = (await api.get("/health")).json
    assert told["level"] == "DEGRADED"
    assert "upstream/unset" not in told["levels"]
    assert told["levels"]["upstream/refusing"] == "UNHEALTHY"


async def test_every_administrative_change_is_in_the_verified_trail(api: Api, service: Service) -> None:
    made = service.new_key_full()
    service.call("DELETE", f"/admin/v1/keys/{made['id']}")
    answer = await api.get("/admin/v1/audit")
    assert answer.status == 200
    told = [entry["action"] for entry in answer.json["items"] if made["id"] in json.dumps(entry)]
    assert len(told) >= 2, answer.json["items"][:3]
    assert made["key"].encode() not in answer.body


def _cmg(service: Service, *words: str) -> subprocess.CompletedProcess[str]:
    environ = service._environ()
    return subprocess.run([CMG, *words], env=environ, capture_output=True, text=True, timeout=60, check=False)


def test_the_command_line_makes_and_lists_keys(service: Service) -> None:
    made = _cmg(service, "keys", "create", "--name", "from-the-shell", "--json")
    assert made.returncode == 0, made.stderr
    key = json.loads(made.stdout)
    assert service.call("POST", "/v1/chat/completions", _echo(), key=key["key"])[0] == 200
    listed = json.loads(_cmg(service, "keys", "list", "--json").stdout)
    assert key["id"] in json.dumps(listed)
    assert key["key"] not in json.dumps(listed)


def _echo() -> dict:
    return {"model": "sim/echo", "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize("words", [("audit", "verify"), ("doctor",), ("usage", "report", "--json")])
def test_read_only_commands_succeed(service: Service, words: tuple[str, ...]) -> None:
    run = _cmg(service, *words)
    assert run.returncode == 0, run.stdout + run.stderr


def test_an_unknown_setting_stops_the_start_and_names_its_line(tmp_path: Path) -> None:
    config = tmp_path / "cmg.toml"
    config.write_text("port = 8000\n[memory]\nrecal_deadline_ms = 5\n")
    environ = {"PATH": os.environ["PATH"], "CMG_CONFIG": str(config), "CMG_DATA_DIR": str(tmp_path / "data")}
    run = subprocess.run([CMG, "serve"], env=environ, capture_output=True, text=True, timeout=30, check=False)
    assert run.returncode == 2
    assert "cmg.toml:3" in run.stdout + run.stderr
    assert "recal_deadline_ms" in run.stdout + run.stderr


@pytest.fixture(scope="module")
def own(upstream: FaultyUpstream) -> Iterator[Service]:
    """A service to stop and to freeze, which made its database's files itself, as a user's does at first."""
    with Service(ServiceOptions(toml=upstream_toml("faulty", upstream.url), from_nothing=True)) as running:
        yield running


async def test_a_stream_in_flight_finishes_when_the_service_stops(
    own: Service, upstream: FaultyUpstream, model: str
) -> None:
    upstream.script(model, Plan(chunk_delay_s=0.15))
    async with Api(own.url, own.key) as api:
        running = asyncio.create_task(api.stream(model))
        await eventually(lambda: _true(bool(upstream.calls_of(model))), 5, "the stream runs")
        assert own.process is not None
        own.process.send_signal(signal.SIGTERM)
        await eventually(lambda: _refused(own.port), 5, "new connections are refused")
        assert not running.done()
        stream = await running
        assert (stream.text, stream.done) == (TEXT, True)
        code = await asyncio.to_thread(own.process.wait, 30)
    assert code == 0, own.tail()
    assert wait_until(lambda: not descendants(own.process.pid), 5, "no child is left")
    assert not runtime_dir(own.data_dir).exists(), "nor the folder of its sockets"
    own.start()
    assert own.call("GET", "/admin/v1/usage?group_by=model")[1]["items"][0]["calls"] == 1


async def _true(value: object) -> bool:
    return bool(value)


async def _refused(port: int) -> bool:
    """Not: left waiting for nobody until the last stream has ended."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


async def test_a_frozen_database_degrades_memory_within_its_deadline_and_calls_go_on(own: Service, user: str) -> None:
    frozen: list[int] = []
    async with Api(own.url, own.key) as api:
        assert (await api.chat("sim/echo", "My cat is called Tigger.", user=user)).status == 200

        async def back() -> bool:
            return "Tigger" in (await api.chat("sim/memory", "What is my cat called?", user=user)).text

        await eventually(back, 15, "memory knows")
        try:
            frozen = [own.postmaster(), *descendants(own.postmaster())]
            for pid in frozen:
                kill(pid, signal.SIGSTOP)
            for _ in range(3):
                answer = await api.chat("sim/echo", "What is my cat called?", user=user)
                assert (answer.status, answer.headers["x-cmg-memory-status"]) == (200, "degraded")
                assert answer.took_s < 1, "the recall's deadline is 150 ms"
            ready = await api.get("/readyz")
            assert ready.status == 200
        finally:
            for pid in frozen:
                kill(pid, signal.SIGCONT)

        started = time.monotonic()
        await eventually(back, 15, "memory is back")
        print(f"memory back {time.monotonic() - started:.1f} s after the database")
