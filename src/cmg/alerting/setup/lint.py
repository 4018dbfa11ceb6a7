"""What would fail on the day it is needed: people nobody reaches, gaps, ends nowhere, rules that see nothing."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from cmg.alerting.channels.kinds import homeless, lacking, works
from cmg.alerting.oncall.roster import reachable
from cmg.alerting.oncall.schedules import gaps
from cmg.alerting.setup.compiled import Setup
from cmg.alerting.setup.documents import EscalationPolicy, Target
from cmg.kit.clock import rfc3339
from cmg.timeseries.errors import BadData
from cmg.timeseries.labels import NAME
from cmg.timeseries.promql.needs import Span, needs
from cmg.timeseries.promql.parsing import parse
from cmg.timeseries.rules.files import AlertingRule, RuleFile

_AHEAD_S = 28 * 86_400
_NEEDED = ("severity", "category", "runbook")
_SUFFIXES = ("_bucket", "_sum", "_count")


@dataclass(frozen=True)
class Finding:
    """What is wrong, and with which document or rule."""

    where: str
    told: str


def lint_setup(setup: Setup, now: float) -> Iterator[Finding]:
    """Everything that is wrong with the documents of a workspace."""
    if "default" not in setup.policies:
        yield Finding("escalation-policies/default", "is not there: what no route matches, nobody is told of")
    for name, channel in setup.channels.items():
        for one in lacking(channel):
            yield Finding(f"channels/{name}", f"has no {one}")
        behind = setup.channels.get(channel.fallback or "")
        if behind is not None and homeless(behind):
            told = f"falls back to {channel.fallback}, which has no settings.{homeless(behind)}: nobody is there"
            yield Finding(f"channels/{name}", told)
    for name in setup.responders:
        if not reachable(setup, name):
            yield Finding(f"responders/{name}", "cannot be reached: no contact on a channel that works")
    for name, schedule in setup.schedules.items():
        for start, end in gaps(schedule, now, now + _AHEAD_S)[:3]:
            yield Finding(f"schedules/{name}", f"nobody is on call from {rfc3339(start)} to {rfc3339(end)}")
    for name, policy in setup.policies.items():
        yield from _policy(name, policy, setup)
    yield from _endings(setup)


def _endings(setup: Setup) -> Iterator[Finding]:
    for at, (name, route) in enumerate(setup.routes):
        before = [other for other, earlier in setup.routes[:at] if not earlier.matchers]
        if before:
            yield Finding(f"routes/{name}", f"is never asked: {before[0]} matches everything before it")
        if route.policy not in setup.policies:
            yield Finding(f"routes/{name}", f"leads to the policy {route.policy}, which is not there")


def _policy(name: str, policy: EscalationPolicy, setup: Setup) -> Iterator[Finding]:
    reached: set[str] = set()
    for at, step in enumerate(policy.steps):
        people = {who for target in step.targets for who in _people(target, setup)}
        for channel in (setup.channels.get(target.channel or "") for target in step.targets):
            if channel is not None and homeless(channel):
                wanted = homeless(channel)
                told = f"step {at + 1} names a channel of the kind {channel.kind} that has no settings.{wanted}"
                yield Finding(f"escalation-policies/{name}", told)
        if not people:
            yield Finding(f"escalation-policies/{name}", f"step {at + 1} reaches nobody")
        reached |= people
    if len(policy.steps) < 2 or len(reached) < 2:
        yield Finding(f"escalation-policies/{name}", "ends nowhere: no second step tells somebody else")


def _people(target: Target, setup: Setup) -> set[str]:
    """Everybody whom a target may mean: people, and channels that have an address of their own."""
    if target.channel is not None:
        channel = setup.channels.get(target.channel)
        return {f"channel {target.channel}"} if channel is not None and works(channel) else set()
    who = {target.responder} if target.responder is not None else set()
    schedule = setup.schedules.get(target.schedule or "")
    if schedule is not None:
        who = {person for layer in schedule.layers for person in layer.people}
    return {one for one in who if reachable(setup, one)}


def lint_rules(files: Collection[RuleFile], metrics: Collection[str]) -> Iterator[Finding]:
    """Everything wrong with rule files: metrics of ours that nobody emits, alerts without severity or runbook."""
    rules = [(file.name, rule) for file in files for group in file.groups for rule in group.rules]
    known = {*metrics, "up", "ALERTS", "ALERTS_FOR_STATE", "scrape_duration_seconds", "scrape_samples_scraped"}
    known |= {rule.name for _, rule in rules if not isinstance(rule, AlertingRule)}
    for file, rule in rules:
        where = f"{file}: {rule.name}"
        for metric in sorted(_metrics(rule.expr)):
            ours = metric.startswith("cmg_") or ":" in metric  # of other programs' metrics nobody knows all
            if ours and metric not in known and not any(metric.removesuffix(one) in known for one in _SUFFIXES):
                yield Finding(where, f"reads {metric}, which nobody emits")
        if isinstance(rule, AlertingRule):
            told = {**rule.labels, **rule.annotations}
            for one in _NEEDED:
                if one not in told and f"{one}_url" not in told:
                    yield Finding(where, f"has no {one}")


def _metrics(expression: str) -> set[str]:
    """The names of the metrics that an expression reads. Raises `BadData`."""
    try:
        plan = parse(expression, 0, 0)
    except BadData:
        return set()
    named = (one for need in needs(plan, Span(0, 0), 1) for one in need.matchers)
    return {one.value for one in named if one.name == NAME and one.op == "="}
