"""One key: its settings, and what can be done with it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from nicegui import ui

from cmg.console.pages.keys.fields import SETTINGS
from cmg.console.pages.keys.secret import show_secret
from cmg.console.parts.dialogs import sure, sure_by_name
from cmg.console.parts.figures import card, html
from cmg.console.parts.forms import Field, Form, ask
from cmg.console.parts.frame import page
from cmg.console.parts.markup import badge, badges, code, facts, link, moment, usd
from cmg.console.parts.refusals import done
from cmg.console.visit import View

_GRACE = Field("grace_s", "Seconds that the old secret goes on working", "number", "0: not at all", value=86_400)
Act = Callable[[Mapping[str, Any]], Awaitable[None]]


@page("/keys/{key_id}", title="API key", group="Access")
async def key(view: View) -> None:
    """Everything but its secret."""
    path = f"/admin/v1/keys/{view.path['key_id']}"
    ui.html(link("All keys", "/keys"), sanitize=False)
    holder = ui.column().classes("cmg-field")

    async def draw() -> None:
        found = await view.get(path)
        holder.clear()
        with holder:
            if view.may("admin"):
                _buttons(_Acts(view, path, draw), found)
            with card(found["name"]):
                html(facts(_facts(found)))

    await draw()


def _buttons(acts: "_Acts", found: Mapping[str, Any]) -> None:
    if found["state"] == "revoked":
        return
    suspended = found["state"] == "suspended"
    with ui.row().classes("cmg-filters"):
        for label, icon, act in (
            ("Change", "edit", acts.change),
            ("Rotate", "autorenew", acts.rotate),
            ("Clone", "content_copy", acts.clone),
            ("Resume", "play_arrow", acts.resume) if suspended else ("Suspend", "pause", acts.suspend),
            ("Revoke", "delete", acts.revoke),
        ):
            _button(label, icon, act, found)


def _button(label: str, icon: str, act: Act, found: Mapping[str, Any]) -> None:
    async def press() -> None:
        await act(found)

    ui.button(label, icon=icon, on_click=press).props("outline no-caps")


class _Acts:
    """What the buttons do; each draws the key anew."""

    def __init__(self, view: View, path: str, draw: Callable[[], Awaitable[None]]) -> None:
        self._view, self._path, self._draw = view, path, draw

    async def change(self, found: Mapping[str, Any]) -> None:
        """Its settings."""
        if await ask("Change the key", "Save", lambda: Form(SETTINGS, found), self._save) is not None:
            done("Saved. It holds within two seconds in every process.")
            await self._draw()

    async def _save(self, form: Form) -> Any:
        return await self._view.patch(self._path, form.changed())

    async def rotate(self, found: Mapping[str, Any]) -> None:
        """Another secret."""
        made = await ask(f"Give “{found['name']}” a new secret", "Rotate", lambda: Form([_GRACE]), self._rotated)
        if made is not None:
            await show_secret(self._view, made)
            await self._draw()

    async def _rotated(self, form: Form) -> Any:
        return await self._view.post(f"{self._path}/rotate", form.given())

    async def clone(self, found: Mapping[str, Any]) -> None:
        """A second key with the same settings."""
        name = Field("name", "Name of the new key", value=f"{found['name']} (2)")
        made = await ask(f"Clone “{found['name']}”", "Clone", lambda: Form([name]), self._cloned)
        if made is not None:
            await show_secret(self._view, made)
            ui.navigate.to(f"/keys/{made['id']}")

    async def _cloned(self, form: Form) -> Any:
        return await self._view.post(f"{self._path}/clone", form.given())

    async def suspend(self, found: Mapping[str, Any]) -> None:
        """Until it is resumed."""
        reason = Field("reason", "Reason", help="whoever uses it is told")
        if await ask(f"Suspend “{found['name']}”", "Suspend", lambda: Form([reason]), self._suspended) is not None:
            await self._draw()

    async def _suspended(self, form: Form) -> Any:
        return await self._view.post(f"{self._path}/suspend", form.given())

    async def resume(self, found: Mapping[str, Any]) -> None:
        """Let it work again."""
        if await sure(f"Resume “{found['name']}”?", "Its calls are answered again.", "Resume"):
            await self._view.post(f"{self._path}/resume")
            await self._draw()

    async def revoke(self, found: Mapping[str, Any]) -> None:
        """For good."""
        text = "It stops for good within two seconds. Who calls with it gets 401."
        if await sure_by_name(f"Revoke “{found['name']}”?", text, found["name"], "Revoke"):
            await self._view.delete(self._path)
            done("The key is revoked.")
            await self._draw()


def _facts(found: Mapping[str, Any]) -> list[tuple[str, object]]:
    budget = found["budget"] or {}
    limits = {name: value for name, value in found["limits"].items() if value is not None}
    return [
        ("Id", code(found["id"])),
        ("State", badge(found["state"])),
        ("Suspended because", found["suspended_reason"]),
        ("Workspace", found["workspace"]),
        ("Description", found["description"]),
        ("Owner", found["owner"]),
        ("Tags", badges(found["tags"])),
        ("Scopes", badges(found["scopes"])),
        ("Memory", f"{found['memory']}, for each {found['memory_scope']}"),
        ("Models", found["models_allow"] or "every model"),
        ("Blocked models", found["models_block"]),
        ("Addresses", found["ip_allow"] or "every address"),
        ("Limits", ", ".join(f"{name} {value:,}" for name, value in limits.items())),
        ("Budget", usd(budget.get("usd"))),
        ("Budget's period", budget.get("period")),
        ("Expires", moment(found["expires_at"], relative=False)),
        ("Review", moment(found["review_at"], relative=False)),
        ("Old secret works until", moment(found["old_secret_until"], relative=False)),
        ("Made", moment(found["created_at"], relative=False)),
        ("Changed", moment(found["updated_at"], relative=False)),
    ]
