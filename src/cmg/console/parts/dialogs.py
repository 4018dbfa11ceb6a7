"""Dialogs that ask before something is done."""

from markupsafe import Markup
from nicegui import ui

_ONCE = Markup(
    '<pre class="cmg-pre" tabindex="0" id="cmg-once">{}</pre>'
    '<button type="button" class="cmg-copy" data-copy="cmg-once">Copy</button>'
)


async def sure(title: str, text: str, button: str) -> bool:
    """Whether the person goes on."""
    with titled(title) as dialog, ui.card().classes("cmg-dialog"):
        head(title)
        ui.label(text)
        _buttons(dialog, button)
    return await _answer(dialog)


async def sure_by_name(title: str, text: str, name: str, button: str) -> bool:
    """For what destroys: whether the person typed the name of what goes, and goes on."""
    with titled(title) as dialog, ui.card().classes("cmg-dialog"):
        head(title)
        ui.label(text)
        typed = ui.input(f"Type “{name}” to go on").props("autofocus outlined dense")
        go = _buttons(dialog, button, color="negative")
        go.bind_enabled_from(typed, "value", lambda value: (value or "").strip() == name)
    return await _answer(dialog)


async def told_once(title: str, lead: str, text: str) -> None:
    """Something that is shown this once, to copy, until the person says that it is kept."""
    with titled(title) as dialog, ui.card().classes("cmg-dialog"):
        head(title)
        ui.label(lead)
        ui.html(_ONCE.format(text), sanitize=False).classes("cmg-field")
        with ui.row().classes("cmg-buttons"):
            ui.button("I have kept it", on_click=lambda: dialog.submit(None))
    await dialog
    dialog.delete()


def titled(title: str) -> ui.dialog:
    """A dialog that a screen reader announces by its title; it is closed by its buttons."""
    dialog = ui.dialog().props("persistent")
    dialog.props["aria-label"] = title
    return dialog


def head(title: str) -> None:
    """The title as it is seen."""
    ui.label(title).classes("cmg-dialog-title").props("role=heading aria-level=2")


def _buttons(dialog: ui.dialog, button: str, color: str = "primary") -> ui.button:
    with ui.row().classes("cmg-buttons"):
        ui.button("Cancel", on_click=lambda: dialog.submit(False)).props("flat")  # noqa: FBT003  the dialog's answer
        return ui.button(button, on_click=lambda: dialog.submit(True), color=color)  # noqa: FBT003  the dialog's answer


async def _answer(dialog: ui.dialog) -> bool:
    answer = await dialog
    dialog.delete()
    return bool(answer)
