"""`cmg drill` on the real service: each fault is noticed, told, escalated and over, and nobody is called."""

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.fake_receivers import channels_at, receiving
from support.service import CMG, Service, ServiceOptions

# The catalogue's rules wait for minutes; these notice the same quantities within seconds.
RULES = """
groups:
  - name: quick
    interval: 1s
    rules:
      - alert: QuickUpstream
        expr: sum(increase(cmg_llm_calls_total{status="error"}[10s])) > 5
        labels: {severity: P1, category: test, quantity: upstream_errors}
        annotations: {summary: Calls fail, runbook: none.md}
      - alert: QuickDatabase
        expr: sum(increase(cmg_database_away_total[15s])) > 0
        labels: {severity: P1, category: test, quantity: database}
        annotations: {summary: The database is away, runbook: none.md}
      - alert: QuickDisk
        expr: min(cmg_disk_space_bytes{volume="data", state="free"}) == 0
        labels: {severity: P2, category: test, quantity: disk}
        annotations: {summary: The disk is full, runbook: none.md}
"""
MEASURES = ["detection", "notification", "escalation", "recovery"]


def toml(folder: Path, enabled: str) -> str:
    file = folder / "rules.yml"
    file.write_text(RULES)
    return f'[drills]\nenabled = {enabled}\n[timeseries]\nscrape_interval_s = 1\nrule_files = ["{file}"]\n'


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(ServiceOptions(toml=toml(tmp_path_factory.mktemp("drill"), "true"))) as running:
        yield running


def cmg(service: Service, *words: str) -> subprocess.CompletedProcess[str]:
    environ = {**service._environ(), "PATH": os.environ["PATH"]}
    return subprocess.run([str(CMG), *words], env=environ, capture_output=True, text=True, timeout=240, check=False)


def people(service: Service, url: str) -> None:
    """Ada, then Bob 15 minutes later, by SMS."""
    documents: dict[str, Any] = {
        "notification-channels/sms": channels_at(url)["sms"],
        "responders/ada": {"name": "Ada", "contacts": [{"channel": "sms", "address": "+15550001"}]},
        "responders/bob": {"name": "Bob", "contacts": [{"channel": "sms", "address": "+15550002"}]},
        "escalation-policies/default": {
            "name": "All",
            "steps": [
                {"after_minutes": 0, "targets": [{"responder": "ada"}]},
                {"after_minutes": 15, "targets": [{"responder": "bob"}]},
            ],
        },
    }
    for path, body in documents.items():
        status, answer = service.call("PUT", f"/admin/v1/{path}", body)
        assert status == 200, answer


@pytest.mark.parametrize("name", ["database-gone", "disk-filling", "monitor-death", "upstream-503"])
async def test_a_drill_measures_everything_and_calls_nobody(service: Service, name: str) -> None:
    async with receiving() as receivers:
        await asyncio.to_thread(people, service, receivers.url)
        ran = await asyncio.to_thread(cmg, service, "drill", name, "--minute", "1", "--json")
        assert ran.returncode == 0, ran.stdout + ran.stderr + service.tail()
        found = json.loads(ran.stdout)
        assert [one["measure"] for one in found["measures"]] == MEASURES
        assert all(one["met"] and one["seconds"] is not None for one in found["measures"]), found
        assert found["measures"][2]["target"] == 15 + 30, "fifteen minutes count for fifteen seconds"
        assert receivers.got == [], "it is only written down"
    _, left = await asyncio.to_thread(service.call, "GET", "/admin/v1/drills")
    assert left["items"] == []
    _, incidents = await asyncio.to_thread(service.call, "GET", "/admin/v1/incidents")
    assert incidents["items"] == []


def test_nothing_can_be_made_to_fail_unless_the_setting_allows_it(tmp_path: Path) -> None:
    with Service(ServiceOptions(toml=toml(tmp_path, "false"))) as service:
        refused = cmg(service, "drill", "disk-filling")
        assert (refused.returncode, "drills.enabled" in refused.stderr) == (1, True)
        assert cmg(service, "drill", "no-such").returncode == 2
        assert "monitor-death" in cmg(service, "drill").stdout
