"""Rules and alerts: `cmg alerts …`."""

import asyncio
from pathlib import Path

import click

from cmg.cli.monitoring.noise import feedback, noise
from cmg.cli.monitoring.paging import COMMANDS
from cmg.cli.monitoring.rules import rules
from cmg.cli.printing import json_option, print_json
from cmg.kit.clock import SystemClock
from cmg.kit.errors import InvalidRequest
from cmg.timeseries.rules.trials.files import TrialFileError
from cmg.timeseries.rules.trials.notation import NotationError
from cmg.timeseries.rules.trials.running import Difference, Told, run


@click.group("alerts")
def alerts() -> None:
    """Rules and the alerts that come of them."""


@alerts.command("test")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
def test_rules(*, files: tuple[Path, ...], as_json: bool) -> int:
    """Run FILES, rule tests in promtool's format, on the embedded evaluator. Exit 1 when a rule does something else."""
    found = {str(file): _run(file) for file in files}
    if as_json:
        print_json({"ok": not any(found.values()), "files": found})
    else:
        for file, differences in found.items():
            click.echo(f"{file}: {'FAILED' if differences else 'good'}")
            for one in differences:
                _print(one)
    return int(any(found.values()))


def _run(file: Path) -> list[Difference]:
    try:
        return asyncio.run(run(file, SystemClock()))
    except (TrialFileError, NotationError) as error:
        raise InvalidRequest(str(error), param="files") from error


def _print(difference: Difference) -> None:
    click.echo(f"  {difference.trial}: {difference.what} at {difference.at}")
    for head, told in (("expected", difference.expected), ("found", difference.found)):
        for line in map(_line, told) if told else ("nothing",):
            click.echo(f"    {head:<8}  {line}")


def _line(told: Told) -> str:
    return "  ".join(told)


for one in (*COMMANDS, rules, feedback, noise):
    alerts.add_command(one)
