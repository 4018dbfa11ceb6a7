"""What a rule of a workspace may read, and the walls around it: none of its selectors ever means another's series."""

from collections.abc import Iterator

from cmg.alerting.owned.pointing import column
from cmg.alerting.setup.documents import AlertRule
from cmg.catalogue.workspace_series import LABEL, NAMES
from cmg.kit.errors import InvalidRequest
from cmg.timeseries.errors import BadData
from cmg.timeseries.labels import NAME
from cmg.timeseries.promql.parsing import parse
from cmg.timeseries.promql.plan import Matcher, Node, Selector, Subquery
from cmg.timeseries.promql.rewriting.confining import confined, nodes_of
from cmg.timeseries.promql.rewriting.printing import printed
from cmg.timeseries.rules.templates import Template

MOST_RULES = 50
_FARTHEST_MS = 35 * 86_400_000
_MOST_STEPS = 11_000


def checked(rule: AlertRule, workspace_id: str) -> None:
    """Raise `InvalidRequest`, which names the field, for a rule that cannot be evaluated or may not."""
    try:
        plan = parse(rule.expr)
    except BadData as error:
        where = column(rule.expr)
        raise _wrong(f"{error}, at column {where}" if where is not None else str(error)) from error
    if plan.kind != "vector":
        raise _wrong(f"gives a {plan.kind}; an alert needs series (an instant vector)")
    for told in _findings(plan, workspace_id):
        raise _wrong(told)
    try:
        Template.parse(rule.summary)
    except ValueError as error:
        raise InvalidRequest(f"`summary`: {error}", param="summary") from error


def expression(rule: AlertRule, workspace_id: str, at_ms: int) -> str:
    """What is evaluated at a moment: the rule with the workspace forced into every selector. Raises `BadData`."""
    plan = parse(rule.expr, at_ms, at_ms)
    for told in _findings(plan, workspace_id):
        raise BadData(f"the rule {told}")
    return printed(confined(plan, Matcher(LABEL, "=", workspace_id)))


def _wrong(told: str) -> InvalidRequest:
    return InvalidRequest(f"`expr`: {told}", param="expr")


def _findings(plan: Node, workspace_id: str) -> Iterator[str]:
    nodes = list(nodes_of(plan))
    selectors = [one for one in nodes if isinstance(one, Selector)]
    if not selectors:
        yield f"reads no series; there are {', '.join(sorted(NAMES))}"
    for one in selectors:
        yield from _selector(one, workspace_id)
    subqueries = [one for one in nodes if isinstance(one, Subquery)]
    windows: list[Selector | Subquery] = [*selectors, *subqueries]
    if any(abs(one.offset_ms) + (one.range_ms or 0) > _FARTHEST_MS for one in windows):
        yield "looks back further than 35 days"
    for query in subqueries:
        if query.range_ms / (query.step_ms or 60_000) > _MOST_STEPS:
            yield f"has a subquery of more than {_MOST_STEPS} steps"
        if any(isinstance(one, Subquery) for one in nodes_of(query.body)):
            yield "has a subquery within a subquery"


def _selector(one: Selector, workspace_id: str) -> Iterator[str]:
    named = [matcher for matcher in one.matchers if matcher.name == NAME]
    if not named or any(matcher.op != "=" for matcher in named):
        yield f"has a selector that does not name its metric; there are {', '.join(sorted(NAMES))}"
    for matcher in named:
        if matcher.value not in NAMES:
            yield f"reads {matcher.value[:100]}; a workspace's rules read {', '.join(sorted(NAMES))}"
    for matcher in one.matchers:
        if matcher.name == LABEL and (matcher.op, matcher.value) != ("=", workspace_id):
            told = f'{LABEL}{matcher.op}"{matcher.value[:100]}"'
            yield f"has {told}: it sees the workspace {workspace_id} alone; leave the label away"
