"""The catalogue's rules in a real Prometheus that scrapes the real service, and on the service's own API."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cmg.catalogue.rendering.rendering import rule_files
from cmg.timeseries.rules.files import RuleFile
from support.api import Api
from support.late import openai
from support.prometheus_server import ScrapingPrometheus
from support.service import Service, eventually

pytestmark = pytest.mark.needs("prometheus", "promtool")
FILES = [RuleFile.parse(text, name) for name, text in rule_files().items()]
RULES = [rule for file in FILES for group in file.groups for rule in group.rules]


def _call(client: openai.OpenAI) -> None:
    for _ in range(5):
        said = [{"role": "user", "content": "x"}]
        list(client.chat.completions.create(model="sim/echo", messages=said, stream=True))


async def test_every_rule_is_evaluated_on_the_services_own_metrics(service: Service, client: openai.OpenAI) -> None:
    with ScrapingPrometheus(service.url, service.key, rule_files()) as prometheus:

        async def evaluated() -> list[dict[str, Any]] | None:
            await asyncio.to_thread(_call, client)
            rules = await asyncio.to_thread(prometheus.rules)
            return rules if rules and all(rule["health"] != "unknown" for rule in rules) else None

        rules = await eventually(evaluated, 60, "every rule was evaluated")
        assert len(rules) == len(RULES)
        assert {rule["name"]: rule.get("lastError") for rule in rules if rule["health"] != "ok"} == {}

        async def recorded() -> bool:
            wanted = ("instance:cmg_cpu_use:ratio5m", "instance:cmg_disk_use:ratio", "route:cmg_http_requests:rate5m",
                      "upstream:cmg_llm_calls:increase5m", "cmg:database_connections_use:ratio",
                      "query:cmg_database_query_seconds:mean5m")  # fmt: skip
            answers = [prometheus.ask("/api/v1/query", query=name)["data"]["result"] for name in wanted]
            return all(answers)

        await eventually(recorded, 60, "quantities are recorded")


async def test_the_services_own_api_can_be_asked_every_rule(api: Api) -> None:
    for rule in RULES:
        answer = await api.session.post(
            f"{api.url}/api/v1/query", data={"query": rule.expr}, headers={"authorization": f"Bearer {api.key}"}
        )
        told = await answer.json()
        assert told["status"] == "success", (rule.name, told)
