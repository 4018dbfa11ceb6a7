"""Practice beside the real thing: which alerts are a drill's, and what becomes of them when it is over."""

import msgspec

from cmg.alerting.models import Alert, Decision, Group
from cmg.alerting.setup.documents import Drill
from cmg.alerting.setup.matchers import matches
from cmg.alerting.world import Changes, World


def drill_of(alert: Alert, world: World, now: float) -> str:
    """The drill that an alert is of; empty: it is real, as everything is that began before the drill did."""
    for name, drill in world.setup.drills.items():
        starts = drill.starts_at.timestamp()
        if running(drill, now) and alert.starts_at >= starts and matches(drill.matchers, alert.labels):
            return name
    return ""


def running(drill: Drill, now: float) -> bool:
    """Whether a drill is on."""
    return drill.starts_at.timestamp() <= now < drill.ends_at.timestamp()


def drill_for(group: Group, world: World, now: float) -> Drill | None:
    """The drill of a group, while it is on."""
    found = world.setup.drills.get(group.drill) if group.drill else None
    return found if found is not None and running(found, now) else None


def end_drills(changes: Changes) -> None:
    """What fires still after its drill is real: people are told of it from the first step on."""
    for one in list(changes.world.groups.values()):
        if not one.drill or drill_for(one, changes.world, changes.now) is not None:
            continue
        changes.cancel(one.id, "its drill is over")
        changes.end_timers(one.id)
        real = msgspec.structs.replace(
            one, drill="", status="open", until=None, step=0, round=one.round + 1, begun_at=changes.now
        )
        changes.put_group(real)
        changes.new_timer(one.id, "wait", changes.now)
        told = "it fires still, so it is real: escalation begins"
        changes.decide(Decision(at=changes.now, event=f"the drill {one.drill} is over", outcome=told, group_id=one.id))
