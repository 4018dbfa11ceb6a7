"""What a workspace's rule may say: every trick to read another's series is refused, or gives only its own."""

import pytest

from cmg.alerting.owned.checking import checked, expression
from cmg.alerting.owned.templates import TEMPLATES, template
from cmg.alerting.setup.documents import AlertRule
from cmg.kit.errors import InvalidRequest
from cmg.timeseries.errors import BadData
from cmg.timeseries.labels import labels_of
from cmg.timeseries.promql.engine import Engine
from cmg.timeseries.promql.parsing import parse
from cmg.timeseries.promql.plan import Selector
from cmg.timeseries.promql.rewriting.confining import nodes_of
from cmg.timeseries.rules.trials.samples import TrialSamples

COST = "cmg_workspace_cost_usd_total"
CALLS = "cmg_workspace_calls_total"
TRICKS = [
    f"{COST} or {CALLS}",
    f"{COST} > 0 or {COST}",
    f"sum by (workspace) ({COST})",
    f"sum({COST})",
    f"max_over_time({COST}[10m:1m])",
    f"max_over_time(({COST} or {CALLS})[10m:1m])",
    f'label_replace({COST}, "workspace", "b", "", "")',
    f'label_replace({COST}, "workspace", "$1", "workspace", "(.*)") or on () {COST}',
    f'label_join({COST}, "workspace", "", "workspace")',
    f"{COST} + on () group_left () sum({COST})",
    f"{COST} * ignoring (workspace) {CALLS}",
    f"{COST} unless on () ({CALLS} > 500000)",
    f"topk(5, {COST})",
    f"topk(scalar(count({COST})), {COST})",
    f'count_values("n", {COST})',
    f"quantile(scalar({COST}) / 1000, {COST})",
    f"vector(scalar({COST}))",
    f"absent({COST}) or {COST}",
    f"-{COST}",
    f"clamp_max({COST}, scalar(sum({COST})))",
    f"{COST} offset 1m",
    f"{COST} @ start()",
    f"sort_desc({COST})",
    f"timestamp({COST})",
    f'{{__name__="{COST}"}}',
    f'{{"{COST}"}}',
    f'{COST}{{workspace="a"}}',
    f'{COST}{{instance=~".*"}}',
]
REFUSED = [
    (f'{COST}{{workspace="b"}}', 'workspace="b"'),
    (f'{COST}{{workspace=~".*"}}', 'workspace=~".*"'),
    (f'{COST}{{workspace!="a"}}', 'workspace!="a"'),
    (f'{COST}{{workspace!~"a"}}', 'workspace!~"a"'),
    (f'{COST}{{"workspace"="b"}}', 'workspace="b"'),
    (f'{COST}{{workspace=""}}', 'workspace=""'),
    (f'{COST} or {COST}{{workspace="b"}}', 'workspace="b"'),
    (f'topk(scalar({COST}{{workspace="b"}}), {COST})', 'workspace="b"'),
    (f'max_over_time({COST}{{workspace="b"}}[10m:1m])', 'workspace="b"'),
    ('{__name__=~"cmg_workspace_.*"}', "does not name its metric"),
    ('{__name__!=""}', "does not name its metric"),
    ('{workspace="a"}', "does not name its metric"),
    (f'{{__name__="{COST}", __name__=~".*"}}', "does not name its metric"),
    ("cmg_http_requests_total > 0", "reads cmg_http_requests_total"),
    (f"{COST} and on () up", "reads up"),
    (f'{{__name__="{COST}", __name__="up"}}', "reads up"),
    ("vector(1)", "reads no series"),
    ("time() > bool 1", "gives a scalar"),
    ("1 > bool 0", "gives a scalar"),
    (f"{COST}[5m]", "gives a matrix"),
    (f"sum(rate({COST}[5m])", "at column 43"),
    (f"{COST} > > 1", "at column 32"),
    (f'{COST}{{workspace="a" or workspace="b"}}', "<or>"),
    (f"rate({COST}[36d])", "35 days"),
    (f"max_over_time({COST}[30d:1s])", "11000 steps"),
    (f"max_over_time(max_over_time({COST}[1h:1m])[1h:1m])", "subquery within"),
]


def _rule(expr: str, **fields: object) -> AlertRule:
    return AlertRule.model_validate({"expr": expr, **fields})


class Two:
    """The same series of two workspaces; those of `b` have values that `a` never has."""

    def __init__(self, clock) -> None:
        self.samples, self.clock = TrialSamples(), clock
        begin = int(clock.time() * 1000)
        for minute in range(30):
            for name in (COST, CALLS, "up"):
                for workspace, value in (("a", 1.0 + minute), ("b", 1_000_000.0 + minute)):
                    labels = labels_of([("__name__", name), ("workspace", workspace), ("instance", "i")])
                    self.samples.keep(begin + minute * 60_000, {labels: value})
        self.at_ms = begin + 29 * 60_000

    async def value(self, text: str):
        answer = await Engine(self.samples, self.clock).instant(text, self.at_ms)
        there = answer.value.present[:, 0]
        rows = [labels for labels, yes in zip(answer.value.frame.labels, there, strict=True) if yes]
        return rows, answer.value.values[there, 0].tolist()


@pytest.fixture
def two(clock) -> Two:
    return Two(clock)


@pytest.mark.parametrize("expr", TRICKS)
async def test_a_trick_gives_only_what_the_workspace_has_itself(two, expr):
    rule = _rule(expr)
    checked(rule, "a")
    rows, values = await two.value(expression(rule, "a", two.at_ms))
    assert values, "the trick has to give something, or it shows nothing"
    assert all(abs(value) < 500_000 or value == two.at_ms / 1000 for value in values), (rows, values)
    others = [dict(one).get("workspace") for one in rows]
    assert "b" not in others or "label_replace" in expr
    # The same text on a's series alone gives the same.
    for one in [one for one in two.samples._numbers if dict(one)["workspace"] == "b"]:
        two.samples._values[two.samples._numbers[one]] = [float("nan")] * 30
    two.samples._read.clear()
    assert await two.value(expression(rule, "a", two.at_ms)) == (rows, values)


@pytest.mark.parametrize(("expr", "told"), REFUSED)
def test_what_may_not_be_read_is_refused_with_the_fields_name(expr, told):
    with pytest.raises(InvalidRequest) as caught:
        checked(_rule(expr), "a")
    assert caught.value.param == "expr"
    assert told in caught.value.message


@pytest.mark.parametrize(("expr", "told"), [one for one in REFUSED if "column" not in one[1]])
def test_a_rule_that_came_into_the_table_by_another_way_is_not_evaluated(expr, told):
    plan_is_fine = told in {"gives a matrix", "gives a scalar"} and "workspace" in expr
    if plan_is_fine:
        assert 'workspace="a"' in expression(_rule(expr), "a", 0)
        return
    with pytest.raises(BadData):
        expression(_rule(expr), "a", 0)


@pytest.mark.parametrize("workspace", ["a", 'x"} or up{a="', "ä\\n", "a|b", ".*"])
def test_every_selector_is_forced_whatever_the_workspace_is_called(workspace):
    rule = _rule(f"topk(scalar({CALLS}), {COST}) + max_over_time(sum({COST})[10m:1m]) or -{COST} offset 5m")
    plan = parse(expression(rule, workspace, 0))
    selectors = [one for one in nodes_of(plan) if isinstance(one, Selector)]
    assert len(selectors) == 4
    assert all(("workspace", "=", workspace) in [(m.name, m.op, m.value) for m in one.matchers] for one in selectors)


def test_a_summary_that_cannot_be_filled_is_refused():
    with pytest.raises(InvalidRequest) as caught:
        checked(_rule(COST, summary="{{ query `up` }}"), "a")
    assert caught.value.param == "summary"


@pytest.mark.parametrize("one", TEMPLATES, ids=lambda one: one.name)
def test_templates_are_rules_that_pass(one):
    checked(one.rule(), "a")
    assert "1.5" in one.rule(1.5).expr


def test_a_template_that_is_not_there_is_named():
    with pytest.raises(InvalidRequest, match="spend-spike"):
        template("odd")
