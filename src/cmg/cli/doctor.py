"""`cmg doctor`: one line for each thing the service needs. `cmg health`: what the running service finds of itself."""

import asyncio

import click
import msgspec

from cmg import config
from cmg.cli.findings import CHECKS, Finding, standing_of
from cmg.cli.printing import json_option, print_json, print_table
from cmg.config.telling import told as told_settings
from cmg.health import views
from cmg.health.models import Level, told
from cmg.kit.clock import rfc3339
from cmg.telemetry import logs

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command("doctor")
@json_option
def doctor(*, as_json: bool) -> int:
    """Check the settings and everything they point to. Changes nothing; exit 1 when something is wrong."""
    settings = config.load()
    logs.configure("critical", "cli")

    async def examine() -> list[Finding]:
        found = await asyncio.gather(*(check(settings) for check in CHECKS))
        return [finding for findings in found for finding in findings]

    findings = [Finding("settings", "ok", "every setting is known and valid"), *asyncio.run(examine())]
    failed = any(finding.level == "fail" for finding in findings)
    if as_json:
        print_json({"ok": not failed, "checks": [msgspec.structs.asdict(finding) for finding in findings]})
    else:
        width = max(len(finding.check) for finding in findings)
        for finding in findings:
            level = click.style(f"{finding.level:<4}", fg=_COLOURS[finding.level])
            click.echo(f"{level}  {finding.check:<{width}}  {finding.message}")
            if finding.next:
                click.echo(f"{'':<{width + 8}}→ {finding.next}")
    return int(failed)


@click.group("config")
def config_() -> None:
    """Show what is set."""


@config_.command("show")
@json_option
def show(*, as_json: bool) -> None:
    """Every setting with its value and where it came from. Of secrets only whether they are set."""
    loaded = config.read()
    rows = told_settings(loaded.settings, loaded.origins)
    if as_json:
        print_json({"items": rows, "next": None})
        return
    shown = [
        {
            "name": row["name"],
            "value": ("set" if row["set"] else "") if row["secret"] else row["value"],
            "origin": row["origin"].replace("_", " "),
            "place": row["place"],
        }
        for row in rows
    ]
    print_table(shown, ("name", "value", "origin", "place"), "There is no setting.")


@click.command("health")
@json_option
def health(*, as_json: bool) -> int:
    """Tell the level of everything on this machine.

    Exit 1 when calls fail (UNHEALTHY, CRITICAL), or when nobody has looked for a while: the service does not run.
    """
    settings = config.load()
    logs.configure("error", "cli")
    standing = standing_of(settings)
    if standing is None:
        raise click.ClickException(f"no service runs on the data dir {settings.data_dir.resolve()}")
    if as_json:
        print_json(views.full("detailed", standing)[1])
    else:
        click.echo(standing.level.name)
        rows = [
            {
                "component": state.component.name,
                "level": state.level.name,
                "since": rfc3339(state.since)[:19] + "Z",
                "what": told(state.readings),
            }
            for state in sorted(standing.states, key=lambda state: (-state.level, state.component.name))
        ]
        print_table(rows, ("component", "level", "since", "what"), "Nothing was looked at yet.")
    return int(standing.silent or standing.level >= Level.UNHEALTHY)
