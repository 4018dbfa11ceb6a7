"""What a caller of one workspace may ask: of series that name a workspace, its own; of all others, everything."""

from collections.abc import Sequence

import re2

from cmg.catalogue.workspace_series import LABEL, PREFIX
from cmg.kit.clock import Clock
from cmg.timeseries.api import parameters
from cmg.timeseries.api.parameters import Form
from cmg.timeseries.errors import BadData
from cmg.timeseries.labels import NAME
from cmg.timeseries.promql.parsing import parse
from cmg.timeseries.promql.plan import Matcher, Node, Selector
from cmg.timeseries.promql.rewriting.confining import confined, nodes_of
from cmg.timeseries.promql.rewriting.printing import printed

_ALL = f'{{{NAME}!=""}}'


def walled(endpoint: str, form: Form, workspace: str, clock: Clock) -> Form:
    """The parameters of a call so changed that no other workspace's series are read. Raises `BadData`."""
    own = Matcher(LABEL, "=~", f"|{re2.escape(workspace)}")
    if endpoint in {"query", "query_range"}:
        return {**form, "query": [_expression(endpoint, form, own, clock)]}
    if endpoint in {"series", "labels"} or endpoint.startswith("label/"):
        matches: Sequence[str] = form.get("match[]", ()) or (() if endpoint == "series" else (_ALL,))
        return {**form, "match[]": [printed(confined(parse(one), own)) for one in matches]}
    return form


def _expression(endpoint: str, form: Form, own: Matcher, clock: Clock) -> str:
    text = parameters.wanted(form, "query")
    if endpoint == "query":
        start = end = parameters.time_ms(form, "time", int(clock.time() * 1000))
    else:
        start, end, _ = parameters.steps(form)
    try:
        plan = parse(text, start, end)
    except BadData as error:
        raise BadData(f'invalid parameter "query": {error}') from error
    if not any(_may_name_one(one) for one in nodes_of(plan)):
        return text
    return printed(confined(plan, own))


def _may_name_one(node: Node) -> bool:
    """Whether a selector can mean a series that names a workspace."""
    if not isinstance(node, Selector):
        return False
    return not any(one.name == NAME and one.op == "=" and not one.value.startswith(PREFIX) for one in node.matchers)
