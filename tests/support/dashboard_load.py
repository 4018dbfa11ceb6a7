"""A load that leaves figures behind on every dashboard, also on the panels of what goes wrong."""

import asyncio
import json
import shutil
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmg.catalogue.rendering.rendering import rule_files
from cmg.kit.paths import faults_file
from cmg.telemetry.faults import Fault, Name, put_on
from support.api import Api
from support.faulty_upstream import closed_port
from support.processes import wait_until
from support.prometheus_server import ScrapingPrometheus
from support.service import Service, ServiceOptions, upstream_toml

FALLEN = "fallen/m"  # a model whose upstream takes no connection
OWN_RULES = """
groups:
  - name: dashboards-test
    interval: 1s
    rules:
      - alert: BreakerOpenNow
        expr: sum by (upstream) (cmg_upstream_breaker_open) > 0
        labels: {severity: P4, category: performance}
        annotations: {summary: a breaker is open, runbook_url: runbooks/dependencies.md}
"""


@dataclass
class Watched:
    """A service and a real Prometheus (if there is one) that scraped it; when the last part of its load began."""

    service: Service
    prometheus: ScrapingPrometheus | None
    last_at: float


@contextmanager
def watching(folder: Path) -> Iterator[Watched]:
    """Used for a while: chats with memory, streams, errors, refusals, a database that is away; then chats again."""
    options = ServiceOptions(settings_toml(folder), workers=2, console=True)
    with Service(options) as one, ExitStack() as stack:
        prometheus = None
        if shutil.which("prometheus"):
            server = ScrapingPrometheus(one.url, one.key, {**rule_files(), "own": OWN_RULES})
            prometheus = stack.enter_context(server)
        key = one.new_key(memory="on", budget={"period": "day", "usd": 10})
        for work in (use(one, key), misuse(one), trouble(one)):
            asyncio.run(work)
        wait_until(lambda: picture(one, "overview", "alerts")["values"], 60, "an alert that fires")
        time.sleep(2)
        last_at = time.time()
        time.sleep(2)
        asyncio.run(use(one, key))
        wait_until(lambda: picture(one, "application", "drain")["lines"], 60, "rates of the journal's drain")
        yield Watched(one, prometheus, last_at)


def get(service: Service, path: str) -> Any:
    """The JSON of a GET."""
    asked = urllib.request.Request(f"{service.url}{path}", headers={"Authorization": f"Bearer {service.key}"})
    with urllib.request.urlopen(asked, timeout=30) as answer:
        return json.load(answer)


def picture(service: Service, slug: str, panel: str) -> dict[str, Any]:
    """What a panel draws."""
    return dict(get(service, f"/admin/v1/dashboards/{slug}/panels/{panel}"))


def settings_toml(folder: Path) -> str:
    """Scrapes and looks each second, an upstream that is down, a rule that fires at once, and faults allowed."""
    rules = folder / "own.rules.yml"
    rules.write_text(OWN_RULES)
    return "\n".join(
        [
            upstream_toml("fallen", f"http://127.0.0.1:{closed_port()}/v1", '["fallen-only"]', retries=0),
            f'[timeseries]\nscrape_interval_s = 1\nrule_files = ["{rules}"]',
            "[health]\ninterval_s = 1\ndeadline_s = 1",
            "[drills]\nenabled = true",
        ]
    )


async def use(service: Service, key: str) -> None:
    """Chats with memory, streams and errors of five users."""
    async with Api(service.url, key) as api:
        for number in range(60):
            model = ("sim/echo", "sim/memory", "sim/echo", "sim/fail-503")[number % 4]
            said = {"role": "user", "content": f"We decided to use Postgres {number}, my dog is called Bruno."}
            body = {"model": model, "user": f"u{number % 5}", "thread_id": f"t{number % 5}", "messages": [said]}
            await api.post("/v1/chat/completions", {**body, "stream": number % 2 == 0})
            await asyncio.sleep(0.05)


async def misuse(service: Service) -> None:
    """What is refused and what fails: limits, strange and weak keys, an upstream that is down, a cache that is used."""
    held, cached = service.new_key(limits={"rpm": 1, "burst": 1}), service.new_key(response_cache_s=60)
    weak, nobody = service.new_key(scopes=["models"]), "cmg_nobody123456_0123456789abcdef0123456789abcdef"
    async with Api(service.url, service.key) as api:
        for turn in range(8):
            for key, model in ((held, "sim/echo"), (cached, "sim/echo"), (weak, "sim/echo"), ("", FALLEN)):
                await api.chat(model, key=key or service.key)
            await api.get("/v1/models", key=f"{nobody}{turn}")
            await api.get("/admin/v1/workspaces", key=weak)
            await asyncio.sleep(0.4)


async def trouble(service: Service) -> None:
    """A database that is slow, then gone for a moment."""
    for name, lasts_s in (("database_slow", 3.0), ("database_gone", 2.5)):
        _fault(service, name, lasts_s)  # type: ignore[arg-type]
        async with Api(service.url, service.key) as api:
            until = time.monotonic() + lasts_s + 0.5
            while time.monotonic() < until:
                await api.get("/admin/v1/keys")
                await asyncio.sleep(0.2)


def _fault(service: Service, name: Name, lasts_s: float) -> None:
    now = time.time()
    put_on(faults_file(service.data_dir), name, Fault(now, now + lasts_s))
