"""`cmg doctor`: one line for each thing the service needs, and what to do about those that are wrong."""

import asyncio

import click
import msgspec

from cmg import config
from cmg.cli.findings import CHECKS, Finding
from cmg.cli.printing import json_option, print_json
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
