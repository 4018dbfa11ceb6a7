"""Silences, maintenance windows and inhibition: the stages that hold an alert as long as something stands."""

from cmg.alerting.lifecycle.case import Case, Stage
from cmg.alerting.models import Alert, Verdict
from cmg.alerting.setup.matchers import matches, shown
from cmg.alerting.setup.windows import open_until
from cmg.alerting.world import World
from cmg.kit.clock import rfc3339


def silences(case: Case) -> Verdict:
    """Hold what a silence matches that stands now."""
    reason = _silenced(case.alert, case.changes.world, case.now)
    return Verdict("silences", "hold" if reason else "pass", reason or "no silence matches")


def maintenance(case: Case) -> Verdict:
    """Hold what a maintenance window matches that is open now."""
    reason = _in_maintenance(case.alert, case.changes.world, case.now)
    return Verdict("maintenance", "hold" if reason else "pass", reason or "no maintenance window is open for it")


def inhibition(case: Case) -> Verdict:
    """Hold what another firing alert explains."""
    reason = _inhibited(case.alert, case.changes.world)
    return Verdict("inhibition", "hold" if reason else "pass", reason or "no firing alert inhibits it")


SUPPRESSION: tuple[Stage, ...] = (silences, maintenance, inhibition)


def muted(alert: Alert, world: World, now: float) -> str:
    """Why nobody should hear of an alert now; empty when nothing stands against it."""
    return _silenced(alert, world, now) or _in_maintenance(alert, world, now) or _inhibited(alert, world)


def _silenced(alert: Alert, world: World, now: float) -> str:
    for name, silence in world.setup.silences.items():
        starts, ends = silence.starts_at.timestamp(), silence.ends_at.timestamp()
        if starts <= now < ends and matches(silence.matchers, alert.labels):
            why = f" ({silence.comment})" if silence.comment else ""
            return f"silence {name}{why} matches {shown(silence.matchers)} until {rfc3339(ends)}"
    return ""


def _in_maintenance(alert: Alert, world: World, now: float) -> str:
    for name, window in world.setup.windows.items():
        if matches(window.matchers, alert.labels):
            until = open_until(window, now)
            if until is not None:
                return f"maintenance window {name} ({window.name}) is open until {rfc3339(until)}"
    return ""


def _inhibited(alert: Alert, world: World) -> str:
    found = world.inhibitors.of(alert)
    if found is None:
        return ""
    rule, source = found
    by = world.alerts.get(source)
    return f"inhibition {rule}: {by.name if by else source} ({source}) fires"
