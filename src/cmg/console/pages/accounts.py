"""People's accounts: inviting, roles, links for a new password, sessions, disabling."""

from collections.abc import Mapping
from typing import Any

from nicegui import ui

from cmg.console.parts.dialogs import sure, sure_by_name, told_once
from cmg.console.parts.figures import card
from cmg.console.parts.forms import Field, Form, ask
from cmg.console.parts.frame import page
from cmg.console.parts.markup import badge, moment
from cmg.console.parts.refusals import done
from cmg.console.parts.tables import Action, Column, Paged, Row, paged
from cmg.console.visit import View
from cmg.kit.scopes import WORKSPACE

_PATH = "/admin/v1/accounts"
_ROLES = {"admin": "administrator", "owner": "owner of a workspace", "member": "member", "read_only": "read-only"}
_CHANGES = (
    Field("name", "Name"),
    Field("role", "Role", "choice", "another role ends the sessions", options=_ROLES),
    Field("workspace", "Workspace", help="empty: your own"),
)
_NEW = (Field("email", "E-mail address"), *_CHANGES)
_COLUMNS = (
    Column("E-mail", lambda row: row["email"]),
    Column("Name", lambda row: row["name"]),
    Column("Role", lambda row: badge(row["role"].replace("_", " "))),
    Column("State", lambda row: badge(row["status"])),
    Column("Workspace", lambda row: row["workspace"]),
    Column("Second factor", lambda row: "yes" if row["second_factor"] else "no"),
    Column("Signs in with", lambda row: row["signs_in_with"]),
    Column("Last login", lambda row: moment(row["last_login_at"])),
)
_REQUESTS = (
    Column("When", lambda row: moment(row["at"])),
    Column("Who", lambda row: row["email"]),
    Column("From", lambda row: row["client"]),
)


@page("/accounts", title="Accounts", icon="people", group="Access", needs=WORKSPACE)
async def accounts(view: View) -> None:
    """Newest first; below them, who asked for a link."""
    acts = _Acts(view)
    actions = (
        Action("Change", acts.change),
        Action(
            "New password", acts.reset, lambda row: row["status"] == "active" and row["signs_in_with"] == "password"
        ),
        Action("End sessions", acts.end_sessions, lambda row: row["status"] == "active"),
        Action("Take second factor off", acts.remove_factor, lambda row: row["second_factor"]),
        Action("Disable", acts.disable, lambda row: row["status"] != "disabled"),
        Action("Enable", acts.enable, lambda row: row["status"] == "disabled"),
        Action("Delete", acts.delete),
    )
    table = Paged(view, _PATH, _COLUMNS, actions=actions)

    async def invite() -> None:
        made = await ask("Invite a person", "Invite", lambda: Form(_NEW, {"role": "member"}), acts.invited)
        if made is not None:
            await _link("invitation", made)
            await table.load()

    ui.button("Invite a person", icon="person_add", on_click=invite).props("no-caps").classes("cmg-create")
    await table.show()
    with card("Who asked for a new password"):
        await paged(view, f"{_PATH}/requests", _REQUESTS)


class _Acts:
    """What the buttons of a row do."""

    def __init__(self, view: View) -> None:
        self._view = view

    async def invited(self, form: Form) -> Any:
        """The new account, with the token of its link."""
        return await self._view.post(_PATH, form.given())

    async def change(self, row: Row) -> None:
        """Name, role, workspace."""

        async def save(form: Form) -> Any:
            return await self._view.patch(f"{_PATH}/{row['id']}", form.changed())

        await ask(f"Change {row['email']}", "Save", lambda: Form(_CHANGES, row), save)

    async def reset(self, row: Row) -> None:
        """Hand out a link."""
        if await sure(f"A new password for {row['email']}?", "You get a link to hand over.", "Make a link"):
            await _link("reset", await self._view.post(f"{_PATH}/{row['id']}/reset"))

    async def end_sessions(self, row: Row) -> None:
        """On every device."""
        if await sure(f"End the sessions of {row['email']}?", "They sign in again on every device.", "End them"):
            await self._view.delete(f"{_PATH}/{row['id']}/sessions")
            done("Their sessions have ended.")

    async def remove_factor(self, row: Row) -> None:
        """For somebody who lost the device and the recovery codes."""
        text = "Their password alone opens the account then."
        if await sure_by_name(f"Take the second factor of {row['email']} off?", text, row["email"], "Take it off"):
            await self._view.post(f"{_PATH}/{row['id']}/second-factor/remove")

    async def disable(self, row: Row) -> None:
        """Until it is enabled again."""
        if await sure(f"Disable {row['email']}?", "Their sessions end, and nobody signs in with it.", "Disable"):
            await self._view.post(f"{_PATH}/{row['id']}/disable")

    async def enable(self, row: Row) -> None:
        """Let them in again."""
        await self._view.post(f"{_PATH}/{row['id']}/enable")

    async def delete(self, row: Row) -> None:
        """For good."""
        text = "The account goes for good; what it did stays in the audit trail."
        if await sure_by_name(f"Delete {row['email']}?", text, row["email"], "Delete"):
            await self._view.delete(f"{_PATH}/{row['id']}")


async def _link(door: str, made: Mapping[str, Any]) -> None:
    origin = await ui.run_javascript("location.origin")
    lead = f"Hand it to {made['email']}; it works once, until {made['token_until']}."
    await told_once("A link, shown this once", lead, f"{origin}/{door}#{made['token']}")
