"""Counters over kill -9 of a worker and of backstage, and over a restart: none falls, and nothing counts twice.

Each test looks at what is counted from its begin on.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse_text

from cmg.app.processes.metrics import POLL_S
from support.api import Api
from support.processes import kill
from support.service import Service, eventually

Counters = dict[tuple[str, tuple[tuple[str, str], ...]], float]
_COUNTING = ("_total", "_count", "_bucket", "_sum")


async def _counters(api: Api) -> Counters:
    answer = await api.get("/metrics")
    if answer.status != 200:
        return {}
    samples = [sample for family in parse_text(answer.body.decode()) for sample in family.samples]
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for s in samples if s.name.endswith(_COUNTING)}


def _calls(counters: Counters) -> float:
    return sum(value for (name, _), value in counters.items() if name == "cmg_llm_calls_total")


class _Watch:
    """Scrapes and compares with what was seen before."""

    def __init__(self, api: Api) -> None:
        self.api, self.seen = api, Counters()

    async def look(self) -> Counters:
        """The counters now; fails when one fell."""

        async def scraped() -> Counters:
            return await _counters(self.api)

        counters: Counters = await eventually(scraped, 20, "the metrics are there")
        fallen = {key: (value, counters.get(key)) for key, value in self.seen.items() if counters.get(key, 0) < value}
        assert not fallen
        self.seen = counters
        return counters


@pytest.fixture
async def watch(crashing: Service) -> AsyncIterator[_Watch]:
    """One that has seen nothing yet."""
    async with Api(crashing.url, crashing.key) as api:
        yield _Watch(api)


@pytest.mark.parametrize("kind", ["gateway", "backstage"])
async def test_no_counter_falls_or_doubles_when_a_process_is_killed(
    crashing: Service, watch: _Watch, model: str, kind: str
) -> None:
    before = _calls(await watch.look())
    for sent in range(1, 4):
        assert {(await watch.api.chat(model)).status for _ in range(10)} == {200}
        await asyncio.sleep(POLL_S + 1.0)  # what is counted has been polled: nothing may be missing
        victims = crashing.pids(kind)
        kill(victims[0])

        async def replaced(count: int = len(victims), gone: int = victims[0]) -> bool:
            return len(set(crashing.pids(kind)) - {gone}) == count

        await eventually(replaced, 10, "another takes its place")
        for _ in range(5):
            assert _calls(await watch.look()) == before + sent * 10
            await asyncio.sleep(0.3)


async def test_a_worker_killed_between_two_polls_takes_at_most_its_last_counts(
    crashing: Service, watch: _Watch, model: str
) -> None:
    before = _calls(await watch.look())
    for _ in range(20):
        await watch.api.chat(model)
    shown = _calls(await watch.look())
    for _ in range(20):
        await watch.api.chat(model)
    kill(crashing.pids("gateway")[0])
    for _ in range(20):
        assert shown <= _calls(await watch.look()) <= before + 40
        await asyncio.sleep(0.1)


async def test_counters_go_on_over_a_restart(crashing: Service, watch: _Watch, model: str) -> None:
    before = _calls(await watch.look())
    for _ in range(10):
        await watch.api.chat(model)
    assert _calls(await watch.look()) == before + 10
    await asyncio.to_thread(crashing.terminate)
    await asyncio.to_thread(crashing.start)
    assert _calls(await watch.look()) == before + 10
