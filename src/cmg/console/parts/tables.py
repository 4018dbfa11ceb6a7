"""Tables whose pages are made by the control plane: rows come by its cursor, never all at once."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec
from markupsafe import Markup
from nicegui import ui

from cmg.console.parts.markup import text
from cmg.console.plane import Refused
from cmg.console.visit import View

Row = Mapping[str, Any]


class Column(msgspec.Struct, frozen=True):
    """A head, and what stands below it: text (escaped), or a piece of `markup`. `right`: for numbers."""

    head: str
    cell: Callable[[Row], object]
    right: bool = False


class Action(msgspec.Struct, frozen=True):
    """A button in every row for which `shown` holds."""

    label: str
    act: Callable[[Row], Awaitable[None]]
    shown: Callable[[Row], bool] = lambda _: True


class Filter(msgspec.Struct, frozen=True):
    """A parameter of the list's address: free text, or one of `options` (value → what people read)."""

    name: str
    label: str
    options: Mapping[str, str] | None = None


def remember(wanted: Mapping[str, str]) -> None:
    """Put what was chosen into the page's address, so that what is seen can be kept and sent."""
    told = urlencode({name: value for name, value in wanted.items() if value})
    address = msgspec.json.encode(f"?{told}").decode() if told else "location.pathname"
    ui.run_javascript(f"history.replaceState(history.state, '', {address})")


class Paged:
    """A table of a list of the control plane (`{items, next}`), its filters, and the way to further pages.

    The filters stand in the page's address, so that what is seen can be kept and sent.
    """

    def __init__(
        self,
        view: View,
        path: str,
        columns: Sequence[Column],
        *,
        filters: Sequence[Filter] = (),
        actions: Sequence[Action] = (),
        fixed: Mapping[str, Any] | None = None,
    ) -> None:
        self._view, self._path, self._columns = view, path, columns
        self._filters, self._actions, self._fixed = filters, actions, dict(fixed or {})
        self._wanted = {one.name: view.query.get(one.name, "") for one in filters}
        self._cursors: list[str | None] = [None]
        self._next: str | None = None
        self.rows: list[Row] = []
        self.on_filter: Callable[[], None] = lambda: None

    @property
    def wanted(self) -> dict[str, str]:
        """The filters that are set."""
        return {name: value for name, value in self._wanted.items() if value}

    async def show(self) -> "Paged":
        """Draw it with its first page. Raises `Refused`."""
        if self._filters:
            with ui.row().classes("cmg-filters").props('role="search"'):
                for one in self._filters:
                    self._draw_filter(one)
        self._body = _holder(Markup(""))
        self._body.on("click", self._acted, js_handler=_ACTED)
        with ui.row().classes("cmg-pager"):
            self._back = ui.button("Back", icon="chevron_left", on_click=self._to_previous).props("flat dense no-caps")
            self._forth = ui.button("More", icon="chevron_right", on_click=self._to_next).props("flat dense no-caps")
        await self.load()
        return self

    async def load(self) -> None:
        """The present page anew. Raises `Refused`."""
        query = {"limit": 50, **self._fixed, **self._wanted, "cursor": self._cursors[-1]}
        answer = await self._view.get(self._path, query)
        self.rows, self._next = answer["items"], answer.get("next")
        self._body.set_content(rows_html(self._columns, self.rows, self._actions))
        self._back.set_visibility(len(self._cursors) > 1)
        self._forth.set_visibility(self._next is not None)

    def put_first(self, rows: Sequence[Row], most: int) -> None:
        """Newer rows above the others, of which the oldest go."""
        self.rows = [*rows, *self.rows][:most]
        self._body.set_content(rows_html(self._columns, self.rows, self._actions))

    def _draw_filter(self, one: Filter) -> None:
        async def chosen(event: Any) -> None:
            await self._filter(one.name, event.value or "")

        value = self._wanted[one.name]
        if one.options is None:
            # Asked for when the person paused, not at every letter.
            ui.input(one.label, value=value, on_change=chosen).props("outlined dense clearable debounce=400")
        else:
            options = {"": "Any", **one.options}
            ui.select(options, label=one.label, value=value if value in options else "", on_change=chosen).props(
                "outlined dense"
            ).classes("cmg-select")

    async def _filter(self, name: str, value: str) -> None:
        self._wanted[name] = value
        self._cursors = [None]
        remember(self._wanted)
        await self.load()
        self.on_filter()

    async def _to_next(self) -> None:
        self._cursors.append(self._next)
        try:
            await self.load()
        except Refused:
            self._cursors.pop()
            raise

    async def _to_previous(self) -> None:
        self._cursors.pop()
        await self.load()

    async def _acted(self, event: Any) -> None:
        action, row = event.args
        await self._actions[int(action)].act(self.rows[int(row)])
        await self.load()


# Emits the action's and the row's number when a button of a row was pressed.
_ACTED = "(e) => { const b = e.target.closest('button[data-action]'); if (b) emit([b.dataset.action, b.dataset.row]); }"


async def paged(view: View, path: str, columns: Sequence[Column], **more: Any) -> Paged:
    """Draw such a table. Raises `Refused`."""
    return await Paged(view, path, columns, **more).show()


def listed(columns: Sequence[Column], rows: Iterable[Row]) -> None:
    """A table of few rows that are at hand."""
    _holder(rows_html(columns, list(rows), ()))


class Given:
    """A table of rows that are at hand, with buttons in them."""

    def __init__(self, columns: Sequence[Column], rows: Sequence[Row], actions: Sequence[Action]) -> None:
        self._rows, self._actions = rows, actions
        holder = _holder(rows_html(columns, rows, actions))
        holder.on("click", self._acted, js_handler=_ACTED)

    async def _acted(self, event: Any) -> None:
        action, row = event.args
        await self._actions[int(action)].act(self._rows[int(row)])


def _holder(table: Markup) -> ui.html:
    """What a wide table is moved in, by keys too."""
    return ui.html(table, sanitize=False).classes("cmg-table-holder").props("tabindex=0 role=region aria-label=Table")


def rows_html(columns: Sequence[Column], rows: Sequence[Row], actions: Sequence[Action]) -> Markup:
    """The table itself. On a phone a row becomes a card, whose lines are labelled by `data-head`."""
    if not rows:
        return Markup('<p class="cmg-empty" role="status">Nothing here.</p>')
    heads = Markup("").join(_head(one) for one in columns)
    if actions:
        heads += Markup('<th scope="col"><span class="cmg-hidden">Actions</span></th>')
    body = Markup("").join(_row(columns, row, number, actions) for number, row in enumerate(rows))
    return Markup('<table class="cmg-table"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>').format(heads, body)


def _head(column: Column) -> Markup:
    return Markup('<th scope="col"{}>{}</th>').format(_side(column), column.head)


def _row(columns: Sequence[Column], row: Row, number: int, actions: Sequence[Action]) -> Markup:
    cells = Markup("").join(
        Markup('<td data-head="{}"{}>{}</td>').format(one.head, _side(one), _cell(one.cell(row))) for one in columns
    )
    if actions:
        buttons = Markup(" ").join(
            Markup('<button type="button" data-action="{}" data-row="{}">{}</button>').format(place, number, one.label)
            for place, one in enumerate(actions)
            if one.shown(row)
        )
        cells += Markup("<td>{}</td>").format(buttons)
    return Markup("<tr>{}</tr>").format(cells)


def _side(column: Column) -> Markup:
    return Markup(' class="cmg-right"') if column.right else Markup("")


def _cell(value: object) -> Markup:
    return value if isinstance(value, Markup) else text(value)
