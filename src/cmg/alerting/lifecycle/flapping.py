"""Flapping: an alert that comes and goes again and again is told of once, then held until it calms down."""

from cmg.alerting.lifecycle.case import Case
from cmg.alerting.models import Alert, Verdict
from cmg.alerting.setup.documents import Handling

_NAME = "flapping"


def turns_within(alert: Alert, handling: Handling, now: float) -> int:
    """How often it began or ceased to fire in the time that counts."""
    return sum(turn > now - handling.flapping_minutes * 60 for turn in alert.turns)


def flapping(case: Case) -> Verdict:
    """Enter at the upper threshold, leave at the lower one; held in between."""
    handling, alert = case.changes.world.setup.handling, case.alert
    turns = turns_within(alert, handling, case.now)
    span = f"{turns} turns in {handling.flapping_minutes} min"
    if alert.flapping and turns <= handling.flapping_leave:
        case.become(flapping=False)
        return Verdict(_NAME, "pass", f"it calmed down: {span}")
    if alert.flapping:
        calm = f"{handling.flapping_leave} turns or fewer in {handling.flapping_minutes} min"
        return Verdict(_NAME, "hold", f"it flaps; held until there are {calm}")
    if turns >= handling.flapping_enter:
        case.become(flapping=True)
        return Verdict(_NAME, "pass", f"it begins to flap: {span}; one notice, then it is held")
    return Verdict(_NAME, "pass", f"it does not flap: {span}")
