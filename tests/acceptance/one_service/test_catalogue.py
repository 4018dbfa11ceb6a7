"""The catalogue of metrics against a running service: what is declared is shown, and nothing else."""

from __future__ import annotations

import asyncio

from prometheus_client.parser import text_string_to_metric_families as parse_text

from cmg.catalogue.metrics import BY_NAME, METRICS
from support.api import Api
from support.late import openai
from support.service import eventually


async def _shown(api: Api) -> dict[str, int]:
    """Metrics of the catalogue's kind → how many label sets they show."""
    answer = await api.get("/metrics")
    found: dict[str, set[tuple[tuple[str, str], ...]]] = {}
    for family in parse_text(answer.body.decode()):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        for sample in family.samples:
            labels = tuple(sorted(pair for pair in sample.labels.items() if pair[0] != "le"))
            found.setdefault(name, set()).add(labels)
    return {name: len(labels) for name, labels in found.items() if name.startswith("cmg_")}


async def _use(api: Api, client: openai.OpenAI, user: str) -> None:
    """A little of everything: calls that stream and do not, a fact, a recall, a strange key, a query."""
    for words in ("My dog is called Bruno.", "I prefer tea. What is my dog called?"):
        said = [{"role": "user", "content": words}]
        for stream in (True, False):
            told = client.chat.completions.create(model="sim/memory", user=user, messages=said, stream=stream)
            if stream:
                list(told)
    await api.post("/v1/ingest", {"user_id": user, "messages": [{"role": "user", "content": "We decided on Rust."}]})
    await api.post("/v1/recall", {"user_id": user, "query": "dog"})
    async with Api(api.url, "cmg_nobody123456_0123456789abcdef0123456789abcdef") as stranger:
        await stranger.get("/v1/models")
    await api.get("/api/v1/query?query=up")


async def test_every_metric_is_shown_and_no_other(api: Api, client: openai.OpenAI, user: str) -> None:
    wanted = {metric.name for metric in METRICS if metric.optional is None}

    async def all_there() -> dict[str, int] | None:
        await _use(api, client, user)  # again and again: a recall on a busy machine may come too late to give a note
        shown = await _shown(api)
        missing.clear()
        missing.update(wanted - shown.keys())
        return None if missing else shown

    missing: set[str] = set()
    try:
        shown = await eventually(all_there, 90, "every metric is shown")
    except AssertionError as error:
        raise AssertionError(f"never shown: {sorted(missing)}") from error
    strange = sorted(shown.keys() - BY_NAME.keys())
    assert not strange


async def test_no_metric_has_more_series_than_its_budget(api: Api) -> None:
    """Two gateways and three other processes add up; each keeps to the budget for itself."""
    for number in range(30):
        with_name = f"sim/echo-{number}"
        await api.post("/v1/chat/completions", {"model": with_name, "messages": [{"role": "user", "content": "x"}]})
    await asyncio.sleep(2.5)
    shown = await _shown(api)
    over = {name: count for name, count in shown.items() if count > BY_NAME[name].series + 1}  # and `other`
    assert not over


async def test_a_model_that_is_listed_counts_under_its_name(api: Api, client: openai.OpenAI) -> None:
    said = [{"role": "user", "content": "x"}]
    client.chat.completions.create(model="sim/echo", messages=said)
    await api.post("/v1/chat/completions", {"model": "sim/fail-503", "messages": said})

    async def counted() -> bool:
        text = (await api.get("/metrics")).body.decode()
        named = 'cmg_llm_calls_total{model="echo",route="chat",status="ok",upstream="sim"}' in text
        failed = 'cmg_llm_calls_total{model="fail-503",route="chat",status="error",upstream="sim"}' in text
        why = 'cmg_llm_errors_total{error="http_503",route="chat",upstream="sim"}' in text
        return named and failed and why

    await eventually(counted, 20, "calls are counted under the models' names")
