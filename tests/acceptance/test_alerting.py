"""From a rule to somebody's phone, on the real service: its own evaluator, a real Alertmanager, a killed backstage."""

import asyncio
import json
import os
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cmg.alerting.models import fingerprint
from support.fake_receivers import Receivers, channels_at, receiving
from support.processes import kill, wait_until
from support.service import CMG, WITHOUT_EMBEDDER, Service, ServiceOptions, free_port

RULES = """
groups:
  - name: acceptance
    interval: 2s
    rules:
      - alert: WeAreUp
        expr: up{job="cmg"} == 1
        labels: {severity: critical, category: test}
        annotations: {summary: We are up, runbook: none.md}
"""
WAIT_S = 30.0


@pytest.fixture
async def receivers() -> AsyncIterator[Receivers]:
    async with receiving() as made:
        yield made


async def put(service: Service, path: str, body: object) -> None:
    deadline = time.monotonic() + WAIT_S
    while True:
        status, answer = await asyncio.to_thread(service.call, "PUT", f"/admin/v1/{path}", body)
        if status != 503 or time.monotonic() > deadline:  # backstage starts a moment after the gateways answer
            break
        await asyncio.sleep(0.2)
    assert status == 200, answer


async def people(service: Service, receivers: Receivers) -> None:
    """Ada by SMS, then Bob by ntfy, a page for each group."""
    channels = channels_at(receivers.url)
    await put(service, "notification-channels/sms", channels["sms"])
    await put(service, "notification-channels/ntfy", channels["ntfy"])
    await put(service, "responders/ada", {"name": "Ada", "contacts": [{"channel": "sms", "address": "+15550001"}]})
    await put(service, "responders/bob", {"name": "Bob", "contacts": [{"channel": "ntfy", "address": "bob"}]})
    steps = [
        {"after_minutes": 0, "targets": [{"responder": "ada"}]},
        {"after_minutes": 15, "targets": [{"responder": "bob"}]},
    ]
    await put(service, "escalation-policies/default", {"name": "All", "steps": steps})
    await put(service, "alert-handling/default", {"wait_seconds": 0})


async def messages(receivers: Receivers, text: str, count: int = 1, wait_s: float = WAIT_S) -> list[str]:
    """The SMS that hold a text, once there are so many."""
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        found = [one.body["Body"] for one in receivers.got if isinstance(one.body, dict) and text in str(one.body)]
        if len(found) >= count:
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(f"{text!r} was told {len(found)} times: {receivers.got}")


def cmg(service: Service, *words: str) -> subprocess.CompletedProcess[str]:
    environ = {**service._environ(), "PATH": os.environ["PATH"]}
    return subprocess.run([str(CMG), *words], env=environ, capture_output=True, text=True, timeout=120, check=False)


async def test_a_rule_fires_and_a_phone_rings_over_a_kill(receivers: Receivers, tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(RULES)
    toml = f'[timeseries]\nscrape_interval_s = 1\nrule_files = ["{tmp_path / "rules.yml"}"]\n'
    toml += WITHOUT_EMBEDDER
    service = Service(ServiceOptions(toml=toml))
    await asyncio.to_thread(service.start)
    try:
        await people(service, receivers)
        (told,) = await messages(receivers, "We are up")
        assert told.startswith("[P1] We are up")
        _, shown = await asyncio.to_thread(service.call, "GET", "/api/v1/alerts")
        ours = [one for one in shown["data"]["alerts"] if one["labels"]["alertname"] == "WeAreUp"]
        assert [one["state"] for one in ours] == ["firing"]
        (backstage,) = service.pids("backstage")
        kill(backstage)
        await asyncio.to_thread(wait_until, lambda: set(service.pids("backstage")) - {backstage}, WAIT_S, "it is back")
        await asyncio.sleep(8)
        assert len(await messages(receivers, "We are up")) == 1, "what was told is not told again"
        listed = await asyncio.to_thread(cmg, service, "alerts", "list", "--json")
        (group,) = json.loads(listed.stdout)["groups"]
        acked = await asyncio.to_thread(cmg, service, "alerts", "ack", group["id"], "--json")
        assert json.loads(acked.stdout)["status"] == "acknowledged"
        why = await asyncio.to_thread(cmg, service, "alerts", "show", group["id"])
        assert "ada: no voice" in why.stdout
        layer = {"people": ["ada", "bob"], "starts_on": "2026-01-05"}
        await put(service, "schedules/main", {"name": "Main", "layers": [layer]})
        on_call = await asyncio.to_thread(cmg, service, "alerts", "oncall", "--json")
        _, shown = await asyncio.to_thread(service.call, "GET", "/admin/v1/alerts/oncall")
        for schedule in (*json.loads(on_call.stdout)["schedules"], *shown["items"]):
            assert {schedule["now"]["responder"], schedule["next"]["responder"]} == {"ada", "bob"}
            assert schedule["now"]["until"] == schedule["next"]["starts_at"]
        added = await asyncio.to_thread(cmg, service, "alerts", "feeds", "add", "--schedule", "main", "--json")
        status, calendar = await asyncio.to_thread(service.call, "GET", urlsplit(json.loads(added.stdout)["url"]).path)
        assert (status, calendar.startswith("BEGIN:VCALENDAR\r\n")) == (200, True), calendar
        tested = await asyncio.to_thread(cmg, service, "alerts", "test-channel", "sms", "--to", "+15550009")
        assert (tested.returncode, "It was sent" in tested.stdout) == (0, True), tested.stderr
    finally:
        await asyncio.to_thread(service.close)


@pytest.fixture(scope="module")
def own() -> Iterator[Service]:
    """A service as it comes; each test has people and an alert of its own there."""
    with Service(ServiceOptions(WITHOUT_EMBEDDER)) as running:
        yield running


ALERTMANAGER = """
route:
  receiver: cmg
  group_wait: 0s
  group_interval: 1s
receivers:
  - name: cmg
    webhook_configs:
      - url: {url}/hooks/alertmanager
        http_config: {{authorization: {{credentials: {key}}}}}
"""


@contextmanager
def alertmanager(service: Service, key: str, folder: Path) -> Iterator[str]:
    """A real one that sends everything to the service; its URL."""
    url = f"http://127.0.0.1:{free_port()}"
    (folder / "am.yml").write_text(ALERTMANAGER.format(url=service.url, key=key))
    command = ["prometheus-alertmanager", f"--config.file={folder / 'am.yml'}", f"--storage.path={folder / 'am'}"]
    command += [f"--web.listen-address={url.removeprefix('http://')}", "--cluster.listen-address="]
    with (folder / "am.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as manager:
        try:
            yield url
        finally:
            manager.terminate()


@pytest.mark.needs("prometheus-alertmanager", "amtool")
async def test_a_real_alertmanager_pages_through_the_hook(own: Service, receivers: Receivers, tmp_path: Path) -> None:
    await people(own, receivers)
    key = await asyncio.to_thread(lambda: own.new_key(scopes=["alerts"]))
    with alertmanager(own, key, tmp_path) as url:
        theirs = await asyncio.to_thread(fired, url)
        (told,) = await messages(receivers, "From afar")
    assert told.startswith("[P2] From afar")
    _, shown = await asyncio.to_thread(own.call, "GET", "/admin/v1/alerts?active=true")
    (alert,) = [one for one in shown["items"] if one["labels"]["alertname"] == "Far"]
    assert alert["id"] == theirs == fingerprint(alert["labels"])


def fired(url: str) -> str:
    """Give Alertmanager an alert; returns what it calls it."""
    amtool = ["amtool", f"--alertmanager.url={url}", "alert"]
    add = [*amtool, "add", "Far", "severity=high", "zone=eu", "--annotation=summary=From afar"]
    wait_until(lambda: subprocess.run(add, capture_output=True, check=False).returncode == 0, WAIT_S, "it takes one")
    said = subprocess.run([*amtool, "query", "-o", "json"], capture_output=True, check=True)
    return str(json.loads(said.stdout)[0]["fingerprint"])


def _by_hand(service: Service, labels: dict[str, str]) -> None:
    """The same rule, one made of a template, and what is said of the alert, on the command line."""
    shown = cmg(service, "alerts", "rules", "show", "busy", "--json")
    assert json.loads(shown.stdout)["state"]["active"][0]["state"] == "firing", shown.stderr
    made = cmg(service, "alerts", "rules", "put", "costs", "--template", "spend-spike", "--threshold", "3", "--json")
    assert (json.loads(made.stdout)["policy"], "> 3 *" in made.stdout) == ("default", True), made.stderr
    changed = cmg(service, "alerts", "rules", "put", "costs", "--severity", "P4", "--json")
    assert ("> 3 *" in changed.stdout, json.loads(changed.stdout)["severity"]) == (True, "P4")
    wrong = cmg(service, "alerts", "rules", "put", "bad", "--expr", "up > > 1")
    assert (wrong.returncode, "at column 6" in wrong.stderr) == (2, True), wrong.stderr
    assert cmg(service, "alerts", "rules", "remove", "costs").returncode == 0
    left = json.loads(cmg(service, "alerts", "rules", "list", "--json").stdout)
    assert [one["id"] for one in left] == ["busy"]
    said = cmg(service, "alerts", "feedback", fingerprint(labels), "noise", "--comment", "a test", "--json")
    assert json.loads(said.stdout)[0]["verdict"] == "noise", said.stderr
    noise = json.loads(cmg(service, "alerts", "noise", "--json").stdout)["items"]
    (told,) = [one for one in noise if one["rule"] == "busy"]
    assert (told["rule"], told["fired"], told["noise"], told["noise_share"]) == ("busy", 1, 1, 1.0)


async def test_a_workspaces_own_rule_fires_on_what_its_calls_cost(own: Service, receivers: Receivers) -> None:
    """Written by the workspace's key, evaluated on the ledger's figures, told by SMS; others see none of it."""
    await people(own, receivers)
    rule = {"expr": 'cmg_workspace_calls_total{outcome="ok"} >= 3', "severity": "P1", "summary": "Calls are made"}
    await put(own, "alert-rules/busy", rule)
    wrong = {**rule, "expr": 'cmg_workspace_calls_total{workspace="other"}'}
    status, refused = await asyncio.to_thread(own.call, "PUT", "/admin/v1/alert-rules/wrong", wrong)
    assert (status, refused["error"]["param"]) == (400, "expr")
    for _ in range(3):
        body = {"model": "sim/echo", "messages": [{"role": "user", "content": "x"}]}
        assert (await asyncio.to_thread(own.call, "POST", "/v1/chat/completions", body))[0] == 200
    (told,) = await messages(receivers, "Calls are made", wait_s=150)
    assert told.startswith("[P1]")
    _, state = await asyncio.to_thread(own.call, "GET", "/admin/v1/alert-rules/busy/state")
    assert [(one["state"], one["value"]) for one in state["active"]] == [("firing", 3.0)]
    query = "/api/v1/query?query=cmg_workspace_calls_total"
    _, shown = await asyncio.to_thread(own.call, "GET", query)
    assert {one["metric"]["workspace"] for one in shown["data"]["result"]} == {"default"}
    await asyncio.to_thread(_by_hand, own, state["active"][0]["labels"])
