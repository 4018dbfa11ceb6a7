"""What a caller of one workspace sees of series that name one; and that an expression is written out as it was."""

import json
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI, Request
from hypothesis import given, settings
from hypothesis import strategies as st

from cmg.timeseries.api.routes import router
from cmg.timeseries.errors import BadData
from cmg.timeseries.labels import labels_of
from cmg.timeseries.promql.parsing import parse
from cmg.timeseries.promql.rewriting.printing import printed, same
from cmg.timeseries.store.head import Head
from cmg.timeseries.store.index import SeriesIndex
from cmg.timeseries.store.sample_source import SampleSource
from support.promql_expressions import grown, picked

COST = "cmg_workspace_cost_usd_total"


@pytest.fixture
async def client(store, clock) -> AsyncIterator[httpx.AsyncClient]:
    """The API on a series of each of two workspaces, and one of neither; the header says who asks."""
    from cmg.timeseries.api.embedded import EmbeddedPrometheus
    from cmg.timeseries.promql.engine import Engine
    from cmg.timeseries.scrape.recording import keep
    from cmg.timeseries.store.scrape_log import Scraped

    index = SeriesIndex()
    head = Head(index, slots=100, most=20)
    now = int(clock.time() * 1000)
    head.floor_ms = head.flushed_ms = now - 60_000
    rows = {(COST, "a"): 1.0, (COST, "b"): 1e6, ("cmg_workspace_calls_total", "b"): 1e6, ("up", ""): 2.0}
    labels = [labels_of([("__name__", name), ("workspace", one), ("job", "x")]) for name, one in rows]
    import numpy as np

    keep(head, Scraped(labels, now, np.array(list(rows.values()))))
    source = SampleSource(head, index, store)
    made = FastAPI()
    api = EmbeddedPrometheus(source, Engine(source, clock), list, clock)
    made.include_router(router(api, lambda request: request.headers.get("only"), clock))

    class Caller:
        scopes, session = frozenset({"metrics"}), None

    @made.middleware("http")
    async def caller(request: Request, go_on):
        request.state.caller = Caller()
        return await go_on(request)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(made), base_url="http://cmg") as one:
        yield one


async def _asked(client, path: str, only: str | None, **form: str) -> str:
    answer = await client.get(f"/api/v1/{path}", params=form, headers={} if only is None else {"only": only})
    return answer.text


QUERIES = [
    COST,
    f"sum({COST})",
    f'{COST}{{workspace="b"}}',
    f'{COST}{{workspace=~".+"}}',
    '{__name__=~"cmg_workspace_.*"}',
    '{job="x"}',
    f'label_replace({COST}, "w", "$1", "workspace", "(.*)")',
    f"max_over_time({COST}[5m:1m])",
    f'up or {COST}{{workspace!="a"}}',
    f"up + on () group_left () max({COST})",
    f'count_values("n", {COST})',
    f"topk(scalar(max({COST})) / 100000, up)",
]


@pytest.mark.parametrize("query", QUERIES)
async def test_no_query_shows_another_workspaces_figures(client, query):
    theirs, everything = (
        await _asked(client, "query", "a", query=query),
        await _asked(client, "query", None, query=query),
    )
    assert '"success"' in theirs
    assert "1000000" not in theirs
    assert "1000002" not in theirs
    assert theirs != everything, "who sees everything gets something else, or the query shows nothing"


async def test_series_without_a_workspace_are_seen_by_everybody(client):
    for only in ("a", None):
        told = json.loads(await _asked(client, "query", only, query='up{job="x"} > 1'))
        assert [one["value"][1] for one in told["data"]["result"]] == ["2"]


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("series", {"match[]": '{job="x"}'}),
        ("series", {"match[]": COST}),
        ("label/workspace/values", {}),
        ("label/workspace/values", {"match[]": COST}),
        ("query_range", {"query": COST, "start": "1795521600", "end": "1795525200", "step": "60"}),
    ],
)
async def test_no_list_names_another_workspace(client, path, form):
    assert '"b"' not in await _asked(client, path, "a", **form)
    if path != "query_range":
        assert '"b"' in await _asked(client, path, None, **form)


async def test_names_of_metrics_of_others_are_not_listed(client):
    assert "calls_total" not in await _asked(client, "label/__name__/values", "a")
    assert "calls_total" in await _asked(client, "label/__name__/values", "b")


@pytest.mark.parametrize("path", ["query", "query_range", "series", "labels"])
async def test_what_cannot_be_read_is_never_passed_on(client, path):
    form = {"query": "up +", "match[]": "up +", "start": "0", "end": "60", "step": "60"}
    answer = await client.get(f"/api/v1/{path}", params=form, headers={"only": "a"})
    assert (answer.status_code, answer.json()["errorType"]) == (400, "bad_data")


@pytest.mark.parametrize("text", [*picked(), *grown(200, 1)])
def test_every_picked_expression_is_written_out_as_it_was(text):
    try:
        plan = parse(text, 1000, 2000)
    except BadData:
        return
    assert same(parse(printed(plan)), plan)


@given(value=st.text(max_size=30), label=st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,8}", fullmatch=True))
@settings(max_examples=200)
def test_any_value_of_a_matcher_is_written_out_as_it_was(value, label):
    from cmg.timeseries.promql.plan import Matcher, Selector

    if label in {"or", "and", "unless"} or any(0xD800 <= ord(one) <= 0xDFFF for one in value):
        return
    selector = Selector((Matcher("__name__", "=", "m"), Matcher(label, "=", value)))
    assert same(parse(printed(selector)), selector)
