"""Which rules a trial shows anything of: those that it names, and those whose samples these read."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from cmg.timeseries.errors import QueryError
from cmg.timeseries.labels import NAME
from cmg.timeseries.promql.needs import Span, needs
from cmg.timeseries.promql.parsing import parse
from cmg.timeseries.promql.plan import Matcher
from cmg.timeseries.rules.alerts import FOR_STATE
from cmg.timeseries.rules.files import Group, RecordingRule, Rule
from cmg.timeseries.rules.trials.files import Trial

Matchers = tuple[Matcher, ...]
_STATES = ("ALERTS", FOR_STATE)
_ALERT = "alertname"


def parted(groups: Iterable[Group], trial: Trial) -> tuple[list[Group], list[Group]]:
    """The groups with the rules that a trial needs, and with the others; a group without any is left out."""
    groups = list(groups)
    wanted = _wanted([rule for group in groups for rule in group.rules], trial)
    return _kept(groups, wanted, among=True), _kept(groups, wanted, among=False)


def _kept(groups: Iterable[Group], wanted: set[int], *, among: bool) -> list[Group]:
    kept = (replace(one, rules=tuple(rule for rule in one.rules if (id(rule) in wanted) is among)) for one in groups)
    return [one for one in kept if one.rules]


def _wanted(rules: list[Rule], trial: Trial) -> set[int]:
    """The ids of the rules that are named, and of those that one of them reads, and so on."""
    named = {case.alertname for case in trial.alert_rule_test or []}
    read = [one for case in trial.promql_expr_test or [] for one in _read(case.expr)]
    new = [rule for rule in rules if _is_alert(rule, named) or any(_gives(rule, one) for one in read)]
    wanted: set[int] = set()
    while new:
        wanted.update(map(id, new))
        read = [one for rule in new for one in _read(rule.expr)]
        new = [rule for rule in rules if id(rule) not in wanted and any(_gives(rule, one) for one in read)]
    return wanted


def _is_alert(rule: Rule, named: set[str]) -> bool:
    return not isinstance(rule, RecordingRule) and rule.alert in named


def _read(expr: str) -> Iterator[Matchers]:
    """What each selector of an expression asks for; of one that cannot be read, nothing."""
    try:
        plan = parse(expr)
    except QueryError:
        return
    for need in needs(plan, Span(0, 0), 0):
        yield need.matchers


def _gives(rule: Rule, read: Matchers) -> bool:
    """Whether series of a rule may be among those asked for, by their names and what the rule sets on all of them."""
    if isinstance(rule, RecordingRule):
        fixed = {**rule.labels, NAME: rule.record}
        return all(one.accepts(fixed[one.name]) for one in read if one.name in fixed)
    states = any(all(one.accepts(name) for one in read if one.name == NAME) for name in _STATES)
    return states and all(one.accepts(rule.alert) for one in read if one.name == _ALERT)
