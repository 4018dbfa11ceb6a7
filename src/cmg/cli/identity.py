"""`cmg keys …` and `cmg workspaces …`, as the administrator of the whole installation."""

from collections.abc import Awaitable, Callable
from typing import Any

import click
import msgspec

from cmg.cli.key_options import UNSET, fields_of, key_settings
from cmg.cli.printing import json_option, print_fields, print_json, print_table
from cmg.cli.session import with_basics
from cmg.identity.forms.views import key_view, workspace_view
from cmg.identity.key_changes import Made
from cmg.identity.keys import GRACE_S, Keys, KeysWanted
from cmg.identity.models import COMMAND_LINE, ApiKey
from cmg.kit.clock import SystemClock

_COLUMNS = ("id", "name", "state", "workspace", "owner", "scopes", "expires_at")


@click.group("keys", no_args_is_help=True)
def keys() -> None:
    """Create, show, change and revoke API keys."""


@keys.command("create")
@click.option("--workspace", help="The workspace it belongs to; default: default.")
@key_settings
@json_option
def create(*, as_json: bool, **options: Any) -> None:
    """Create a key. Its secret is shown this once."""
    _print_made(_on_keys(lambda use: use.create(COMMAND_LINE, fields_of(options)), first=True), as_json=as_json)


@keys.command("list")
@click.option("--workspace", help="Only this workspace's.")
@click.option("--state", type=click.Choice(["active", "suspended", "revoked"]), help="Default: all but revoked ones.")
@click.option("--owner", help="Only this owner's.")
@click.option("--tag", help="Only those with this tag.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
@click.option("--cursor", help="Go on after a page, with its `next`.")
@json_option
def list_(*, as_json: bool, **wanted: Any) -> None:
    """List keys, newest first."""
    page = _on_keys(lambda use: use.list(COMMAND_LINE, KeysWanted(**wanted)))
    items = [_view(key) for key in page.items]
    if as_json:
        print_json({"items": items, "next": page.next})
        return
    print_table(items, _COLUMNS, "There is no such key. Create one: cmg keys create --name NAME")
    if page.next:
        click.echo(f"There are more: --cursor {page.next}")


@keys.command("show")
@click.argument("key_id")
@json_option
def show(*, key_id: str, as_json: bool) -> None:
    """Show everything about a key but its secret."""
    _print_key(_on_keys(lambda use: use.get(COMMAND_LINE, key_id)), as_json=as_json)


@keys.command("update")
@click.argument("key_id")
@key_settings
@click.option("--unset", multiple=True, type=click.Choice(UNSET), metavar="SETTING", help="Bring back the default.")
@json_option
def update(*, key_id: str, as_json: bool, unset: tuple[str, ...], **options: Any) -> None:
    """Change settings; those not named stay."""
    fields = fields_of(options, unset)
    if not fields:
        raise click.UsageError("say what to change, as in --rpm 60 or --unset budget")
    _print_key(_on_keys(lambda use: use.update(COMMAND_LINE, key_id, fields)), as_json=as_json)


@keys.command("rotate")
@click.argument("key_id")
@click.option("--grace-s", type=int, default=GRACE_S, show_default=True, help="How long the old secret goes on.")
@json_option
def rotate(*, key_id: str, grace_s: int, as_json: bool) -> None:
    """Give a key a new secret, shown this once."""
    _print_made(_on_keys(lambda use: use.rotate(COMMAND_LINE, key_id, grace_s)), as_json=as_json)


@keys.command("clone")
@click.argument("key_id")
@key_settings
@json_option
def clone(*, key_id: str, as_json: bool, **options: Any) -> None:
    """Create a key with another's settings, those named here laid over them."""
    _print_made(_on_keys(lambda use: use.clone(COMMAND_LINE, key_id, fields_of(options))), as_json=as_json)


@keys.command("suspend")
@click.argument("key_id")
@click.option("--reason", help="Told to whoever uses it.")
@json_option
def suspend(*, key_id: str, reason: str | None, as_json: bool) -> None:
    """Refuse a key until it is resumed."""
    _print_key(_on_keys(lambda use: use.suspend(COMMAND_LINE, key_id, reason)), as_json=as_json)


@keys.command("resume")
@click.argument("key_id")
@json_option
def resume(*, key_id: str, as_json: bool) -> None:
    """Let a suspended key work again."""
    _print_key(_on_keys(lambda use: use.resume(COMMAND_LINE, key_id)), as_json=as_json)


@keys.command("revoke")
@click.argument("key_id")
@json_option
def revoke(*, key_id: str, as_json: bool) -> None:
    """End a key for good."""
    _print_key(_on_keys(lambda use: use.revoke(COMMAND_LINE, key_id)), as_json=as_json)


def _on_keys(use: Callable[[Keys], Awaitable[Any]], *, first: bool = False) -> Any:
    return with_basics(lambda basics: use(basics.keys), first=first)


def _view(key: ApiKey) -> dict[str, Any]:
    return key_view(key, SystemClock().time())


def _print_key(key: ApiKey, *, as_json: bool) -> None:
    (print_json if as_json else print_fields)(_view(key))


def _print_made(made: Made, *, as_json: bool) -> None:
    if as_json:
        print_json({**_view(made.key), "key": made.presented})
        return
    print_fields(_view(made.key))
    click.echo(f"\n{made.presented}\nThis is the key. It is shown this once and kept nowhere: store it now.")


@click.group("workspaces", no_args_is_help=True)
def workspaces() -> None:
    """Create and list workspaces: what one of them holds, no other sees."""


@workspaces.command("create")
@click.option("--name", required=True, help="What people call it.")
@click.option("--id", "workspace_id", help="What programs call it; default: a new id.")
@click.option("--timezone", help="An IANA name; budgets' days begin at its midnight. Default: UTC.")
@json_option
def create_workspace(*, name: str, workspace_id: str | None, timezone: str | None, as_json: bool) -> None:
    """Create a workspace."""
    fields = {"name": name, "id": workspace_id, "timezone": timezone}
    made = with_basics(lambda basics: basics.workspaces.create(COMMAND_LINE, fields), first=True)
    (print_json if as_json else print_fields)(workspace_view(made))


@workspaces.command("update")
@click.argument("workspace_id")
@click.option("--name", help="What people call it.")
@click.option("--timezone", help="An IANA name; budgets' days begin at its midnight.")
@click.option("--memory", help='Its memory policy, merged, as in {"retention_days": 30}; null: the default.')
@json_option
def update_workspace(workspace_id: str, *, as_json: bool, memory: str | None, **fields: str | None) -> None:
    """Change settings; those not named stay. A running service knows within two seconds."""
    given: dict[str, Any] = {name: value for name, value in fields.items() if value is not None}
    if memory is not None:
        try:
            given["memory"] = msgspec.json.decode(memory)
        except msgspec.DecodeError as error:
            raise click.UsageError(f"--memory is no JSON: {error}") from error
    if not given:
        raise click.UsageError("say what to change, as in --memory '{\"retention_days\": 30}'")
    changed = with_basics(lambda basics: basics.workspaces.update(COMMAND_LINE, workspace_id, given))
    (print_json if as_json else print_fields)(workspace_view(changed))


@workspaces.command("list")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
@click.option("--cursor", help="Go on after a page, with its `next`.")
@json_option
def list_workspaces(*, limit: int, cursor: str | None, as_json: bool) -> None:
    """List workspaces."""
    page = with_basics(lambda basics: basics.workspaces.list(COMMAND_LINE, cursor, limit))
    items = [workspace_view(one) for one in page.items]
    if as_json:
        print_json({"items": items, "next": page.next})
        return
    print_table(items, ("id", "name", "timezone", "created_at"), "There is no workspace.")
    if page.next:
        click.echo(f"There are more: --cursor {page.next}")
