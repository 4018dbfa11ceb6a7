"""Forms: fields of a body, drawn in a dialog or in the page; a refusal is shown at the field that it names."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec
from nicegui import ui

from cmg.console.parts.dialogs import head, titled
from cmg.console.parts.refusals import banner, tell
from cmg.console.plane import Refused

Kind = Literal["text", "long", "number", "choice", "choices", "words", "numbers", "switch", "json"]


class Field(msgspec.Struct, frozen=True):
    """One field of a body; a name like `limits.rpm` stands for a field within a field.

    `words`, `numbers`: a list of them, separated by commas. `choice(s)`: of `options`, value → what people read.
    """

    name: str
    label: str
    kind: Kind = "text"
    help: str = ""
    options: Mapping[str, str] | None = None
    value: Any = None


class Form:
    """The fields, drawn where it is made. `given` is what was filled in, or differs from what was there (`changed`)."""

    def __init__(self, fields: Sequence[Field], values: Mapping[str, Any] | None = None) -> None:
        self._fields = fields
        self._before = {one.name: _at(values, one.name, one.value) for one in fields}
        self._inputs = {one.name: _draw(one, self._before[one.name]) for one in fields}
        self._told = ui.column().classes("cmg-told")

    def given(self) -> dict[str, Any]:
        """Every field that holds something; a switch that is off does not. Raises `Refused` for what is no value."""
        kept = {name: value for name, value in self._read().items() if value not in (None, "", [])}
        return _nested({name: value for name, value in kept.items() if value is not False})

    def changed(self) -> dict[str, Any]:
        """The fields that are not as before; null where one was emptied. Raises `Refused`."""
        now = self._read()
        before = {one.name: _value(one, _plain(one, self._before[one.name])) for one in self._fields}
        return _nested(
            {
                name: value or None if value in ("", []) else value
                for name, value in now.items()
                if value != before[name]
            }
        )

    def needed(self, *names: str) -> dict[str, Any]:
        """As `given`, of a form that means nothing without these fields. Raises `Refused`."""
        given = self.given()
        for one in self._fields:
            if one.name in names and one.name not in given:
                raise Refused(400, f"{one.label}: fill this in", one.name)
        return given

    def blame(self, refused: Refused) -> None:
        """Show a refusal at the field that it names, else above the buttons."""
        self._told.clear()
        named = self._inputs.get(refused.param or "")
        if named is not None and hasattr(named, "error"):
            named.error = refused.message
            return
        with self._told:
            banner(refused.message)

    def _read(self) -> dict[str, Any]:
        for one in self._inputs.values():
            if hasattr(one, "error"):
                one.error = None
        return {one.name: _value(one, self._inputs[one.name].value) for one in self._fields}


async def ask(title: str, button: str, form: Callable[[], Form], send: Callable[[Form], Awaitable[Any]]) -> Any:
    """A dialog with a form. The answer of `send`, once it was not refused; None when the person cancelled."""
    with titled(title) as dialog, ui.card().classes("cmg-dialog"):
        head(title)
        drawn = form()

        async def go() -> None:
            try:
                dialog.submit((await send(drawn),))
            except Refused as refused:
                if refused.code == "password_needed":
                    tell(refused)
                drawn.blame(refused)

        with ui.row().classes("cmg-buttons"):
            ui.button("Cancel", on_click=lambda: dialog.submit(None)).props("flat")
            ui.button(button, on_click=go)
    answer = await dialog
    dialog.delete()
    return answer[0] if answer else None


def _draw(one: Field, value: Any) -> Any:
    shown = _plain(one, value)
    props = f'outlined dense hint="{one.help}"' if one.help else "outlined dense"
    if one.kind == "switch":
        return ui.switch(one.label, value=bool(shown))
    if one.kind in {"choice", "choices"}:
        options = dict(one.options or {})
        several = one.kind == "choices"
        if not several and shown not in options:
            options = {shown: "" if shown is None else str(shown), **options}
        made = ui.select(options, label=one.label, value=shown, multiple=several, clearable=not several)
        return made.props(f"{props} {'use-chips' if several else ''}").classes("cmg-field")
    if one.kind in {"long", "json"}:
        return ui.textarea(one.label, value=shown).props(f"{props} autogrow").classes("cmg-field")
    if one.kind == "number":
        return ui.number(one.label, value=shown).props(props).classes("cmg-field")
    return ui.input(one.label, value=shown).props(props).classes("cmg-field")


def _plain(one: Field, value: Any) -> Any:
    """A field's value as its input holds it."""
    if one.kind in {"words", "numbers"}:
        return ", ".join(map(str, value or ()))
    if one.kind == "choices":
        return list(value or ())
    if one.kind == "json":
        return "" if value is None else msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    if one.kind in {"text", "long"}:
        return "" if value is None else str(value)
    return value


def _value(one: Field, held: Any) -> Any:
    """What an input holds, as the body wants it."""
    if one.kind == "words":
        return [word.strip() for word in (held or "").split(",") if word.strip()]
    if one.kind == "switch":
        return bool(held)
    if one.kind == "numbers":
        return [_number(one, word) for word in (held or "").split(",") if word.strip()]
    if one.kind == "number":
        return int(held) if isinstance(held, float) and held.is_integer() else held
    if one.kind == "json":
        try:
            return msgspec.json.decode(held) if held else None
        except msgspec.DecodeError as error:
            raise Refused(400, f"{one.label} is not valid JSON: {error}", one.name) from error
    return (held or "").strip() if one.kind in {"text", "long"} else held


def _number(one: Field, word: str) -> float:
    try:
        return float(word)
    except ValueError as error:
        raise Refused(400, f"{one.label}: “{word.strip()}” is no number", one.name) from error


def _at(values: Mapping[str, Any] | None, name: str, default: Any) -> Any:
    """A value by its path, in what the control plane answered."""
    found: Any = values
    if found is None:
        return default
    for word in name.split("."):
        found = found.get(word) if isinstance(found, Mapping) else None
    return default if found is None else found


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """`limits.rpm` becomes `{"limits": {"rpm": …}}`."""
    whole: dict[str, Any] = {}
    for name, value in flat.items():
        *way, last = name.split(".")
        place = whole
        for word in way:
            place = place.setdefault(word, {})
        place[last] = value
    return whole
