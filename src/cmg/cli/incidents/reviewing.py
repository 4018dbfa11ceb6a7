"""`cmg incidents post-mortem|review|actions|metrics`: what is learnt of incidents."""

from pathlib import Path
from typing import Any

import click

from cmg.cli.incidents.session import on_room, print_incident
from cmg.cli.printing import json_option, print_fields, print_json, print_table
from cmg.identity.models import COMMAND_LINE
from cmg.incidents.models import incident_id
from cmg.incidents.review.actions import STATES, action_view
from cmg.kit.clock import SystemClock

_ACTION_COLUMNS = ("id", "incident", "state", "owner", "due_at", "overdue", "text")


@click.command("post-mortem")
@click.argument("incident")
@click.option("--output", required=True, type=click.Path(file_okay=False, path_type=Path), help="A new folder.")
@json_option
def post_mortem(*, incident: str, output: Path, as_json: bool) -> None:
    """Write the post-mortem document, with the plots that were kept when the incident was closed."""
    number = incident_id(incident)
    if output.exists():
        raise click.UsageError(f"{output} is there already; name a new folder")
    text, plots = on_room(lambda room: room.review.document(room.timelines, number))
    (output / "plots").mkdir(parents=True)
    file = output / f"INC-{number}.md"
    file.write_text(text, encoding="utf-8")
    for plot in plots:
        (output / "plots" / f"{plot.name}.svg").write_text(plot.svg, encoding="utf-8")
    told = {"file": str(file), "plots": len(plots)}
    print_json(told) if as_json else print_fields(told)


@click.command("review")
@click.argument("incident")
@click.option("--cause", help="What caused it.")
@click.option("--factor", "factors", multiple=True, help="What contributed; several times.")
@click.option("--lessons", help="What was learnt.")
@json_option
def review(*, incident: str, as_json: bool, **options: Any) -> None:
    """Say that the review is done; it needs a cause."""
    fields = {name: list(value) if name == "factors" else value for name, value in options.items() if value}
    print_incident(
        on_room(lambda room: room.review.reviewed(COMMAND_LINE, incident_id(incident), fields)), as_json=as_json
    )


@click.group("actions", no_args_is_help=True)
def actions() -> None:
    """What is to be done after incidents."""


@actions.command("list")
@click.option("--state", type=click.Choice(STATES), default="open", show_default=True)
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
@click.option("--cursor", help="Go on after a page, with its `next`.")
@json_option
def list_actions(*, state: str, limit: int, cursor: str | None, as_json: bool) -> None:
    """List action items of every incident, oldest first."""
    found, following = on_room(lambda room: room.review.actions.page(state, cursor, limit))
    items = [action_view(one, SystemClock().now()) for one in found]
    if as_json:
        print_json({"items": items, "next": following})
        return
    print_table(items, _ACTION_COLUMNS, "There is nothing to do.")
    if following:
        click.echo(f"There are more: --cursor {following}")


@actions.command("add")
@click.argument("incident")
@click.argument("text")
@click.option("--owner", help="Who does it.")
@click.option("--due-at", help="Until when, as 2026-12-31T00:00:00Z.")
@json_option
def add_action(*, incident: str, as_json: bool, **fields: Any) -> None:
    """Add something to do."""
    given = {name: value for name, value in fields.items() if value is not None}
    made = on_room(lambda room: room.review.actions.add(COMMAND_LINE, incident_id(incident), given))
    view = action_view(made, SystemClock().now())
    print_json(view) if as_json else print_fields(view)


@actions.command("set")
@click.argument("incident")
@click.argument("action", type=int)
@click.argument("state", type=click.Choice(STATES))
@json_option
def set_action(*, incident: str, action: int, state: str, as_json: bool) -> None:
    """Say that an action is done, dropped or open again."""
    number = incident_id(incident)
    made = on_room(lambda room: room.review.actions.change(COMMAND_LINE, number, action, {"state": state}))
    view = action_view(made, SystemClock().now())
    print_json(view) if as_json else print_fields(view)


@click.command("metrics")
@click.option("--from", "since", help="A moment; default: thirty days before the end.")
@click.option("--to", "until", help="A moment; default: now.")
@click.option("--timezone", help="Of the working hours; default: UTC.")
@click.option("--shift-hours", type=click.IntRange(1, 168), default=24, show_default=True)
@json_option
def metrics(*, as_json: bool, **asked: Any) -> None:
    """Times to acknowledge and resolve, alerts a shift, pages out of hours, alerts that were acted on."""
    found = on_room(lambda room: room.figures.of(**asked))
    if as_json:
        print_json(found)
        return
    click.echo(f"From {found['from']} to {found['to']}")
    for name in ("incidents", "alerts"):
        click.echo(f"{name}:")
        print_fields({key: value for key, value in found[name].items() if not isinstance(value, dict)})
