"""`cmg accounts …`, as the administrator of the whole installation: also when nobody can sign in any more."""

from collections.abc import Awaitable, Callable
from typing import Any

import click

from cmg.app.people.building import People
from cmg.cli.printing import json_option, print_fields, print_json, print_table
from cmg.cli.session import with_services
from cmg.identity.accounts.accounts import Link
from cmg.identity.accounts.first_account import one_time_password
from cmg.identity.accounts.models import ROLES, Account, account_view
from cmg.identity.models import COMMAND_LINE
from cmg.kit.clock import rfc3339

_COLUMNS = ("id", "email", "role", "workspace", "status", "second_factor", "last_login_at")


@click.group("accounts", no_args_is_help=True)
def accounts() -> None:
    """Accounts of people: who may sign in, with which role."""


def _person(command: Any) -> Any:
    """The options that describe a new account."""
    for option in (
        click.option("--workspace", help="Default: default."),
        click.option("--name", help="Default: what stands before the @."),
        click.option("--role", type=click.Choice(ROLES), default="member", show_default=True),
        click.argument("email"),
    ):
        command = option(command)
    return command


@accounts.command("list")
@click.option("--workspace", help="Only this workspace's.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
@click.option("--cursor", help="Go on after a page, with its `next`.")
@json_option
def list_(*, workspace: str | None, limit: int, cursor: str | None, as_json: bool) -> None:
    """List accounts, newest first."""
    page = _on_people(lambda people: people.accounts.list(COMMAND_LINE, workspace, cursor, limit))
    items = [account_view(one) for one in page.items]
    if as_json:
        print_json({"items": items, "next": page.next})
        return
    print_table(items, _COLUMNS, "There is no account.")
    if page.next:
        click.echo(f"There are more: --cursor {page.next}")


@accounts.command("create")
@_person
@json_option
def create(*, as_json: bool, **fields: Any) -> None:
    """Create an account with a one-time password, to be changed at the first login."""
    password = one_time_password()

    async def made(people: People) -> Account:
        return await people.accounts.create(COMMAND_LINE, fields, await people.passwords.hash(password))

    view = account_view(_on_people(made, first=True))
    if as_json:
        print_json({**view, "password": password})
        return
    print_fields(view)
    click.echo(f"\n{password}\nThis is the one-time password. It is shown this once.")


@accounts.command("invite")
@_person
@json_option
def invite(*, as_json: bool, **fields: Any) -> None:
    """Create an account whose owner chooses the password, with a token that is good for a week."""
    _print_link(_on_people(lambda people: people.accounts.invite(COMMAND_LINE, fields), first=True), as_json=as_json)


@accounts.command("reset")
@click.argument("email")
@json_option
def reset(*, email: str, as_json: bool) -> None:
    """Make a token with which its owner chooses a new password within an hour."""
    _print_link(_on_account(email, lambda people, found: people.accounts.reset(COMMAND_LINE, found)), as_json=as_json)


@accounts.command("disable")
@click.argument("email")
@json_option
def disable(*, email: str, as_json: bool) -> None:
    """Let nobody sign in with it; its sessions end at once."""
    _print(_on_account(email, lambda people, found: people.accounts.disable(COMMAND_LINE, found)), as_json=as_json)


@accounts.command("enable")
@click.argument("email")
@json_option
def enable(*, email: str, as_json: bool) -> None:
    """Let its owner sign in again."""
    _print(_on_account(email, lambda people, found: people.accounts.enable(COMMAND_LINE, found)), as_json=as_json)


@accounts.command("drop-second-factor")
@click.argument("email")
@json_option
def drop_second_factor(*, email: str, as_json: bool) -> None:
    """Take the second factor away from who lost device and recovery codes."""
    found = _on_account(email, lambda people, account: people.accounts.drop_second_factor(COMMAND_LINE, account))
    _print(found, as_json=as_json)


def _on_people(use: Callable[[People], Awaitable[Any]], *, first: bool = False) -> Any:
    return with_services(lambda services: use(services.people), first=first)


def _on_account(email: str, use: Callable[[People, str], Awaitable[Any]]) -> Any:
    async def found(people: People) -> Any:
        account = await people.accounts.find(COMMAND_LINE, email)
        return await use(people, account.id)

    return _on_people(found)


def _print(account: Account, *, as_json: bool) -> None:
    (print_json if as_json else print_fields)(account_view(account))


def _print_link(link: Link, *, as_json: bool) -> None:
    if as_json:
        print_json({**account_view(link.account), "token": link.token, "token_until": rfc3339(link.until)})
        return
    print_fields(account_view(link.account))
    click.echo(f"\n{link.token}\nThis is the token, good until {rfc3339(link.until)}. It is shown this once.")
