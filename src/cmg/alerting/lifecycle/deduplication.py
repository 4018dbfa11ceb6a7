"""The first stage: is this news? An alert is known by its fingerprint."""

import msgspec

from cmg.alerting.lifecycle.case import Case
from cmg.alerting.models import TURNS_KEPT, Alert, Report, Verdict, fingerprint, severity_of

_NAME = "deduplication"


def first_seen(report: Report, now: float) -> Alert:
    """The alert of a report about a set of labels that was never seen."""
    return Alert(
        fingerprint=fingerprint(report.labels),
        labels=report.labels,
        annotations=report.annotations,
        severity=severity_of(report.labels),
        firing=False,
        starts_at=now if report.starts_at is None else report.starts_at,
        seen_at=now,
        reports=0,
        episode=0,
    )


def deduplicate(case: Case) -> Verdict:
    """Pass what begins or ceases to fire, stop what was known."""
    report, old = case.report, case.alert
    if report is None:
        return Verdict(_NAME, "pass", "looked at again")
    case.become(
        annotations=report.annotations or old.annotations,
        ends_at=report.ends_at,
        seen_at=case.now,
        reports=old.reports + 1,
        source=report.source,
        generator_url=report.generator_url or old.generator_url,
        firing=report.firing,
    )
    if report.firing == old.firing:
        state = "fires" if old.firing else "was resolved"
        return Verdict(_NAME, "stop", f"it {state} already; this is report {case.alert.reports} of it")
    turns = (*old.turns, case.now)[-TURNS_KEPT:]
    case.become(turns=turns)
    if not report.firing:
        case.become(ends_at=case.now if report.ends_at is None else min(report.ends_at, case.now))
        return Verdict(_NAME, "pass", "it ceases to fire")
    starts = case.now if report.starts_at is None else min(report.starts_at, case.now)
    case.alert = msgspec.structs.replace(
        case.alert, starts_at=starts, since=report.since, episode=old.episode + 1, held=""
    )
    return Verdict(_NAME, "pass", "it begins to fire" + (f", for the {_th(case.alert.episode)} time"))


def _th(number: int) -> str:
    suffix = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"
