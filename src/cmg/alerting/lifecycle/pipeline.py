"""The stages in their order, and what is kept of a passage: the alert, the group, and why."""

from collections.abc import Iterable

from cmg.alerting.escalation.telling import tell_flapping
from cmg.alerting.lifecycle.case import Case, Stage, run
from cmg.alerting.lifecycle.deduplication import deduplicate, first_seen
from cmg.alerting.lifecycle.drills import end_drills
from cmg.alerting.lifecycle.flapping import flapping, turns_within
from cmg.alerting.lifecycle.grouping import group as grouping
from cmg.alerting.lifecycle.routing import route
from cmg.alerting.lifecycle.settling import settle
from cmg.alerting.lifecycle.suppression import SUPPRESSION
from cmg.alerting.models import Decision, Report, Verdict, fingerprint
from cmg.alerting.world import Changes

AGAIN: tuple[Stage, ...] = (*SUPPRESSION, flapping, grouping, route)
BEGINS: tuple[Stage, ...] = (deduplicate, *AGAIN)
CEASES: tuple[Stage, ...] = (deduplicate, flapping, settle)


def receive(changes: Changes, reports: Iterable[Report]) -> None:
    """Take in what was reported, in order."""
    for report in reports:
        old = changes.world.alerts.get(fingerprint(report.labels))
        if old is None and not report.firing:
            continue  # the end of something that nobody was told of
        case = Case(changes, first_seen(report, changes.now) if old is None else old, old, report)
        _pass(case, BEGINS if report.firing else CEASES, "begins" if report.firing else "ceases")


def look_again(changes: Changes) -> None:
    """Take up what is held, end what was to end by itself, and calm what no longer flaps."""
    handling = changes.world.setup.handling
    end_drills(changes)
    for alert in list(changes.world.alerts.values()):
        if alert.firing and alert.ends_at is not None and alert.ends_at <= changes.now:
            told = Report(labels=alert.labels, firing=False, ends_at=alert.ends_at, source=alert.source)
            _pass(Case(changes, alert, alert, told), CEASES, "ends by itself")
        elif alert.flapping and turns_within(alert, handling, changes.now) <= handling.flapping_leave:
            stages = AGAIN if alert.firing else CEASES[1:]
            _pass(Case(changes, alert, alert), stages, "calms down")
        elif alert.firing and alert.held:
            _pass(Case(changes, alert, alert), AGAIN, "is looked at again")


def _pass(case: Case, stages: tuple[Stage, ...], event: str) -> None:
    verdict = run(case, stages)
    before = case.before
    began_to_flap = case.alert.flapping and not (before is not None and before.flapping)
    case.become(held=_held(verdict))
    if case.alert != before:
        case.changes.put_alert(case.alert)
    group = case.changes.world.groups.get(case.alert.group_id or "")
    if began_to_flap and (not case.alert.firing or (group is not None and group.told_at is not None)):
        tell_flapping(case.changes, case.alert)  # else the group's first page is the notice
    if verdict.outcome == "stop":
        return  # the alert counts its reports itself
    if case.report is None and before is not None and before.held == case.alert.held:
        return  # nothing is new but the time
    case.changes.decide(
        Decision(
            at=case.now,
            event=event,
            outcome=_outcome(case, verdict),
            fingerprint=case.alert.fingerprint,
            group_id=case.alert.group_id,
            verdicts=tuple(case.verdicts),
        )
    )


def _held(verdict: Verdict) -> str:
    return f"{verdict.stage}: {verdict.reason}" if verdict.outcome == "hold" else ""


def _outcome(case: Case, verdict: Verdict) -> str:
    if verdict.outcome == "pass":
        return "goes to the group's people" if case.alert.firing else "over"
    return "held"
