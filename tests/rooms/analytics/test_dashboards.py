"""Dashboards: every panel is whole, every report draws what the ledger holds, and nobody sees another's figures."""

import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmg.analytics import store
from cmg.analytics.models import Look, look, matcher
from cmg.analytics.panels import Panels, bound
from cmg.analytics.routes import router
from cmg.catalogue.dashboards import DASHBOARDS
from cmg.catalogue.dashboards.models import Dashboard, Panel, Report
from cmg.catalogue.metrics import BY_NAME
from cmg.identity.models import Workspace
from cmg.kit.clock import at
from cmg.kit.errors import InvalidRequest
from cmg.ledger.usage_sink import UsageSink
from cmg.storage.database import Database
from cmg.timeseries.promql.parsing import pretty
from rooms.ledger.spools import usage_payload
from support.manual_clock import ManualClock
from support.one_router import asked

PANELS = [(dashboard, panel) for dashboard in DASHBOARDS for panel in dashboard.panels]
EACH = pytest.mark.parametrize(("dashboard", "panel"), PANELS, ids=[f"{d.slug}/{p.id}" for d, p in PANELS])
REPORTS = [panel for _, panel in PANELS if isinstance(panel.source, Report)]
METRIC = re.compile(r"\b((?:cmg|process|node)_[a-z0-9_]+)")
COLUMNS = {"lines": {"time", "metric", "value"}, "number": {"metric", "value"}, "bars": {"metric", "value"}}
WORKSPACES = {name: Workspace(id=name, name=name) for name in ("default", "other")}


@EACH
def test_panel_is_described_and_fits_its_page(dashboard: Dashboard, panel: Panel):
    assert panel.help.endswith("."), "a help is a sentence"
    assert 4 <= panel.width <= 24
    assert [one.id for one in dashboard.panels].count(panel.id) == 1
    assert list(panel.thresholds) == sorted(panel.thresholds, key=lambda one: one.value)


@EACH
def test_panel_asks_for_metrics_that_exist(dashboard: Dashboard, panel: Panel):
    assert panel in dashboard.panels
    for source in panel.promql:
        expr = bound(source.expr, Look(0, 3600, 15))
        assert "$" not in expr
        pretty(expr)  # raises where it is no PromQL
        for name in METRIC.findall(expr):
            base = re.sub(r"_(bucket|sum|count)$", "", name)
            assert name in BY_NAME or base in BY_NAME or name.startswith("process_"), name


@pytest.fixture
async def filled(database: Database, clock: ManualClock) -> Database:
    """A ledger with calls of two workspaces in the last hour."""
    now = clock.time()
    rows = [
        usage_payload(at=now - 60 * number, user_id=f"u{number % 3}", thread_id="t", key_id="k1", cost_nano=1000,
                      prompt_tokens=100, cached_tokens=20, completion_tokens=30, ttft_ms=12.0, stream=True,
                      memory_items=number % 2, memory_tokens=10)
        for number in range(1, 20)
    ]  # fmt: skip
    rows.append(usage_payload(at=now - 30, key_id="k1", status="error", error_type="upstream_error", user_id="u1"))
    rows.append(usage_payload(at=now - 30, workspace_id="other", key_id="k2", cost_nano=10**9))
    async with database.transaction() as conn:
        await UsageSink().write(conn, rows)
    await database.execute(
        "INSERT INTO workspaces (id, name, timezone, created_at, updated_at) "
        "VALUES ('other', 'Other', 'UTC', 'epoch', 'epoch')"
    )
    await database.execute(
        "INSERT INTO api_keys (id, workspace_id, name, status, description, owner, tags, scopes, memory, memory_scope, "
        "models_block, response_cache_s, limits, budget, created_at, updated_at) VALUES "
        "('k1', 'default', 'app', 'active', '', '', '{}', '{}', 'on', 'user', '{}', 0, '{}', "
        """'{"period": "month", "usd_nano": 38000, "alert_at": [], "auto_suspend": false}', 'epoch', 'epoch')"""
    )
    return database


@pytest.mark.parametrize("panel", REPORTS, ids=[panel.id for panel in REPORTS])
async def test_report_draws_its_workspace_only(filled: Database, clock: ManualClock, panel: Panel):
    assert isinstance(panel.source, Report)
    now = clock.time()
    rows = await store.rows(filled, panel.source.query, Look(now - 3600, now, 60, "default"))
    assert rows, "a panel with calls behind it has something to show"
    assert COLUMNS.get(panel.form, set(rows[0].keys())) == set(rows[0].keys())
    picture = await Panels(filled, None).picture(panel, Look(now - 3600, now, 60, "other"))
    assert "k1" not in str(picture)
    assert "app" not in str(picture)


async def test_a_call_that_nobody_answered_counts_for_the_model_it_asked_for(database: Database, clock: ManualClock):
    now = clock.time()
    asked = {"at": now - 30, "upstream": "sim", "model_asked": "sim/echo"}
    rows = [usage_payload(**asked, model_answered=answered) for answered in ("echo", None)]
    async with database.transaction() as conn:
        await UsageSink().write(conn, rows)
    for query in ("calls_by_model", "cost_by_model"):
        drawn = await store.rows(database, query, Look(now - 3600, now, 3600, "default"))
        assert [row["metric"] for row in drawn] == ["echo"]


@pytest.fixture
async def get(filled: Database, clock: ManualClock):
    """GET /admin/v1/dashboards… as a key with these scopes in that workspace."""
    async with asked(router(Panels(filled, None), lambda: WORKSPACES, clock), WORKSPACES) as client:

        async def call(path: str = "", headers: dict | None = None, **query: str) -> tuple[int, Any]:
            got = await client.get(f"/dashboards{path}", params=query, headers=headers)
            return got.status_code, got.json()

        yield call


async def test_sums_are_those_of_the_ledger(get):
    status, answer = await get("/financial/panels/total")
    assert status == 200
    assert answer["values"] == [{"name": "this period", "value": pytest.approx(1 + 19e-6)}]
    _, own = await get("/financial/panels/total", workspace="default")
    assert own["values"][0]["value"] == pytest.approx(19e-6)
    _, budgets = await get("/financial/panels/budgets", workspace="default")
    assert budgets["columns"][0] == "key"
    assert budgets["rows"][0][0] == "app"


async def test_a_workspaces_administrator_sees_its_own_figures_only(get):
    own = {"scopes": "admin", "workspace": "other"}
    _, listed = await get("", own)
    assert {item["scope"] for item in listed["items"]} == {"workspace"}
    assert (await get("/overview", own))[0] == 403
    assert (await get("/overview/panels/rate", own))[0] == 403
    assert (await get("/usage", own))[1]["variables"] == {"workspace": ["other"]}
    assert (await get("/financial/panels/total", own))[1]["values"][0]["value"] == pytest.approx(1)
    assert (await get("/financial/panels/total", own, workspace="default"))[0] == 403


async def test_what_is_not_there_is_said(get):
    assert (await get("/nothing"))[0] == 404
    assert (await get("/usage/panels/nothing"))[0] == 404
    assert (await get("/usage/panels/calls", workspace="nobody"))[0] == 404
    status, answer = await get("/overview/panels/rate")
    assert (status, answer["error"]["message"]) == (
        503, "this machine answers no PromQL; ask one with the role monitor"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"from": "yesterday"}, "from"),
        ({"to": "2026-11-23T20:27:28"}, "to"),
        ({"to": "1e300"}, "to"),
        ({"from": "10", "to": "5"}, "from"),
        ({"step": "0"}, "step"),
        ({"from": "0", "to": "86400", "step": "1"}, "step"),
        ({"workspace": "a\x00"}, "workspace"),
    ],
)
def test_a_wrong_parameter_is_named(wrong: dict[str, str], field: str):
    with pytest.raises(InvalidRequest) as told:
        look(wrong, 1e9)
    assert told.value.param == field


@given(st.text(max_size=30))
def test_a_chosen_name_stays_one_name(name: str):
    pretty(f'up{{instance=~"{matcher(name)}"}}')


@pytest.fixture
async def eventful(filled: Database, clock: ManualClock) -> Database:
    """A deploy, another configuration, a maintenance that was called off and one that lasts, an open incident."""
    now = at(clock.time())
    for kind, title in (("deploy", "version 2"), ("config", "the settings changed")):
        await filled.execute(
            "INSERT INTO operation_markers (at, kind, title, source, link, details, actor) "
            "VALUES ($1, $2, $3, 'ci', '', '{}', 'ci')", now - timedelta(minutes=30), kind, title,
        )  # fmt: skip
    for title, cancelled in (("off", now), ("vacuum", None)):
        await filled.execute(
            "INSERT INTO maintenances (title, body, components, starts_at, ends_at, cancelled_at, created_at, "
            "updated_at, created_by) VALUES ($1, '', '{api,cache}', $2, $3, $4, $2, $2, 'a')",
            title, now - timedelta(hours=2), now + timedelta(hours=1), cancelled,
        )  # fmt: skip
    await incidents_of(filled, now - timedelta(minutes=20))
    return filled


async def incidents_of(database: Database, since: datetime) -> None:
    """One that goes on, and one that ended an hour and a half before it."""
    for title, started, ended in (
        ("slow", since, None),
        ("old", since - timedelta(hours=2), since - timedelta(hours=1.5)),
    ):
        await database.execute(
            "INSERT INTO incidents (severity, status, title, summary, origin, public, public_title, components, "
            "labels, started_at, detected_at, declared_at, resolved_at, commander, communications, scribe, "
            "business_impact, reputation, cause, factors, lessons, created_by, updated_at) VALUES "
            "(2, 'investigating', $1, '', 'hand', true, '', '{}', '{}', $2, $2, $2, $3, '', '', '', '', '', '', '{}', "
            "'', 'a', $2)",
            title, started, ended,
        )  # fmt: skip


@pytest.mark.usefixtures("eventful")
async def test_annotations_tell_what_happened_in_the_span(get, clock: ManualClock):
    status, answer = await get("/overview/annotations")
    assert status == 200
    told = {(one["kind"], one["text"]): one["to"] for one in answer["items"]}
    assert told == {
        ("deploys", "version 2"): None,
        ("config_changes", "the settings changed"): None,
        ("maintenances", "vacuum"): clock.time() + 3600,
        ("incidents", "P2 slow"): None,
    }
    assert [one["from"] for one in answer["items"]] == sorted(one["from"] for one in answer["items"])
    kinds = [one["id"] for one in (await get("/overview"))[1]["annotations"]]
    assert set(kinds) == {kind for kind, _ in told}
    _, before = await get("/overview/annotations", to=str(clock.time() - 7200), **{"from": str(clock.time() - 9000)})
    assert [one["text"] for one in before["items"]] == ["P2 old"]


@pytest.mark.usefixtures("eventful")
async def test_incidents_are_told_where_the_whole_service_is_shown_only(get):
    own = {"scopes": "admin:read", "workspace": "other"}
    _, answer = await get("/usage/annotations", own)
    assert {one["kind"] for one in answer["items"]} == {"deploys", "config_changes", "maintenances"}
    assert (await get("/overview/annotations", own))[0] == 403
    assert (await get("/usage/annotations", own, to="soon"))[1]["error"]["param"] == "to"
