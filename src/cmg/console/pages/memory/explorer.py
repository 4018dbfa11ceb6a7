"""The page: what to show of whom, and what can be done with all of it."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from nicegui import ui

from cmg.console.pages.memory.asking import Asking
from cmg.console.pages.memory.item import show_item
from cmg.console.parts.dialogs import sure_by_name
from cmg.console.parts.figures import card, html
from cmg.console.parts.frame import page
from cmg.console.parts.markup import badge, facts, moment, number
from cmg.console.parts.refusals import done
from cmg.console.parts.tables import Action, Column, Given, Row
from cmg.console.visit import View

_ITEMS = (
    Column("What", lambda row: row["content"]),
    Column("Kind", lambda row: badge(row["kind"], "quiet")),
    Column("Thread", lambda row: row["thread_id"]),
    Column("Salience", lambda row: number(row["salience"]), right=True),
    Column("Version", lambda row: row["version"], right=True),
    Column("Said", lambda row: moment(row["created_at"])),
)
_FOUND = (Column("Score", lambda row: number(row["score"]), right=True), *_ITEMS)
_THREADS = (
    Column("Thread", lambda row: row["id"]),
    Column("Named by the caller", lambda row: "yes" if row["named"] else "no"),
    Column("Items", lambda row: number(row["items"]), right=True),
    Column("Begun", lambda row: moment(row["created_at"])),
    Column("Last said", lambda row: moment(row["updated_at"])),
)
_USERS = (
    Column("User", lambda row: row["name"]),
    Column("Memories", lambda row: number(row["total_memories"]), right=True),
    Column("Since", lambda row: moment(row["created_at"])),
    Column("Last", lambda row: moment(row["updated_at"])),
)
_EXPORT = "application/x-ndjson"


@page("/memory", title="Memory explorer", icon="psychology", group="Memory")
async def memory(view: View) -> None:
    """Through the memory's own API, with a key: its scopes and walls decide what is seen."""
    with card("Whose memory"):
        asking = Asking(view)
    explorer = _Explorer(asking)
    with ui.row().classes("cmg-filters"):
        for label, icon, act in (
            ("Users", "group", explorer.users),
            ("Memories", "list", explorer.items),
            ("Threads", "forum", explorer.threads),
            ("Export", "download", explorer.export),
            ("Delete all memories", "delete", explorer.delete_all),
            ("Erase the user", "person_remove", explorer.erase),
        ):
            ui.button(label, icon=icon, on_click=act).props("outline no-caps")
    with ui.row().classes("cmg-filters").props("role=search"):
        question = ui.input("Search in what is remembered").props("outlined dense clearable").classes("cmg-select")

        async def search() -> None:
            await explorer.search((question.value or "").strip())

        question.on("keydown.enter", search)
        ui.button("Search", icon="search", on_click=search).props('no-caps aria-label="Search memories"')
    explorer.place()


class _Explorer:
    """What the buttons do; each draws its answer below them."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    def place(self) -> None:
        """Answers are drawn here."""
        self._holder = ui.column().classes("cmg-field").props("aria-live=polite")

    async def users(self) -> None:
        """Who has memories, as far as the key sees."""
        told = await self._asking.get("/v1/entities")

        async def choose(row: Row) -> None:
            self._asking.choose(row["name"])
            await self.items()

        people = [one for one in told["results"] if one["type"] == "user"]
        with self._anew("Users"):
            Given(_USERS, people, (Action("Look", choose),))

    async def items(self) -> None:
        """The memories of the user, newest first."""
        user = self._asking.user
        await self._pages(
            f"Memories of {user}", "/v1/memories", {"user_id": user, "limit": 50}, (_ITEMS, self._item_actions())
        )

    async def threads(self) -> None:
        """The conversations of the user."""
        user = self._asking.user

        async def look(row: Row) -> None:
            query = {"user_id": user, "thread_id": row["id"], "limit": 50}
            await self._pages(f"Thread {row['id']}", "/v1/memories", query, (_ITEMS, self._item_actions()))

        query = {"user_id": user, "limit": 50}
        await self._pages(f"Threads of {user}", "/v1/threads", query, (_THREADS, (Action("Look", look),)))

    async def search(self, question: str) -> None:
        """Best first; the score is that of recall, what makes a salience stands at the item."""
        user = self._asking.user
        if not question:
            await self.items()
            return
        told = await self._asking.post("/v1/memories/search", {"user_id": user, "query": question, "limit": 50})
        with self._anew(f"Found for “{question}”"):
            html(facts([("Score", "how well words and meaning fit the question, weighed by salience; best first")]))
            Given(_FOUND, told["items"], self._item_actions())

    async def export(self) -> None:
        """Everything about the user, as a file."""
        user = self._asking.user
        whole, _ = await self._asking.api().text("POST", "/v1/export", {"user_id": user}, headers=self._asking.why)
        ui.download.content(whole, f"{user}.ndjson", _EXPORT)
        done(f"Exported {len(whole.splitlines()):,} lines.")

    async def delete_all(self) -> None:
        """Memories go, the user stays."""
        user = self._asking.user
        text = "Every memory of this user goes, with its history. Usage and traces stay."
        if await sure_by_name(f"Delete the memories of “{user}”?", text, user, "Delete"):
            gone = await self._asking.api().json("DELETE", "/v1/memories", query={"user_id": user})
            done(f"Deleted: {gone['turns']} passages, {gone['facts']} facts.")
            await self.items()

    async def erase(self) -> None:
        """The user goes from everywhere; the receipt is shown."""
        user = self._asking.user
        text = "What names this user goes from every place; rows that must stay get a pseudonym. It cannot be undone."
        if not await sure_by_name(f"Erase “{user}”?", text, user, "Erase"):
            return
        receipt: Mapping[str, Any] = await self._asking.post("/v1/erase", {"user_id": user})
        with self._anew("Receipt"):
            html(
                facts(
                    [*receipt["erased"].items(), ("Pseudonym", receipt["pseudonym"]), ("Pending", receipt["pending"])]
                )
            )

    def _item_actions(self) -> tuple[Action, ...]:
        async def look(row: Row) -> None:
            await show_item(self._asking, row["id"])

        return (Action("Open", look),)

    async def _pages(
        self, title: str, path: str, query: dict[str, Any], table: tuple[tuple[Column, ...], tuple[Action, ...]]
    ) -> None:
        """A list by its cursor."""
        told = await self._asking.get(path, query)
        with self._anew(title):
            Given(table[0], told["items"], table[1])
            if told["next"]:
                further = _later(self._pages, title, path, {**query, "cursor": told["next"]}, table)
                ui.button("More", icon="chevron_right", on_click=further).props("flat dense no-caps")

    @contextmanager
    def _anew(self, title: str) -> Iterator[None]:
        self._holder.clear()
        with self._holder, card(title):
            yield


def _later(act: Callable[..., Awaitable[None]], *given: Any) -> Callable[[], Awaitable[None]]:
    async def go() -> None:
        await act(*given)

    return go
