"""Practice beside the real thing: which alerts are a drill's, and what becomes of them when it is over."""

import msgspec

from cmg.alerting.models import Alert, Decision, Group
from cmg.alerting.setup.documents import Drill
from cmg.alerting.setup.matchers import matches
from cmg.alerting.world import Changes, World

_OVER = "the drill {} is over"


def drill_of(alert: Alert, world: World, now: float) -> str:
    """The drill that an alert is of; empty: it is real, as everything is that began before the drill did."""
    drills = sorted(world.setup.drills.items(), key=lambda one: (one[1].alerts_until is not None, one[0]))
    for name, drill in drills:
        if running(drill, now) and _within(alert, drill) and matches(drill.matchers, alert.labels):
            return name
    return ""


def _within(alert: Alert, drill: Drill) -> bool:
    """Whether it began while the fault was on. A rule that waited (`for`) may tell of it when the fault is off."""
    starts = drill.starts_at.timestamp()
    if drill.alerts_until is None:
        return alert.starts_at >= starts
    since = alert.starts_at if alert.since is None else alert.since
    return starts <= since <= drill.alerts_until.timestamp()


def running(drill: Drill, now: float) -> bool:
    """Whether a drill is on."""
    return drill.starts_at.timestamp() <= now < drill.ends_at.timestamp()


def drill_for(group: Group, world: World, now: float) -> Drill | None:
    """The drill of a group, while it is on."""
    found = world.setup.drills.get(group.drill) if group.drill else None
    return found if found is not None and running(found, now) else None


def end_drills(changes: Changes) -> None:
    """What fires still after its drill is real: people are told of it from the first step on.

    Where another drill that is on names every alert of it, it is that one's from now on.
    """
    for one in list(changes.world.groups.values()):
        if not one.drill or drill_for(one, changes.world, changes.now) is not None:
            continue
        heir = _heir(one, changes)
        if heir is None:
            _make_real(one, changes)
            continue
        changes.put_group(msgspec.structs.replace(one, drill=heir))
        told = f"it is of the drill {heir} from now on"
        changes.decide(Decision(at=changes.now, event=_OVER.format(one.drill), outcome=told, group_id=one.id))


def _heir(one: Group, changes: Changes) -> str | None:
    members = changes.world.members(one.id)
    for name, drill in sorted(changes.world.setup.drills.items()):
        named = members and all(matches(drill.matchers, alert.labels) for alert in members)
        if named and running(drill, changes.now):
            return name
    return None


def _make_real(one: Group, changes: Changes) -> None:
    changes.cancel(one.id, "its drill is over")
    changes.end_timers(one.id)
    real = msgspec.structs.replace(
        one, drill="", status="open", until=None, step=0, round=one.round + 1, begun_at=changes.now
    )
    changes.put_group(real)
    changes.new_timer(one.id, "wait", changes.now)
    told = "it fires still, so it is real: escalation begins"
    changes.decide(Decision(at=changes.now, event=_OVER.format(one.drill), outcome=told, group_id=one.id))
