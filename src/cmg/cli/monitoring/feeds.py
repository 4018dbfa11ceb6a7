"""`cmg alerts feeds …`: subscriptions of calendar programs to schedules."""

from typing import Any

import click
import msgspec

from cmg.alerting.api.feed_routes import feed_view, new_feed_view
from cmg.alerting.calendar.feeds import Made
from cmg.alerting.calendar.models import Kind
from cmg.app.drills.load import base_url
from cmg.app.wiring.services import Services
from cmg.cli.printing import json_option, print_fields, print_json, print_table
from cmg.cli.session import with_services
from cmg.identity.models import COMMAND_LINE, DEFAULT_WORKSPACE, Actor
from cmg.kit.errors import InvalidRequest

_SHOWN = ("id", "schedule", "responder", "created_at", "rotated_at", "expires_at", "read_at")
_workspace = click.option("--workspace", default=DEFAULT_WORKSPACE, show_default=True, help="Whose schedules.")
_feed = click.argument("feed")


def _by(workspace: str) -> Actor:
    return msgspec.structs.replace(COMMAND_LINE, workspace_id=workspace)


@click.group("feeds")
def feeds() -> None:
    """Addresses under which calendar programs read who is on call (iCalendar)."""


@feeds.command("list")
@_workspace
@json_option
def list_feeds(*, workspace: str, as_json: bool) -> None:
    """List feeds; their addresses are not kept."""

    async def read(services: Services) -> list[dict[str, Any]]:
        found, _ = await services.feeds.page(_by(workspace), "", 200)
        return [feed_view(one) for one in found]

    rows = with_services(read)
    if as_json:
        print_json(rows)
    else:
        print_table(rows, _SHOWN, "There is no feed.")


@feeds.command("add")
@click.option("--schedule", default="", help="A schedule's id.")
@click.option("--responder", default="", help="A responder's id: everything that this person is on call for.")
@_workspace
@json_option
def add(*, schedule: str, responder: str, workspace: str, as_json: bool) -> None:
    """Make a feed and print its address, this once."""
    if bool(schedule) == bool(responder):
        raise InvalidRequest("give either --schedule or --responder", param="schedule")
    kind: Kind = "schedules" if schedule else "responders"

    async def make(services: Services) -> dict[str, Any]:
        made = await services.feeds.create(_by(workspace), kind, schedule or responder, None)
        return _with_address(services, made)

    _print(with_services(make), as_json=as_json)


@feeds.command("rotate")
@_feed
@_workspace
@json_option
def rotate(*, feed: str, workspace: str, as_json: bool) -> None:
    """Give FEED another address; the one before stops to work at once."""

    async def change(services: Services) -> dict[str, Any]:
        return _with_address(services, await services.feeds.rotate(_by(workspace), feed))

    _print(with_services(change), as_json=as_json)


@feeds.command("revoke")
@_feed
@_workspace
@json_option
def revoke(*, feed: str, workspace: str, as_json: bool) -> None:
    """FEED's address stops to work at once."""
    with_services(lambda services: services.feeds.revoke(_by(workspace), feed))
    if as_json:
        print_json({"revoked": feed})
    else:
        click.echo(f"The feed {feed} is revoked.")


def _with_address(services: Services, made: Made) -> dict[str, Any]:
    return new_feed_view(made, services.settings.public_url or base_url(services.settings))


def _print(shown: dict[str, Any], *, as_json: bool) -> None:
    (print_json if as_json else print_fields)(shown)
