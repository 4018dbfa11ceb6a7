"""Grafana's files: they are those in deploy/, in the shape of Grafana's schema, and their SQL runs."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from cmg.analytics.grafana import annotation_sql, files, promql, rendered, sql
from cmg.catalogue.dashboards import DASHBOARDS
from cmg.catalogue.dashboards.links import links_of
from cmg.catalogue.dashboards.models import Dashboard, Panel, Report
from cmg.catalogue.runbook_texts import runbooks
from cmg.storage.database import Database
from support.grafana_schema import problems

DEPLOY = Path(__file__).parents[3] / "deploy" / "grafana"
EACH = pytest.mark.parametrize("dashboard", DASHBOARDS, ids=[one.slug for one in DASHBOARDS])
REPORTS = [panel for one in DASHBOARDS for panel in one.panels if isinstance(panel.source, Report)]
VARIABLE = re.compile(r"\$(\w+|\{\w+)")


def test_deploy_holds_what_is_rendered():
    kept = {str(file.relative_to(DEPLOY)): file.read_text() for file in DEPLOY.rglob("*") if file.is_file()}
    assert kept == files(), "render deploy/grafana/ again"


@EACH
def test_dashboard_has_the_shape_of_the_schema(dashboard: Dashboard):
    told = json.loads(rendered(dashboard))
    assert problems(told) == []
    assert (told["uid"], told["title"]) == (f"cmg-{dashboard.slug}", dashboard.title)
    assert [panel["title"] for panel in told["panels"]] == [panel.title for panel in dashboard.panels]
    assert len({panel["id"] for panel in told["panels"]}) == len(dashboard.panels)
    for panel in told["panels"]:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24, panel["title"]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("panels", 0, "colour"), "red"),
        (("panels", 0, "gridPos", "w"), "wide"),
        (("panels", 0, "options", "graphMode"), 3),
        (("panels", 0, "options", "colour"), "red"),
        (("panels", 0, "targets", 0, "exprs"), "up"),
        (("panels", 0, "fieldConfig", "defaults", "unit"), 5),
        (("panels", 0, "fieldConfig", "defaults", "thresholds", "mode"), "relative"),
        (("templating", "list", 0, "labels"), "x"),
        (("time", "from"), 6),
    ],
)
def test_the_schema_refuses_what_it_does_not_know(place: tuple[Any, ...], value: object):
    told = json.loads(rendered(DASHBOARDS[0]))
    *way, last = place
    inside = told
    for step in way:
        inside = inside[step]
    inside[last] = value
    assert problems(told), place


@EACH
async def test_annotations_are_those_declared_and_run_as_grafana_sends_them(dashboard: Dashboard, database: Database):
    shown = json.loads(rendered(dashboard))["annotations"]["list"]
    assert [one["name"] for one in shown] == [kind.title for kind in dashboard.annotations]
    assert ("Incidents" in [one["name"] for one in shown]) is (dashboard.scope == "service")
    for one, kind in zip(shown, dashboard.annotations, strict=True):
        assert one["enable"], kind.id
        text = one["target"]["rawSql"]
        assert text == annotation_sql(kind)
        text = text.replace("$__timeFrom()", "'2026-11-23'").replace("$__timeTo()", "'2026-11-24'")
        assert "$" not in text
        await database.fetch(text)


@EACH
def test_panels_lead_to_the_console_with_their_span(dashboard: Dashboard):
    told = json.loads(rendered(dashboard))
    (console,) = [one for one in told["templating"]["list"] if one["name"] == "console"]
    assert console["type"] == "textbox"
    for panel, shown in zip(dashboard.panels, told["panels"], strict=True):
        assert [one["title"] for one in shown["links"]] == [one.title for one in links_of(panel)]
        for one in shown["links"]:
            assert one["url"].startswith("${console}/"), one
            assert "$from" not in one["url"], one
            assert ("${__from:date:iso}" in one["url"]) is ("/runbooks/" not in one["url"])


def test_links_lead_to_runbooks_and_pages_that_there_are():
    links = [(panel.id, one) for board in DASHBOARDS for panel in board.panels for one in links_of(panel)]
    named = {one.path.removeprefix("/runbooks/") for _, one in links if one.kind == "runbook"}
    assert named <= set(runbooks())
    assert len(named) > 12
    without = [
        panel.id
        for board in DASHBOARDS
        for panel in board.panels
        if not isinstance(panel.source, Report) and "runbook" not in {one.kind for one in links_of(panel)}
    ]
    assert without == [], "name the metric in cmg.catalogue.dashboards.links"


@EACH
def test_panels_ask_for_what_is_declared(dashboard: Dashboard):
    known = {"__rate_interval", *dashboard.variables}
    for panel, shown in zip(dashboard.panels, json.loads(rendered(dashboard))["panels"], strict=True):
        assert shown["targets"], panel.title
        if isinstance(panel.source, Report):
            assert shown["datasource"]["uid"] == "cmg-ledger"
            continue
        assert [target["expr"] for target in shown["targets"]] == [promql(one) for one in panel.source]
        assert {name for target in shown["targets"] for name in VARIABLE.findall(target["expr"])} <= known


@pytest.mark.parametrize("workspace", ["'default'", "''"])
@pytest.mark.parametrize("panel", REPORTS, ids=[panel.id for panel in REPORTS])
async def test_report_runs_as_grafana_sends_it(database: Database, panel: Panel, workspace: str):
    text: Any = sql(panel)
    macros = {
        "${workspace:sqlstring}": workspace,
        "$__timeFrom()": "'2026-11-23T00:00:00Z'",
        "$__timeTo()": "'2026-11-24T00:00:00Z'",
        "$__interval_ms": "60000",
    }
    for name, value in macros.items():
        text = text.replace(name, value)
    assert "$" not in text
    await database.fetch(text)
