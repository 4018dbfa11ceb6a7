"""Where an alert leads: the first route that matches, else the policy named `default`."""

from collections.abc import Mapping
from typing import NamedTuple

from cmg.alerting.models import Alert, Severity
from cmg.alerting.setup.compiled import Setup
from cmg.alerting.setup.matchers import matches, shown

DEFAULT = "default"


class Lead(NamedTuple):
    """A policy, by which route (empty: none), the severity that the route sets, and the reason."""

    route: str
    policy: str
    severity: Severity | None
    reason: str


def policy_for(setup: Setup, labels: Mapping[str, str]) -> Lead | None:
    """None: nobody can be told."""
    for name, one in setup.routes:
        if matches(one.matchers, labels) and one.policy in setup.policies:
            by = shown(one.matchers) or "everything"
            return Lead(name, one.policy, one.severity, f"route {name} ({by}) leads to the policy {one.policy}")
    if DEFAULT in setup.policies:
        return Lead("", DEFAULT, None, "no route matches; it goes by the policy default")
    return None


def urgency(lead: Lead | None, alert: Alert) -> Severity:
    """How urgent an alert makes its group: what its route says, else what it says itself."""
    return alert.severity if lead is None or lead.severity is None else lead.severity
