"""Rosters and tiers as they are shown."""

from collections.abc import Iterable
from typing import Any

from cmg.alerting.oncall.roster import Roster, Shift, Tier, reachable
from cmg.alerting.setup.compiled import Setup
from cmg.alerting.setup.documents import EscalationPolicy
from cmg.kit.clock import at


def roster_view(setup: Setup, found: Roster) -> dict[str, Any]:
    """A schedule at a moment."""
    return {
        "schedule": found.schedule,
        "name": found.document.name,
        "timezone": found.document.timezone,
        "now": _shift(setup, found.now),
        "next": _shift(setup, found.next),
        "gaps": [{"starts_at": at(starts), "ends_at": at(ends)} for starts, ends in found.gaps],
    }


def policy_view(setup: Setup, name: str, policy: EscalationPolicy, found: Iterable[Tier]) -> dict[str, Any]:
    """A policy's steps at a moment."""
    return {
        "policy": name,
        "name": policy.name,
        "tiers": [
            {
                "step": one.number,
                "name": one.step.name,
                "after_minutes": one.step.after_minutes,
                "people": [{**_person(setup, who), "schedule": schedule} for who, schedule in one.people],
                "channels": list(one.channels),
                "nobody_in": list(one.absent),
            }
            for one in found
        ],
    }


def _person(setup: Setup, person: str) -> dict[str, Any]:
    known = setup.responders.get(person)
    return {
        "responder": person,
        "name": person if known is None else known.name,
        "reachable": reachable(setup, person),
    }


def _shift(setup: Setup, shift: Shift | None) -> dict[str, Any] | None:
    if shift is None:
        return None
    until = None if shift.until is None else at(shift.until)
    return {**_person(setup, shift.person), "starts_at": at(shift.starts_at), "until": until}
