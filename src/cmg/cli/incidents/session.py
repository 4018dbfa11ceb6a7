"""What the commands of incidents share: the room, and how an incident is printed."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import click

from cmg.cli.printing import print_fields, print_json
from cmg.cli.session import with_services
from cmg.incidents.forms.views import incident_view
from cmg.incidents.models import Incident
from cmg.incidents.routes import Room
from cmg.kit.clock import SystemClock

T = TypeVar("T")
_LISTED = ("components", "labels", "impact", "time_boxes")


def on_room(use: Callable[[Room], Awaitable[T]]) -> T:
    """Run `use` on the room of incidents."""
    return with_services(lambda services: use(services.incidents))


def view_of(incident: Incident) -> dict[str, Any]:
    """The incident as it is now."""
    return incident_view(incident, SystemClock().now())


def print_incident(incident: Incident, *, as_json: bool) -> None:
    """As JSON, or line by line."""
    view = view_of(incident)
    if as_json:
        print_json(view)
        return
    print_fields({name: value for name, value in view.items() if name not in _LISTED})
    if view["components"]:
        click.echo(f"components: {', '.join(f'{name} {state}' for name, state in view['components'].items())}")
