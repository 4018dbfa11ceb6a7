"""`cmg alerts feedback` and `cmg alerts noise`: whether alerts were worth it, and which rules are not."""

import click

from cmg.alerting.feedback.routes import judgement_view, noise_view
from cmg.alerting.feedback.store import Verdict
from cmg.cli.monitoring.paging import by_command_line, workspace_option
from cmg.cli.printing import json_option, print_json, print_table
from cmg.cli.session import with_services

_SAID = ("alert", "rule", "verdict", "by", "at")
_SHOWN = ("rule", "fired", "acted", "woke", "useful", "noise", "noise_share")


@click.command("feedback")
@click.argument("alert")
@click.argument("verdict", type=click.Choice(["useful", "noise"]))
@click.option("--comment", default="", help="Why.")
@workspace_option
@json_option
def feedback(*, alert: str, verdict: Verdict, comment: str, workspace: str, as_json: bool) -> None:
    """Say whether ALERT, an alert or a group, was useful or noise."""
    by = by_command_line(workspace)
    said = with_services(lambda services: services.feedback.judge(by, alert, verdict, comment[:500]))
    found = [judgement_view(one) for one in said]
    if as_json:
        print_json(found)
    else:
        print_table(found, _SAID, "The group has no alert any more.")


@click.command("noise")
@click.option("--days", type=click.IntRange(1, 400), default=30, show_default=True)
@workspace_option
@json_option
def noise(*, days: int, workspace: str, as_json: bool) -> None:
    """Show what came of each rule, the noisiest first."""
    found = [noise_view(one) for one in with_services(lambda services: services.feedback.report(workspace, days))]
    if as_json:
        print_json({"days": days, "items": found})
    else:
        print_table(found, _SHOWN, f"No rule fired in {days} days.")
