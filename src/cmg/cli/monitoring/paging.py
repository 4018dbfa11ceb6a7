"""`cmg alerts list|show|ack|resolve|snooze|reassign|lint|test-channel`: alerts, those who hear of them, and how."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import aiohttp
import click
import msgspec

from cmg.alerting.alerts import Story
from cmg.alerting.api.views import alert_view, group_view, story_view
from cmg.alerting.channels.sending.message import Refused, TryLater
from cmg.alerting.escalation import actions
from cmg.alerting.evaluation.rule_files import catalogue, of_paths
from cmg.alerting.models import Group
from cmg.alerting.setup.lint import Finding, lint_rules, lint_setup
from cmg.alerting.store import AlertFilter
from cmg.alerting.world import Changes
from cmg.app.alerting.paging import build_sender
from cmg.app.wiring.services import Services
from cmg.catalogue.metrics import METRICS
from cmg.cli.monitoring.feeds import feeds
from cmg.cli.monitoring.oncall import oncall
from cmg.cli.printing import json_option, print_fields, print_json, print_table
from cmg.cli.session import with_services
from cmg.identity.models import COMMAND_LINE, DEFAULT_WORKSPACE, Actor
from cmg.kit.clock import SystemClock
from cmg.kit.errors import InvalidRequest, NotFound
from cmg.telemetry.instruments import Instruments
from cmg.timeseries.rules.files import RuleFileError

_SHOWN = ("id", "severity", "name", "firing", "starts_at", "group", "held")
_GROUPS = ("id", "severity", "status", "title", "alerts", "opened_at", "by")
_LAST = datetime(9999, 1, 1, tzinfo=UTC)
workspace_option = click.option("--workspace", default=DEFAULT_WORKSPACE, show_default=True, help="Whose alerts.")
_name = click.argument("alert")


def by_command_line(workspace: str) -> Actor:
    """Whoever types, for a workspace."""
    return msgspec.structs.replace(COMMAND_LINE, workspace_id=workspace)


@click.command("list")
@click.option("--all", "every", is_flag=True, help="Also those that are over.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
@workspace_option
@json_option
def list_alerts(*, every: bool, limit: int, workspace: str, as_json: bool) -> None:
    """List groups of alerts that are open, and alerts."""

    async def read(services: Services) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        by = by_command_line(workspace)
        groups = await services.alerts.groups(by, None, None, limit)
        wanted = AlertFilter(_LAST, "", None if every else True, limit=limit)
        alerts = await services.alerts.page(by, wanted)
        return [group_view(one) for one in groups if every or one.live], [alert_view(one) for one in alerts]

    groups, alerts = with_services(read)
    if as_json:
        print_json({"groups": groups, "alerts": alerts})
        return
    print_table(groups, _GROUPS, "No group of alerts is open.")
    print_table(alerts, _SHOWN, "No alert fires.")


@click.command("show")
@_name
@workspace_option
@json_option
def show(*, alert: str, workspace: str, as_json: bool) -> None:
    """Why was I (not) paged? ALERT is an alert's id or a group's."""
    story: Story = with_services(lambda services: services.alerts.story(by_command_line(workspace), alert))
    view = story_view(story)
    if as_json:
        print_json(view)
        return
    print_fields(view["alert"] or view["group"])
    for one in reversed(view["decisions"]):
        click.echo(f"\n{one['at']:%Y-%m-%d %H:%M:%S}  {one['event']}: {one['outcome']}")
        for verdict in one["verdicts"]:
            click.echo(f"    {verdict['stage']:<14} {verdict['outcome']:<5} {verdict['reason']}")
    click.echo()
    print_table(view["notifications"], ("created_at", "target", "channel", "step", "state", "error"), "No message.")


def _acted(alert: str, workspace: str, what: str, act: Callable[[Changes, Group, str], None], *, as_json: bool) -> None:
    group: Group = with_services(lambda services: services.alerts.act(by_command_line(workspace), alert, what, act))
    (print_json if as_json else print_fields)(group_view(group))


@click.command("ack")
@_name
@workspace_option
@json_option
def acknowledge(*, alert: str, workspace: str, as_json: bool) -> None:
    """Acknowledge: the escalation of ALERT's group stops at once."""
    _acted(alert, workspace, "acknowledge", actions.acknowledge, as_json=as_json)


@click.command("resolve")
@_name
@workspace_option
@json_option
def resolve(*, alert: str, workspace: str, as_json: bool) -> None:
    """Resolve ALERT's group."""
    _acted(alert, workspace, "resolve", actions.resolve, as_json=as_json)


@click.command("snooze")
@_name
@click.option("--minutes", type=click.IntRange(1, 10_080), required=True, help="For how long nobody is told.")
@workspace_option
@json_option
def snooze(*, alert: str, minutes: int, workspace: str, as_json: bool) -> None:
    """Tell nobody of ALERT's group for a time."""
    _acted(
        alert,
        workspace,
        "snooze",
        lambda changes, group, by: actions.snooze(changes, group, by, minutes),
        as_json=as_json,
    )


@click.command("reassign")
@_name
@click.option("--to", "responder", required=True, help="A responder's id; told now.")
@workspace_option
@json_option
def reassign(*, alert: str, responder: str, workspace: str, as_json: bool) -> None:
    """Give ALERT's group to somebody else."""

    def act(changes: Changes, group: Group, by: str) -> None:
        actions.reassign(changes, group, by, responder)

    _acted(alert, workspace, "reassign", act, as_json=as_json)


@click.command("lint")
@workspace_option
@json_option
def lint(*, workspace: str, as_json: bool) -> int:
    """Find what would fail on the day it is needed. Exit 1 when there is something."""

    async def find(services: Services) -> list[Finding]:
        setup = await services.alerts.setup(workspace)
        files = [*catalogue(), *of_paths(services.settings.timeseries.rule_files)]
        known = {metric.name for metric in METRICS}
        return [*lint_setup(setup, SystemClock().time()), *lint_rules(files, known)]

    try:
        found = with_services(find)
    except RuleFileError as error:
        raise InvalidRequest(str(error), param="timeseries.rule_files") from error
    if as_json:
        print_json([{"where": one.where, "told": one.told} for one in found])
    elif not found:
        click.echo("Everything that is configured would reach somebody.")
    else:
        for one in found:
            click.echo(f"{one.where} {one.told}")
    return int(bool(found))


@click.command("test-channel")
@click.argument("name")
@click.option("--to", "address", default="", help="An address on it; default: the channel's own.")
@workspace_option
@json_option
def test_channel(*, name: str, address: str, workspace: str, as_json: bool) -> int:
    """Send a test message on the channel NAME. Exit 1 when it does not go through."""

    async def send(services: Services) -> tuple[bool, str]:
        setup = await services.alerts.setup(workspace)
        if name not in setup.channels:
            raise NotFound(f"there is no channel {name!r}; there are: {', '.join(setup.channels) or 'none'}")
        async with aiohttp.ClientSession(trust_env=True) as session:
            clock = SystemClock()
            sender = build_sender(services.settings, services.desk, clock, Instruments(), session)
            try:
                return True, await sender.test(setup.channels[name], address)
            except (Refused, TryLater) as error:
                return False, str(error)

    good, told = with_services(send)
    if as_json:
        print_json({"sent": good, "receipt" if good else "error": told})
    else:
        click.echo(f"It was sent; the receiver calls it {told}" if good else f"It was not sent: {told}")
    return int(not good)


COMMANDS = (list_alerts, show, acknowledge, resolve, snooze, reassign, oncall, feeds, lint, test_channel)
