"""`cmg traces …`: why was this call slow?"""

from collections.abc import Iterator
from typing import Any

import click

from cmg.cli.printing import json_option, print_fields, print_json, print_table
from cmg.cli.session import with_basics
from cmg.telemetry.lines.terminal import visible

_SHOWN = ("at", "trace_id", "name", "model", "status", "duration_ms", "kept_for")
_TOLD = ("error.type", "gen_ai.provider.name", "cmg.outcome", "gen_ai.memory.record.count")
_NAME_MOST = 60


@click.group("traces", no_args_is_help=True)
def traces() -> None:
    """Show where the time of requests and jobs went."""


@traces.command("list")
@click.option("--from", "from_", help="Begun at or after this moment, as 2026-11-01T12:00:00Z.")
@click.option("--to", help="Begun before this moment.")
@click.option("--status", help="ok or error.")
@click.option("--model", help="Only calls of this model.")
@click.option("--workspace", help="Only this workspace's.")
@click.option("--min-ms", help="At least so long.")
@click.option("--slowest", is_flag=True, help="Slowest first; else newest.")
@click.option("--limit", default="20", show_default=True, help="How many.")
@json_option
def list_(*, as_json: bool, slowest: bool, **asked: str | None) -> None:
    """List kept traces."""
    asked["from"], asked["order"] = asked.pop("from_"), "slowest" if slowest else "newest"
    page = with_basics(lambda basics: basics.traces.page(asked, None))
    if as_json:
        print_json(page)
    else:
        print_table(page["items"], _SHOWN, "No trace is kept.")


@traces.command("show")
@click.argument("id_", metavar="ID")
@json_option
def show(*, id_: str, as_json: bool) -> None:
    """Show one trace as a tree; ID is its own or that of a request (x-cmg-request-id)."""
    trace = with_basics(lambda basics: basics.traces.trace(id_, None))
    if as_json:
        print_json(trace)
        return
    print_fields({name: trace[name] for name in ("trace_id", "started_at", "duration_ms", "status")})
    click.echo()
    for line in lines(trace["spans"]):
        click.echo(visible(line))
    click.echo("\nMost of the time:")
    for one in trace["where"]:
        click.echo(f"  {one['share']:6.1%}  {one['self_ms']:10.3f} ms  {one['name']}")


def lines(spans: list[dict[str, Any]], depth: int = 0) -> Iterator[str]:
    """A line for each span: when it began, how long it took, what it was."""
    for span in spans:
        told = span["attributes"]
        further = ", ".join(f"{name}={told[name]}" for name in _TOLD if name in told)
        name = f"{'  ' * depth}{span['name']}"[:_NAME_MOST]
        line = f"{span['start_ms']:10.3f} {span['duration_ms']:10.3f} ms  {name}"
        yield f"{line}  ({further})" if further else line
        yield from lines(span["children"], depth + 1)
