"""Usage reports: the sums of the rows, by the calendar of each workspace, for whom they concern; nothing gives 500."""

import csv
import io
from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cmg.identity.models import Workspace
from cmg.ledger.budget_events import BudgetEvents
from cmg.ledger.reports.usage_reports import UsageReports
from cmg.ledger.routes import router
from cmg.ledger.usage_sink import UsageSink
from cmg.storage.database import Database
from rooms.ledger.spools import usage_payload
from support.manual_clock import ManualClock
from support.one_router import asked

BERLIN = "Europe/Berlin"
WORKSPACES = {
    "default": Workspace(id="default", name="d"),
    "berlin": Workspace(id="berlin", name="b", timezone=BERLIN),
}
Get = Callable[..., Any]


@pytest.fixture
async def get(database: Database, clock: ManualClock):
    """GET /admin/v1/…?query as a key with these scopes in that workspace."""
    async with asked(
        router(UsageReports(database, lambda: WORKSPACES, clock), BudgetEvents(database)), WORKSPACES
    ) as client:

        async def call(path: str, headers: dict | None = None, **query: Any) -> httpx.Response:
            query = {name.rstrip("_"): value for name, value in query.items()}
            return await client.get(path, params=query, headers=headers or {})

        yield call


async def _store(database: Database, *payloads: bytes) -> None:
    async with database.transaction() as conn:
        await UsageSink().write(conn, payloads)


def _moment(text: str, timezone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(timezone)).timestamp()


async def test_sums_and_totals_are_those_of_the_rows(database: Database, get: Get) -> None:
    plain = {"prompt_tokens": 10, "completion_tokens": 5, "cached_tokens": 4, "cost_nano": 1_500_000, "latency_ms": 100}
    await _store(
        database,
        usage_payload(**plain, model_answered="real", tags=("a", "b"), user_id="ann"),
        usage_payload(**plain, status="error", key_id="k2"),
        usage_payload(key_id="k2", status="cancelled"),
    )
    answer = (await get("/usage", group_by="key")).json()
    counts = {item["key"]: (item["calls"], item["errors"], item["prompt_tokens"]) for item in answer["items"]}
    assert counts == {"k1": (1, 0, 10), "k2": (2, 1, 10)}
    assert answer["totals"] == {
        "calls": 3,
        "errors": 1,
        "prompt_tokens": 20,
        "completion_tokens": 10,
        "cached_tokens": 8,
        "cache_write_tokens": 0,
        "reasoning_tokens": 0,
        "cost_usd": 0.003,
        "latency_ms_avg": 66.667,
    }
    assert (answer["from"], answer["to"], answer["truncated"]) == ("2026-10-26", "2026-11-24", False)


async def test_a_call_with_two_tags_counts_for_both_and_once_in_all(database: Database, get: Get) -> None:
    await _store(database, usage_payload(tags=("a", "b")), usage_payload())
    answer = (await get("/usage", group_by="tag,model")).json()
    assert {(item["tag"], item["model"]): item["calls"] for item in answer["items"]} == {
        ("a", "m"): 1,
        ("b", "m"): 1,
        (None, "m"): 1,
    }
    assert answer["totals"]["calls"] == 2
    only = (await get("/usage", group_by="user", tag="b")).json()
    assert [(item["user"], item["calls"]) for item in only["items"]] == [(None, 1)]


async def test_calls_that_failed_count_for_the_model_that_was_asked_for(database: Database, get: Get) -> None:
    asked = {"model_asked": "far/ann/big", "upstream": "far"}
    await _store(
        database,
        usage_payload(**asked, model_answered="ann/big"),
        usage_payload(**asked, status="error"),
        usage_payload(model_asked="far/ann/big", upstream=None, status="error"),
    )
    rows = (await get("/usage", group_by="model")).json()["items"]
    assert [(one["model"], one["calls"], one["errors"]) for one in rows] == [("ann/big", 2, 1), ("far/ann/big", 1, 1)]
    assert (await get("/usage", model="ann/big")).json()["totals"]["errors"] == 1


async def test_days_are_those_of_each_workspaces_calendar(database: Database, get: Get) -> None:
    times = ["2026-10-24T23:30", "2026-10-25T00:30", "2026-10-25T23:30", "2026-10-26T00:30"]
    rows = [usage_payload(workspace_id="berlin", at=_moment(text, BERLIN)) for text in times]
    await _store(database, *rows, usage_payload(at=_moment("2026-10-25T23:30")))
    answer = (await get("/usage", group_by="day,workspace", from_="2026-10-25", to="2026-10-25")).json()
    found = {(item["workspace"], item["day"]): item["calls"] for item in answer["items"]}
    assert found == {("berlin", "2026-10-25"): 2, ("default", "2026-10-25"): 1}
    moments = {"from_": "2026-10-25T00:00:00+02:00", "to": "2026-10-25T23:30:00+01:00"}
    answer = (await get("/usage", workspace="berlin", **moments)).json()
    assert answer["items"][0]["calls"] == 1
    assert answer["from"] == "2026-10-24T22:00:00.000Z"


async def test_a_caller_sees_its_own_workspace_only(database: Database, get: Get) -> None:
    await _store(database, usage_payload(), usage_payload(workspace_id="berlin"), usage_payload(workspace_id="berlin"))
    own = {"scopes": "admin", "workspace": "berlin"}
    assert (await get("/usage", own)).json()["totals"]["calls"] == 2
    assert (await get("/usage", own, key="k1")).json()["totals"]["calls"] == 2
    assert (await get("/usage", own, workspace="default")).status_code == 403
    assert (await get("/usage")).json()["totals"]["calls"] == 3
    assert (await get("/usage", workspace="default")).json()["totals"]["calls"] == 1
    assert (await get("/usage", workspace="none")).status_code == 404
    assert (await get("/usage", {"scopes": "chat"})).status_code == 403


async def test_csv_has_the_same_columns_and_no_formulas(database: Database, get: Get) -> None:
    names = ["=cmd()", "+1", "-1", "@x", "\t=1", 'a "quoted", name', "plain"]
    await _store(database, *(usage_payload(user_id=name, cost_nano=1) for name in names))
    answer = await get("/usage", {"accept": "text/csv"}, group_by="user")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert {row["user"] for row in rows} == {"'=cmd()", "'+1", "'-1", "'@x", "'\t=1", 'a "quoted", name', "plain"}
    assert {row["cost_usd"] for row in rows} == {"0.000000001"}
    items = (await get("/usage", group_by="user")).json()["items"]
    assert set(items[0]) == set(rows[0])


async def test_too_many_groups_are_told(database: Database, get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cmg.ledger.reports.usage_reports.ITEMS_MAX", 3)
    await _store(database, *(usage_payload(user_id=str(n), cost_nano=n) for n in range(5)))
    answer = (await get("/usage", group_by="user")).json()
    assert [item["user"] for item in answer["items"]] == ["4", "3", "2"]
    assert (answer["truncated"], answer["totals"]["calls"]) == (True, 5)
    assert (await get("/usage", group_by="user", format="csv")).headers["x-cmg-truncated"] == "true"


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"from_": "yesterday"}, "from"),
        ({"to": "2026-13-01"}, "to"),
        ({"to": "0001-01-01"}, "to"),
        ({"to": "9999-12-31"}, "to"),
        ({"from_": "2026-01-01T00:00:00"}, "from"),
        ({"from_": "2026-11-25", "to": "2026-11-20"}, "from"),
        ({"from_": "2020-01-01", "to": "2026-01-01"}, "from"),
        ({"group_by": "planet"}, "group_by"),
        ({"group_by": ""}, "group_by"),
        ({"format": "xml"}, "format"),
        ({"user": "a\x00"}, "user"),
    ],
)
async def test_a_wrong_parameter_is_named(get: Get, query: dict, param: str) -> None:
    answer = await get("/usage", **query)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    ("query", "param"),
    [({"limit": "0"}, "limit"), ({"limit": "many"}, "limit"), ({"cursor": "x"}, "cursor"), ({"key": "\x00"}, "key")],
)
async def test_a_wrong_parameter_of_the_events_is_named(get: Get, query: dict, param: str) -> None:
    answer = await get("/budget-events", **query)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_events_of_budgets_are_listed(get: Get) -> None:
    assert (await get("/budget-events")).json() == {"items": [], "next": None}


ODD = (
    st.text(max_size=30)
    | st.dates().map(str)
    | st.datetimes().map(str)
    | st.sampled_from(["key", "day,tag", "csv", ",,"])
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    query=st.dictionaries(
        st.sampled_from(["from_", "to", "group_by", "key", "user", "model", "tag", "workspace", "format"]), ODD
    )
)
async def test_no_odd_parameter_is_our_fault(get: Get, query: dict) -> None:
    answer = await get("/usage", **{name: text.encode("utf-8", "replace") for name, text in query.items()})
    assert answer.status_code in {200, 400, 404}, answer.text
