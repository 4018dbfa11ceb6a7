"""`cmg logs …`: search and follow what was logged, its patterns, and the levels of loggers."""

import asyncio
from collections.abc import Callable
from typing import Any

import click
import msgspec

from cmg.app.wiring.services import Services
from cmg.cli.printing import json_option, print_json, print_table
from cmg.cli.session import with_services
from cmg.identity.models import COMMAND_LINE
from cmg.telemetry.lines.terminal import shown

_Command = Callable[..., Any]
_MOST = 100_000
_FILTERS = (
    click.option("--since", help="A time with its offset, a date, or so long ago: 15m, 2h, 7d."),
    click.option("--until", help="As --since; default: now."),
    click.option("--level", help="debug, info, warning, error, critical: this one and above."),
    click.option("--logger", help="A component: a logger and everything below it."),
    click.option("--service", help="The program that wrote the line."),
    click.option("--request-id", help="The id of a request."),
    click.option("--trace-id", help="The id of a trace."),
    click.option("--pattern", help="The number of a pattern."),
    click.option("--workspace", help="Only this workspace's lines."),
)


def _filtered(command: _Command) -> _Command:
    for option in reversed(_FILTERS):
        command = option(command)
    return command


@click.group("logs", no_args_is_help=True)
def logs() -> None:
    """Search and follow what was logged."""


@logs.command("search")
@click.argument("words", nargs=-1)
@_filtered
@click.option("--tiers", help="hot, cold, archive, several with commas; default: hot,cold.")
@click.option("--limit", type=click.IntRange(1, _MOST), default=100, show_default=True, help="How many lines at most.")
@json_option
def search(*, words: tuple[str, ...], limit: int, as_json: bool, **asked: str | None) -> int:
    """Find lines that hold these WORDS, newest first; exit 1 when there is none."""
    workspace = asked.pop("workspace")

    async def find(services: Services) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while len(found) < limit:
            values = {**asked, "q": " ".join(words), "cursor": cursor, "limit": min(1000, limit - len(found))}
            page = await services.logbook.uses.search.page(values, workspace)
            found += page.items
            if (cursor := page.next) is None:
                break
        return found

    items = with_services(find)
    if as_json:
        print_json({"items": items})
    else:
        for item in items:
            click.echo(shown(item))
    return 0 if items else 1


@logs.command("tail")
@click.argument("words", nargs=-1)
@_filtered
@json_option
def tail(*, words: tuple[str, ...], as_json: bool, **asked: str | None) -> None:
    """Print lines that hold these WORDS as they come, until it is interrupted."""
    workspace = asked.pop("workspace")

    async def follow(services: Services) -> None:
        values: dict[str, Any] = {**asked, "q": " ".join(words)}
        while True:
            async for piece in await services.logbook.uses.tail.stream(values, workspace):
                for line in piece.splitlines():
                    record = msgspec.json.decode(line) if line else {}
                    if set(record) == {"next"}:
                        values["after"] = record["next"]
                    elif record:
                        click.echo(line.decode() if as_json else shown(record))
            await asyncio.sleep(0)

    with_services(follow)


@logs.command("patterns")
@click.option("--since", help="Lines from then on count; default: a day ago.")
@click.option("--level", help="Patterns with lines of this level or above.")
@click.option("--logger", help="Of this logger and everything below it.")
@click.option("--new", is_flag=True, help="Only patterns never seen before.")
@click.option("--workspace", help="Only this workspace's.")
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="How many at most.")
@json_option
def patterns(*, new: bool, limit: int, as_json: bool, **asked: str | None) -> None:
    """List kinds of messages, those of most lines first."""
    workspace = asked.pop("workspace")
    values = {**asked, "new": "true" if new else None, "limit": limit}
    page = with_services(lambda services: services.logbook.uses.patterns.page(values, workspace))
    if as_json:
        print_json(page)
    else:
        shown = ("lines", "level", "new", "first_seen", "logger", "template", "pattern")
        print_table(page["items"], shown, "There is no pattern.")


@logs.command("level")
@click.argument("logger")
@click.argument("level", required=False)
@click.option("--for", "hold_for", help="So long: 15m, 2h, 7d; default: until it is changed.")
@json_option
def level(*, logger: str, level: str | None, hold_for: str | None, as_json: bool) -> None:
    """Set the LEVEL of a LOGGER in every process, or without one take it back to the settings'."""

    async def change(services: Services) -> None:
        levels = services.logbook.uses.levels
        if level is None:
            await levels.reset(logger, COMMAND_LINE.name)
        else:
            await levels.set({"logger": logger, "level": level, "for": hold_for}, COMMAND_LINE.name)

    with_services(change)
    if as_json:
        print_json({"logger": logger, "level": level})
