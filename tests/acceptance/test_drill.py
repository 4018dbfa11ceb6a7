"""`cmg drill` on the real service: each fault is noticed, told, escalated and over, and nobody is called."""

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cmg.app.drills.scenarios import SCENARIOS
from support.fake_receivers import channels_at, receiving
from support.service import CMG, WITHOUT_EMBEDDER, Service, ServiceOptions

# The catalogue's rules wait for minutes; these notice the same quantities within seconds.
RULES = """
groups:
  - name: quick
    interval: 1s
    rules:
      - alert: QuickUpstream
        expr: sum(increase(cmg_llm_calls_total{status="error"}[5s])) > 5
        labels: {severity: P1, category: test, quantity: upstream_errors}
        annotations: {summary: Calls fail, runbook: none.md}
      - alert: QuickDatabase
        expr: sum(increase(cmg_database_away_total[6s])) > 0
        labels: {severity: P1, category: test, quantity: database}
        annotations: {summary: The database is away, runbook: none.md}
      - alert: QuickDisk
        expr: min(cmg_disk_space_bytes{volume="data", state="free"}) == 0
        labels: {severity: P2, category: test, quantity: disk}
        annotations: {summary: The disk is full, runbook: none.md}
      - alert: QuickSlow
        expr: sum(increase(cmg_database_slow_queries_total[5s])) > 3
        labels: {severity: P2, category: test, quantity: database_query_time}
        annotations: {summary: The database is slow, runbook: none.md}
      - alert: QuickCache
        expr: max(cmg_health_level{component="cache"}) > 0
        labels: {severity: P2, category: test, quantity: cache}
        annotations: {summary: The cache is away, runbook: none.md}
      - alert: QuickQueue
        expr: max(cmg_jobs_waiting{status="queued"}) > 1000
        labels: {severity: P2, category: test, quantity: queue_depth}
        annotations: {summary: Jobs wait, runbook: none.md}
      - alert: QuickErrors
        expr: sum(increase(cmg_http_requests_total{status=~"5.."}[5s])) > 5
        labels: {severity: P1, category: test, quantity: error_rate}
        annotations: {summary: Calls fail, runbook: none.md}
"""
MEASURES = ["detection", "notification", "escalation", "recovery"]


def toml(folder: Path, enabled: str) -> str:
    file = folder / "rules.yml"
    file.write_text(RULES)
    quick = f'[health]\ninterval_s = 2\n[timeseries]\nscrape_interval_s = 1\nrule_files = ["{file}"]\n'
    return f"[drills]\nenabled = {enabled}\n{quick}{WITHOUT_EMBEDDER}"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(ServiceOptions(toml=toml(tmp_path_factory.mktemp("drill"), "true"))) as running:
        yield running


def cmg(service: Service, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    known = {**service._environ(), "PATH": os.environ["PATH"], **environ}
    return subprocess.run([str(CMG), *words], env=known, capture_output=True, text=True, timeout=300, check=False)


def people(service: Service, url: str) -> None:
    """Ada, then Bob a minute later, by SMS."""
    documents: dict[str, Any] = {
        "notification-channels/sms": channels_at(url)["sms"],
        "responders/ada": {"name": "Ada", "contacts": [{"channel": "sms", "address": "+15550001"}]},
        "responders/bob": {"name": "Bob", "contacts": [{"channel": "sms", "address": "+15550002"}]},
        "escalation-policies/default": {
            "name": "All",
            "steps": [
                {"after_minutes": 0, "targets": [{"responder": "ada"}]},
                {"after_minutes": 1, "targets": [{"responder": "bob"}]},
            ],
        },
        "alert-handling/default": {"wait_seconds": 0},
    }
    for path, body in documents.items():
        status, answer = service.call("PUT", f"/admin/v1/{path}", body)
        assert status == 200, answer


# Rules of a service that began a moment ago read their past from the database, so a slow one takes minutes to notice.
DRILLED = sorted(set(SCENARIOS) - {"database-slow"})


async def test_drills_measure_everything_and_call_nobody(service: Service) -> None:
    """One after the other on one service, so what one leaves behind is seen in the next."""
    async with receiving() as receivers:
        await asyncio.to_thread(people, service, receivers.url)
        ran = await asyncio.to_thread(cmg, service, "drill", *DRILLED, "--minute", "1", "--json")
        assert ran.returncode == 0, ran.stdout + ran.stderr + service.tail()
        found = json.loads(ran.stdout)["measures"]
        assert [(one["drill"], one["measure"]) for one in found] == [
            (name, measure) for name in DRILLED for measure in MEASURES
        ]
        assert all(one["met"] and one["seconds"] is not None for one in found), found
        due = {one["target"] for one in found if one["measure"] == "escalation"}
        assert due == {1 + 30}, "a minute counts for a second"
        assert receivers.got == [], "it is only written down"
    _, left = await asyncio.to_thread(service.call, "GET", "/admin/v1/drills")
    assert [one["id"] for one in left["items"] if one["alerts_until"] is None] == []
    _, incidents = await asyncio.to_thread(service.call, "GET", "/admin/v1/incidents")
    assert incidents["items"] == []


def test_calls_of_a_drill_use_up_no_error_budget(service: Service) -> None:
    """It runs after the drills: their failed calls are there, and none of them is under a route of clients."""
    _, text = service.call("GET", "/metrics")
    failed = [
        line for line in str(text).splitlines() if line.startswith("cmg_http_requests_total") and 'status="5' in line
    ]
    assert any('route="drill"' in line for line in failed)
    assert not any('route="/v1/chat' in line for line in failed), failed


def test_nothing_can_be_made_to_fail_unless_the_setting_allows_it(service: Service, tmp_path: Path) -> None:
    settings = tmp_path / "cmg.toml"
    settings.write_text(toml(tmp_path, "false"))
    refused = cmg(service, "drill", "disk-filling", CMG_CONFIG=str(settings))
    assert (refused.returncode, "drills.enabled" in refused.stderr) == (1, True)
    assert cmg(service, "drill", "no-such").returncode == 2
    assert "monitor-death" in cmg(service, "drill").stdout
