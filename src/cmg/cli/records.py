"""`cmg usage …`, `cmg audit …` and `cmg memory …`: what the service has written down, of calls and of people."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click
import msgspec

from cmg.cli.printing import json_option, print_fields, print_json, print_table
from cmg.cli.session import with_basics, with_services
from cmg.identity.models import COMMAND_LINE, DEFAULT_WORKSPACE
from cmg.ledger.reports.csv_table import csv_table
from cmg.memory.control.sensitive_reads import REASON_CHARACTERS
from cmg.memory.models import owner_of

if TYPE_CHECKING:
    from cmg.app.wiring.services import Services

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
    found = with_basics(lambda basics: basics.usage.report(asked, None))
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
    verdict = with_basics(lambda basics: basics.audit.verify())
    if as_json:
        print_json(msgspec.structs.asdict(verdict))
    elif verdict.ok:
        click.echo(f"The trail is whole: {verdict.entries} entries. Its end has the hash {verdict.head}")
    else:
        click.echo(f"The trail is broken at entry {verdict.broken_at}: {verdict.reason}")
    return 0 if verdict.ok else 1


def _named(_context: click.Context, _option: click.Parameter, user: str) -> str:
    """Empty is a script's variable that is not set: nobody would be erased, and the answer be a success."""
    if not user:
        raise click.BadParameter("it must not be empty")
    return user


_user = click.option("--user", required=True, callback=_named, help="The user's id, as calls name it.")
_workspace = click.option("--workspace", default=DEFAULT_WORKSPACE, show_default=True, help="The user's workspace.")


@click.group("memory", no_args_is_help=True)
def memory() -> None:
    """Export or erase what is stored about a person."""


@memory.command("export")
@_user
@_workspace
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="A new file; default or -: standard output."
)
@click.option("--reason", default="", help="Why; it stands in the audit trail, where the export is noted.")
@json_option
def export(*, user: str, workspace: str, output: Path | None, reason: str, as_json: bool) -> None:
    """Write everything about a user as JSON lines; the last one says `end`."""
    if len(reason) > REASON_CHARACTERS:
        raise click.UsageError(f"--reason may have {REASON_CHARACTERS} characters at most")
    if output == Path("-"):
        output = None
    if output is not None and output.exists():
        raise click.UsageError(f"{output} is there already; name a new file")

    async def write(services: "Services") -> None:
        owner = owner_of(workspace, user)
        await services.control.reads.record(COMMAND_LINE, owner, "export", reason)
        with contextlib.nullcontext(sys.stdout.buffer) if output is None else _private(output) as file:
            async for piece in services.control.export.lines(owner):
                with _naming(output):
                    file.write(piece)
                    file.flush()

    with_services(write)
    if output is not None and as_json:
        print_json({"file": str(output), "bytes": output.stat().st_size})


@memory.command("erase")
@_user
@_workspace
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def erase(*, user: str, workspace: str, yes: bool, as_json: bool) -> None:
    """Erase a user from everything that is stored; prints a receipt that counts what went."""
    if not yes and not _confirmed(user, workspace):
        raise click.UsageError("nothing was erased; say --yes to erase without being asked")
    receipt = with_services(lambda services: services.control.erasure.erase(workspace, user, COMMAND_LINE.name))
    if as_json:
        print_json(msgspec.to_builtins(receipt))
        return
    click.echo("The user is erased.")
    print_fields({"erased_at": receipt.erased_at, "pseudonym": receipt.pseudonym, **receipt.erased})
    if receipt.pending:
        click.echo(f"On its way, and dropped when it arrives: {', '.join(receipt.pending)}")


def _confirmed(user: str, workspace: str) -> bool:
    try:
        return click.confirm(f"Erase everything about {user} in the workspace {workspace}, for good?", err=True)
    except click.Abort:
        return False


@contextlib.contextmanager
def _naming(output: Path | None) -> Iterator[None]:
    """What goes wrong with writing names the file: on a full disk the system does not."""
    try:
        yield
    except OSError as error:
        where = "standard output" if output is None else str(output)
        raise OSError(error.errno, error.strerror, where) from error


@contextlib.contextmanager
def _private(path: Path) -> Iterator[BinaryIO]:
    """A new file for its owner alone; half of one does not stay."""
    path.touch(mode=0o600, exist_ok=False)
    try:
        with path.open("wb") as file:
            yield file
    except BaseException:
        path.unlink(missing_ok=True)
        raise
