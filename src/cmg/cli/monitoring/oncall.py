"""`cmg alerts oncall`: who is on call."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import click

from cmg.alerting.api.oncall_views import policy_view, roster_view
from cmg.alerting.oncall.roster import roster, tiers
from cmg.alerting.setup.compiled import Setup
from cmg.cli.printing import json_option, print_json, print_table
from cmg.cli.session import with_services
from cmg.identity.models import DEFAULT_WORKSPACE
from cmg.kit.clock import SystemClock

_SCHEDULES = ("schedule", "now", "until", "next", "from", "timezone")
_TIERS = ("policy", "step", "after", "who")


@click.command("oncall")
@click.option("--workspace", default=DEFAULT_WORKSPACE, show_default=True, help="Whose schedules.")
@json_option
def oncall(*, workspace: str, as_json: bool) -> int:
    """Tell who is on call, until when, who is next, and when nobody is within 14 days. Exit 1 when nobody is now."""
    setup: Setup = with_services(lambda services: services.alerts.setup(workspace))
    moment = SystemClock().time()
    schedules = [roster_view(setup, roster(name, one, moment)) for name, one in sorted(setup.schedules.items())]
    policies = [
        policy_view(setup, name, one, tiers(setup, one, moment)) for name, one in sorted(setup.policies.items())
    ]
    if as_json:
        print_json({"schedules": schedules, "policies": policies})
    else:
        print_table([_row(one) for one in schedules], _SCHEDULES, "There is no schedule.")
        for one in schedules:
            for gap in one["gaps"]:
                click.echo(f"{one['schedule']}: nobody from {_told(gap['starts_at'])} to {_told(gap['ends_at'])}")
        print_table([row for one in policies for row in _rows(one)], _TIERS, "There is no escalation policy.")
    return int(any(one["now"] is None for one in schedules))


def _row(shown: dict[str, Any]) -> dict[str, Any]:
    now, after = shown["now"], shown["next"]
    return {
        **shown,
        "now": _who(now),
        "until": _told(now["until"]) if now else "",
        "next": _who(after) if after else "",
        "from": _told(after["starts_at"]) if after else "",
    }


def _rows(shown: dict[str, Any]) -> Iterable[dict[str, Any]]:
    for tier in shown["tiers"]:
        people = [_who(one) for one in tier["people"]]
        absent = [f"nobody in {one}" for one in tier["nobody_in"]]
        channels = [f"channel {one}" for one in tier["channels"]]
        step = f"{tier['step']} {tier['name']}".strip()
        who = ", ".join([*people, *channels, *absent])
        yield {"policy": shown["policy"], "step": step, "after": f"{tier['after_minutes']} min", "who": who}


def _who(person: dict[str, Any] | None) -> str:
    if person is None:
        return "NOBODY"
    return person["responder"] if person["reachable"] else f"{person['responder']} (cannot be reached)"


def _told(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"
