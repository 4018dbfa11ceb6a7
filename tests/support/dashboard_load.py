"""A load that leaves figures behind on every dashboard, also on the panels of what goes wrong."""

import asyncio
import time
from pathlib import Path

from cmg.kit.paths import faults_file
from cmg.telemetry.faults import Fault, Name, put_on
from support.api import Api
from support.faulty_upstream import closed_port
from support.service import Service, upstream_toml

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
