"""Grafana's dashboards, rendered from the declarations: the same panels on Prometheus and on the ledger's PostgreSQL.

Needs `grafana-foundation-sdk`, a package of development: what it renders lies in `deploy/grafana/`.
"""

import re
from importlib import resources
from typing import Any

from grafana_foundation_sdk.builders import (
    bargauge,
    prometheus,
    stat,
    table,
    timeseries,
)
from grafana_foundation_sdk.builders import (
    common as common_builders,
)
from grafana_foundation_sdk.builders import (
    dashboard as builders,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models

from cmg.analytics.store import sql_of
from cmg.catalogue.dashboards import DASHBOARDS
from cmg.catalogue.dashboards.links import Link, links_of
from cmg.catalogue.dashboards.models import Annotation, Dashboard, Panel, Promql, Report, Variable

PROMETHEUS = common.DataSourceRef(type_val="prometheus", uid="cmg-prometheus")
LEDGER = common.DataSourceRef(type_val="grafana-postgresql-datasource", uid="cmg-ledger")
_CONSOLE = "http://localhost:8000/console"
_UNITS = {
    "s": "s",
    "bytes": "bytes",
    "ratio": "percentunit",
    "usd": "currencyUSD",
    "per_s": "cps",
    "bytes_per_s": "Bps",
    "tokens": "short",
    "count": "short",
}
_FORMS: dict[str, Any] = {
    "lines": timeseries.Panel,
    "number": stat.Panel,
    "bars": bargauge.Panel,
    "table": table.Panel,
}
_HEIGHTS = {"number": 5}
_HEIGHT = 8
# What stands for a report's parameters: the workspace (its own quoted text; all: an empty one), the span, the step.
_PARAMETERS = {
    "1": "nullif(${workspace:sqlstring}, '')",
    "2": "$__timeFrom()::timestamptz",
    "3": "$__timeTo()::timestamptz",
    "4": "($__interval_ms / 1000.0)",
}
_PARAMETER = re.compile(r"\$([1-4])\b")


class _Sql(Dataquery):
    """A query of Grafana's PostgreSQL source, for which the library has no model."""

    def __init__(self, text: str, form: str) -> None:
        self.text, self.form = text, form

    def to_json(self) -> dict[str, object]:
        """As Grafana keeps it."""
        told = {"rawSql": self.text, "format": self.form, "rawQuery": True, "editorMode": "code"}
        return {"refId": "A", "datasource": {"type": LEDGER.type_val, "uid": LEDGER.uid}, **told}


class _Built(Builder[Any]):
    """Something that is built already, where the library wants a builder."""

    def __init__(self, made: Any) -> None:
        self._made = made

    def build(self) -> Any:
        return self._made


def files() -> dict[str, str]:
    """Everything below `deploy/grafana/`, by its path there: the dashboards, and where Grafana finds what it needs."""
    kept = {f"dashboards/{one.slug}.json": rendered(one) for one in DASHBOARDS}
    provisioning = resources.files("cmg.analytics").joinpath("provisioning")
    for name in ("datasources", "dashboards"):
        kept[f"provisioning/{name}/cmg.yml"] = provisioning.joinpath(f"{name}.yml").read_text(encoding="utf-8")
    return kept


def rendered(dashboard: Dashboard) -> str:
    """The dashboard as the JSON that Grafana provisions, with a line break at its end."""
    page = (
        builders.Dashboard(dashboard.title)
        .uid(f"cmg-{dashboard.slug}")
        .description(dashboard.help)
        .tags(["context-memory-gateway"])
        .refresh("30s")
        .time("now-6h" if dashboard.scope == "service" else "now-7d", "now")
        .timezone(common.TimeZoneBrowser)
        .variables([*(_variable(name) for name in dashboard.variables), _console()])
    )
    for kind in dashboard.annotations:
        page.annotation(_Built(_annotation(kind)))
    for number, panel in enumerate(dashboard.panels, start=1):
        page.with_panel(_panel(panel).id(number))
    return JSONEncoder(sort_keys=True, indent=2).encode(page.build()) + "\n"


def _variable(name: Variable) -> Any:
    one = builders.QueryVariable(name).label(name).include_all(include_all=True)
    one.current(models.VariableOption(selected=True, text="All", value="$__all"))
    if name == "workspace":
        return one.datasource(LEDGER).query(sql_of("workspace_names").rstrip(";")).all_value("''")
    metric = {"upstream": "cmg_llm_calls_total", "instance": "up"}[name]
    return one.datasource(PROMETHEUS).query(f"label_values({metric}, {name})").all_value(".*")


def _console() -> Any:
    """Where the links of panels lead: whoever looks can put another address into its field."""
    one = builders.TextBoxVariable("console").label("Console").default_value(_CONSOLE)
    return one.current(models.VariableOption(selected=True, text=_CONSOLE, value=_CONSOLE))


def _link(link: Link) -> Any:
    path = link.path.replace("$from", "${__from:date:iso}").replace("$to", "${__to:date:iso}")
    made = builders.DashboardLink(link.title).type(models.DashboardLinkType.LINK).target_blank(target_blank=True)
    return made.url(f"${{console}}{path}")


def _annotation(kind: Annotation) -> models.AnnotationQuery:
    return models.AnnotationQuery(
        name=kind.title, datasource=LEDGER, icon_color=kind.color, target=_Sql(annotation_sql(kind), "table")
    )


def annotation_sql(kind: Annotation) -> str:
    """The events of a kind with Grafana's macros for the span."""
    spans = {"1": "$__timeFrom()::timestamptz", "2": "$__timeTo()::timestamptz"}
    return _PARAMETER.sub(lambda found: spans[found[1]], sql_of(kind.id)).strip().rstrip(";")


def _panel(panel: Panel) -> Any:
    made = _FORMS[panel.form]()
    made.title(panel.title).description(_described(panel)).unit(_UNITS[panel.unit]).span(panel.width)
    made.height(_HEIGHTS.get(panel.form, _HEIGHT))
    made.datasource(LEDGER if isinstance(panel.source, Report) else PROMETHEUS)
    made.thresholds(_thresholds(panel))
    if panel.form == "lines" and panel.thresholds:
        made.thresholds_style(common_builders.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.LINE))
    if panel.form in {"bars", "number"} and isinstance(panel.source, Report):
        made.reduce_options(common_builders.ReduceDataOptions().values(values=True).calcs([]))
    made.links([_link(one) for one in links_of(panel)])
    for target in _targets(panel):
        made.with_target(target)
    return made


def _described(panel: Panel) -> str:
    return panel.help if panel.idle is None else f"{panel.help} Empty when {panel.idle}."


def _thresholds(panel: Panel) -> Any:
    steps = [models.Threshold(value=None, color="green")]
    steps += [models.Threshold(value=one.value, color=one.color) for one in panel.thresholds]
    return builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def _targets(panel: Panel) -> list[Any]:
    if isinstance(panel.source, Report):
        return [_Built(_Sql(sql(panel), "time_series" if panel.form == "lines" else "table"))]
    return [_target(one, number, ranged=panel.form == "lines") for number, one in enumerate(panel.source)]


def _target(source: Promql, number: int, *, ranged: bool) -> Any:
    query = prometheus.Dataquery().expr(promql(source)).legend_format(source.name).ref_id(chr(ord("A") + number))
    return query.range() if ranged else query.instant()


def promql(source: Promql) -> str:
    """The expression with Grafana's own window of rates; other variables have the same names there."""
    return source.expr.replace("$interval", "$__rate_interval")


def sql(panel: Panel) -> str:
    """The report with Grafana's macros for its parameters."""
    assert isinstance(panel.source, Report)
    return _PARAMETER.sub(lambda found: _PARAMETERS[found[1]], sql_of(panel.source.query)).strip().rstrip(";")
