"""`cmg drill NAME`: a game-day against the service that runs on this machine."""

from typing import Any

import click

from cmg.app.drills.measuring import Measure
from cmg.app.drills.running import Drills, Wanted
from cmg.app.drills.scenarios import SCENARIOS
from cmg.app.wiring.services import Services
from cmg.cli.printing import json_option, print_json, print_table
from cmg.cli.session import with_services
from cmg.kit.clock import SystemClock
from cmg.kit.errors import CmgError, Conflict, InvalidRequest
from cmg.kit.paths import faults_file
from cmg.storage.errors import StorageError

_SHOWN = ("drill", "measure", "seconds", "target", "met", "note")


@click.command("drill")
@click.argument("names", nargs=-1, metavar="[NAME]…")
@click.option("--all", "every", is_flag=True, help="Every drill, one after the other.")
@click.option("--page", is_flag=True, help="Tell people, as if it were real; else messages are written down only.")
@click.option(
    "--minute",
    "minute_s",
    type=click.IntRange(1, 60),
    default=2,
    show_default=True,
    help="Seconds for which a minute of an escalation counts.",
)
@json_option
def drill(*, names: tuple[str, ...], every: bool, page: bool, minute_s: int, as_json: bool) -> int:
    """Put a fault on, and take the times until it is noticed, told, escalated and over. Exit 1 when a target is missed.

    Needs the setting `drills.enabled`. Without NAME the drills are listed.
    """
    wanted = list(SCENARIOS) if every else list(names)
    unknown = [one for one in wanted if one not in SCENARIOS]
    if unknown:
        raise InvalidRequest(f"there is no drill {unknown[0]!r}; there are: {', '.join(SCENARIOS)}", param="name")
    if not wanted:
        _list(as_json=as_json)
        return 0
    rows: list[dict[str, Any]] = []
    error = None
    try:
        for name in wanted:
            measured = _run(Wanted(name, page, minute_s), as_json=as_json, alone=len(wanted) == 1)
            rows += [_row(name, one) for one in measured]
    except (CmgError, StorageError, OSError) as failed:
        if not rows:
            raise
        error = str(failed)
        click.echo(f"cmg: {error}", err=True)
    finally:
        if rows:  # also of a run that is ended early
            _print(rows, error, as_json=as_json, whole=len({one["drill"] for one in rows}) == len(set(wanted)))
    return int(error is not None or not all(one["met"] for one in rows))


def _print(rows: list[dict[str, Any]], error: str | None, *, as_json: bool, whole: bool) -> None:
    """One document, of a run that failed too."""
    if as_json:
        told = {} if error is None else {"error": {"message": error}}
        print_json({"ok": whole and all(one["met"] for one in rows), "measures": rows, **told})
    else:
        print_table(rows, _SHOWN, "Nothing was measured.")


def _list(*, as_json: bool) -> None:
    rows = [{"name": name, "what": one.told} for name, one in SCENARIOS.items()]
    if as_json:
        print_json(rows)
    else:
        print_table(rows, ("name", "what"), "There is none.")


def _run(wanted: Wanted, *, as_json: bool, alone: bool) -> list[Measure]:
    """One drill; of several, one that cannot be now is a measure that was missed, and the others go on."""

    async def use(services: Services) -> list[Measure]:
        file = faults_file(services.settings.data_dir)
        drills = Drills(services, file, SystemClock(), lambda line: click.echo(line, err=as_json))
        try:
            return list(await drills.run(wanted))
        except Conflict as refused:
            if alone:
                raise
            return [Measure("detection", None, SCENARIOS[wanted.name].detect_s, str(refused))]

    return with_services(use)


def _row(name: str, one: Measure) -> dict[str, Any]:
    return {
        "drill": name,
        "measure": one.what,
        "seconds": one.seconds,
        "target": one.target_s,
        "met": one.met,
        "note": one.note,
    }
