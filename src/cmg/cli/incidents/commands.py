"""`cmg incidents …`, as the administrator of the whole installation."""

from collections.abc import Callable
from typing import Any

import click
import msgspec

from cmg.cli.incidents.reviewing import actions, metrics, post_mortem, review
from cmg.cli.incidents.session import on_room, print_incident, view_of
from cmg.cli.printing import json_option, print_fields, print_json, print_table
from cmg.identity.models import COMMAND_LINE
from cmg.incidents.closing.checks import failed
from cmg.incidents.forms.views import communication_view, entry_view
from cmg.incidents.models import AUDIENCES, COMPONENTS, KINDS, OPEN, SEVERITIES, TROUBLE, Incident, incident_id
from cmg.incidents.routes import Room

_COLUMNS = ("id", "severity", "status", "title", "started_at", "commander")


@click.group("incidents", no_args_is_help=True)
def incidents() -> None:
    """Declare, show and close incidents."""


def _component(value: str) -> tuple[str, str]:
    name, _, state = value.partition("=")
    if name not in COMPONENTS or state not in TROUBLE:
        known = f"one of {', '.join(COMPONENTS)}, then = and one of {', '.join(TROUBLE)}"
        raise click.UsageError(f"--component is {known}; not {value!r}")
    return name, state


_settings = [
    click.option("--summary", help="What is known."),
    click.option("--public/--internal", default=None, help="Whether the status page shows it."),
    click.option("--public-title", help="What the status page calls it."),
    click.option("--component", multiple=True, metavar="NAME=STATUS", help="As api=major_outage; several times."),
    click.option("--commander", help="Who leads."),
    click.option("--communications", help="Who speaks."),
    click.option("--scribe", help="Who writes down."),
    click.option("--business-impact", help="What it means for the business."),
    click.option("--reputation", help="What it means for the reputation."),
]


def _described(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a declaration and of a change."""
    for option in reversed(_settings):
        command = option(command)
    return command


def _fields(options: dict[str, Any]) -> dict[str, Any]:
    components = dict(map(_component, options.pop("component", ())))
    given = {name: value for name, value in options.items() if value is not None and value != ()}
    return {**given, "components": components} if components else given


@incidents.command("declare")
@click.argument("title")
@click.option("--severity", required=True, type=click.Choice(SEVERITIES), help="SEV-1 is the worst.")
@click.option("--started-at", help="When the trouble began, as 2026-11-29T12:00:00Z; default: now.")
@_described
@json_option
def declare(*, as_json: bool, **options: Any) -> None:
    """Open an incident."""
    print_incident(on_room(lambda room: room.desk.declare(COMMAND_LINE, _fields(options))), as_json=as_json)


@incidents.command("list")
@click.option("--state", type=click.Choice(["open", "resolved", "closed"]), help="Default: all.")
@click.option("--severity", type=click.Choice(SEVERITIES))
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
@click.option("--cursor", help="Go on after a page, with its `next`.")
@json_option
def list_(*, as_json: bool, state: str | None, severity: str | None, limit: int, cursor: str | None) -> None:
    """List incidents, newest first."""
    found, following = on_room(lambda room: room.desk.list(state, severity, cursor, limit))
    items = [view_of(one) for one in found]
    if as_json:
        print_json({"items": items, "next": following})
        return
    print_table(items, _COLUMNS, "There is no such incident.")
    if following:
        click.echo(f"There are more: --cursor {following}")


@incidents.command("show")
@click.argument("incident")
@json_option
def show(*, incident: str, as_json: bool) -> None:
    """Show an incident with its time boxes and its timeline."""

    async def read(room: Room) -> tuple[Incident, list[dict[str, Any]]]:
        found = await room.desk.get(incident_id(incident))
        return found, [entry_view(one) for one in await room.timelines.of(room.database, found)]

    found, timeline = on_room(read)
    if as_json:
        print_json({**view_of(found), "timeline": timeline})
        return
    print_incident(found, as_json=False)
    click.echo()
    print_table(view_of(found)["time_boxes"], ("name", "state", "due_at", "done_at"), "")
    click.echo()
    print_table(timeline, ("at", "kind", "actor", "text"), "Nothing was written down.")


@incidents.command("update")
@click.argument("incident")
@click.option("--title", help="What it is called from now on.")
@click.option("--severity", type=click.Choice(SEVERITIES))
@click.option("--status", type=click.Choice(OPEN))
@click.option("--cause", help="What caused it.")
@click.option("--factor", "factors", multiple=True, help="What contributed; several times.")
@click.option("--lessons", help="What was learnt.")
@_described
@json_option
def update(*, incident: str, as_json: bool, **options: Any) -> None:
    """Change what is said; each change is a line of the timeline."""
    fields = _fields(options)
    if not fields:
        raise click.UsageError("say what to change, as in --status identified")
    print_incident(on_room(lambda room: room.desk.change(COMMAND_LINE, incident_id(incident), fields)), as_json=as_json)


@incidents.command("acknowledge")
@click.argument("incident")
@json_option
def acknowledge(*, incident: str, as_json: bool) -> None:
    """Say that somebody works on it."""
    print_incident(on_room(lambda room: room.desk.acknowledge(COMMAND_LINE, incident_id(incident))), as_json=as_json)


@incidents.command("note")
@click.argument("incident")
@click.argument("text")
@click.option("--at", help="When it happened; default: now.")
@json_option
def note(*, incident: str, text: str, at: str | None, as_json: bool) -> None:
    """Add a line to the timeline."""
    entry = entry_view(on_room(lambda room: room.desk.note(COMMAND_LINE, incident_id(incident), text, at)))
    print_json(entry) if as_json else print_fields(entry)


@incidents.command("say")
@click.argument("incident")
@click.option("--kind", required=True, type=click.Choice(KINDS), help="Which template.")
@click.option("--audience", required=True, type=click.Choice(AUDIENCES))
@click.option("--text", help="What you add to the template.")
@click.option("--channel", "channels", multiple=True, help="A channel's id, or id:address; several times.")
@click.option("--preview", is_flag=True, help="Print the text, send nothing.")
@json_option
def say(*, incident: str, preview: bool, as_json: bool, channels: tuple[str, ...], **options: Any) -> None:
    """Say something of an incident, on channels; customers read it on the status page too."""
    number, fields = incident_id(incident), {**options, "channels": list(channels)}
    if preview:
        text = on_room(lambda room: room.announcer.preview(number, fields))
        shown: dict[str, Any] = {"subject": text.subject, "body": text.body}
    else:
        shown = communication_view(on_room(lambda room: room.announcer.announce(COMMAND_LINE, number, fields)))
    print_json(shown) if as_json else print_fields(shown)


@incidents.command("resolve")
@click.argument("incident")
@click.option("--text", help="How.")
@json_option
def resolve(*, incident: str, text: str | None, as_json: bool) -> None:
    """The trouble has ended."""
    print_incident(
        on_room(lambda room: room.closing.resolve(COMMAND_LINE, incident_id(incident), text)), as_json=as_json
    )


@incidents.command("check")
@click.argument("incident")
@json_option
def check(*, incident: str, as_json: bool) -> int:
    """Check whether the service works again; exit 1 when it does not. It must be running."""
    found = on_room(lambda room: room.closing.check(COMMAND_LINE, incident_id(incident)))
    items, bad = [msgspec.structs.asdict(one) for one in found], failed(found)
    if as_json:
        print_json({"passed": not bad, "items": items})
    else:
        print_table(items, ("name", "outcome", "told"), "")
    return 1 if bad else 0


@incidents.command("close")
@click.argument("incident")
@click.option("--override", help="Why it is closed although a check failed.")
@json_option
def close(*, incident: str, override: str | None, as_json: bool) -> None:
    """Close a resolved incident, after the checks."""
    print_incident(
        on_room(lambda room: room.closing.close(COMMAND_LINE, incident_id(incident), override)), as_json=as_json
    )


@incidents.command("reopen")
@click.argument("incident")
@click.option("--reason", required=True, help="Why it is open again; goes into the timeline.")
@json_option
def reopen(*, incident: str, reason: str, as_json: bool) -> None:
    """The trouble had not ended."""
    print_incident(on_room(lambda room: room.desk.reopen(COMMAND_LINE, incident_id(incident), reason)), as_json=as_json)


for command in (post_mortem, review, actions, metrics):
    incidents.add_command(command)
