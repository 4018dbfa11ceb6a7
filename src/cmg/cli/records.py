"""`cmg usage …` and `cmg audit …`: what the service has written down."""

import click
import msgspec

from cmg.cli.printing import json_option, print_fields, print_json, print_table
from cmg.cli.session import with_services
from cmg.ledger.reports.csv_table import csv_table

_SHOWN = ("calls", "errors", "prompt_tokens", "completion_tokens", "cost_usd")


@click.group("usage", no_args_is_help=True)
def usage() -> None:
    """Sum up calls, tokens and costs."""


@usage.command("report")
@click.option("--from", "from_", help="A date (2026-11-01) or a moment; default: thirty days ago.")
@click.option("--to", help="A date, included, or a moment, left out; default: today.")
@click.option("--group-by", help="key, workspace, user, model, tag, day; several with commas. Default: day.")
@click.option("--workspace", help="Only this workspace's calls.")
@click.option("--key", help="Only this key's calls, by its id.")
@click.option("--user", help="Only this user's calls.")
@click.option("--model", help="Only calls of this model.")
@click.option("--tag", help="Only calls of keys with this tag.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@json_option
def report(*, as_json: bool, as_csv: bool, **asked: str | None) -> None:
    """Sum up calls by the groups asked for, most expensive first."""
    asked["from"] = asked.pop("from_")
    found = with_services(lambda services: services.usage.report(asked, None))
    if as_csv:
        click.echo(csv_table(found), nl=False)
    elif as_json:
        answer = {"items": found.items, "totals": found.totals, "truncated": found.truncated}
        print_json({**answer, "from": found.since, "to": found.until})
    else:
        click.echo(f"From {found.since} to {found.until}")
        print_table(found.items, (*found.groups, *_SHOWN), "There was no call.")
        if found.items:
            click.echo("In all:")
            print_fields({name: found.totals[name] for name in _SHOWN})


@click.group("audit", no_args_is_help=True)
def audit() -> None:
    """Verify the audit trail."""


@audit.command("verify")
@json_option
def verify(*, as_json: bool) -> int:
    """Walk the chain of hashes; exit 1 when it is broken."""
    verdict = with_services(lambda services: services.audit.verify())
    if as_json:
        print_json(msgspec.structs.asdict(verdict))
    elif verdict.ok:
        click.echo(f"The trail is whole: {verdict.entries} entries. Its end has the hash {verdict.head}")
    else:
        click.echo(f"The trail is broken at entry {verdict.broken_at}: {verdict.reason}")
    return 0 if verdict.ok else 1
