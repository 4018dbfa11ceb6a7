"""Alerting over several programs: a real Prometheus for workspaces' rules, and a pager that stands still."""

import asyncio
import json
import os
import secrets
import signal
import time
from collections.abc import AsyncIterator

import pytest

from acceptance.test_alerting import messages, people, put
from cmg.catalogue.rendering.prometheus import compose
from support.fake_receivers import Receivers, receiving
from support.postgres import OwnPostgres
from support.prometheus_server import ScrapingPrometheus
from support.service import WITHOUT_EMBEDDER, Service, ServiceOptions, eventually


@pytest.fixture
async def receivers() -> AsyncIterator[Receivers]:
    async with receiving() as made:
        yield made


class WorkspacePrometheus(ScrapingPrometheus):
    """Scrapes what `deploy/` has it scrape for workspaces, every second."""

    def aim(self, target: str, key: str) -> None:
        job = next(one for one in compose()["scrape_configs"] if one["job_name"] == "cmg-workspaces")
        job.pop("dns_sd_configs")
        job |= {"scrape_interval": "1s", "scrape_timeout": "1s", "authorization": {"credentials": key}}
        job["static_configs"] = [{"targets": [target.removeprefix("http://")]}]
        told = {"global": {"evaluation_interval": "1s"}, "scrape_configs": [job]}
        (self._folder / "prometheus.yml").write_text(json.dumps(told))


@pytest.mark.needs("prometheus", "promtool")
async def test_a_prometheus_elsewhere_evaluates_a_workspaces_rule(receivers: Receivers) -> None:
    prometheus = WorkspacePrometheus("", "", {})
    service = Service(ServiceOptions(WITHOUT_EMBEDDER, environ={"CMG_PROMETHEUS_URL": prometheus.url}))
    prometheus.aim(service.url, service.key)
    with prometheus:
        await asyncio.to_thread(service.start)
        try:
            await people(service, receivers)
            rule = {"expr": "sum(increase(cmg_workspace_calls_total[2m])) > 1", "severity": "P1", "summary": "Busy"}
            await put(service, "alert-rules/busy", rule)
            body = {"model": "sim/echo", "messages": [{"role": "user", "content": "x"}]}
            assert (await asyncio.to_thread(service.call, "POST", "/v1/chat/completions", body))[0] == 200

            async def scraped() -> list[dict[str, str]]:
                found = prometheus.ask("/api/v1/query", query="cmg_workspace_calls_total")["data"]["result"]
                return [one["metric"] for one in found]

            series = await eventually(scraped, 30, "Prometheus has the workspace's series")
            assert all(set(one) == {"__name__", "workspace", "outcome"} for one in series), "no label says where"
            for _ in range(5):
                await asyncio.to_thread(service.call, "POST", "/v1/chat/completions", body)
            (told,) = await messages(receivers, "Busy", wait_s=150)
            assert told.startswith("[P1]")
        finally:
            await asyncio.to_thread(service.close)


@pytest.mark.parametrize("still", ["process", "machine"])
async def test_while_the_only_pager_stands_still_somebody_else_pages(receivers: Receivers, still: str) -> None:
    """Its process is replaced by the supervisor; for a whole machine the auditor of another one takes its place."""
    database = OwnPostgres()
    machines: list[Service] = []
    shared = {"CMG_DATABASE_URL": database.dsn, "CMG_MASTER_KEY": secrets.token_hex(32)}

    def machine(role: str) -> Service:
        made = Service(ServiceOptions(WITHOUT_EMBEDDER, environ=shared, role=role))
        machines.append(made)
        made.key = machines[0].key
        made.start()
        return made

    try:
        worker = await asyncio.to_thread(machine, "worker")
        monitor = await asyncio.to_thread(machine, "monitor")
        await people(worker, receivers)
        stopped = monitor.pids("backstage")
        if still == "machine":
            stopped.insert(0, monitor.process.pid)
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        begun = time.monotonic()
        down = {"labels": {"alertname": "Down", "severity": "critical"}, "annotations": {"summary": "All is down"}}
        status, _ = await asyncio.to_thread(worker.call, "POST", "/admin/v1/alerts", {"alerts": [down]})
        assert status == 202
        (told,) = await messages(receivers, "All is down", wait_s=180)
        assert told.startswith("[P1]")
        took = time.monotonic() - begun
        if still == "machine":
            assert 60 <= took <= 170, "what is a minute late at two looks, half a minute apart"
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
        else:
            assert took <= 60, "it is killed after 20 seconds"
        await asyncio.sleep(10)
        assert len(await messages(receivers, "All is down")) == 1, "the pager that goes on tells nobody again"
    finally:
        for one in machines:
            await asyncio.to_thread(one.close)
        await asyncio.to_thread(database.close)
