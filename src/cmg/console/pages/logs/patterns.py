"""Kinds of messages: which there are, how many lines they have, and which are new."""

from cmg.console.pages.logs.search import LEVELS
from cmg.console.parts.frame import page
from cmg.console.parts.markup import badge, code, link, moment, number
from cmg.console.parts.tables import Column, Filter, paged
from cmg.console.visit import View

_COLUMNS = (
    Column("Lines", lambda row: number(row["lines"]), right=True),
    Column("Level", lambda row: badge(row["level"])),
    Column("Logger", lambda row: code(row["logger"])),
    Column("Message", lambda row: link(row["template"], f"/logs?pattern={row['pattern']}")),
    Column("New", lambda row: badge("new", "info") if row["new"] else None),
    Column("First seen", lambda row: moment(row["first_seen"])),
    Column("Last seen", lambda row: moment(row["last_seen"])),
    Column("Lines ever", lambda row: number(row["lines_ever"]), right=True),
)
_FILTERS = (
    Filter("since", "Since, as 1h, 7d"),
    Filter("level", "Level", LEVELS),
    Filter("logger", "Logger"),
    Filter("new", "Only new ones", {"true": "only new ones"}),
)


@page("/logs/patterns", title="Log patterns", icon="pattern", group="Watch")
async def patterns(view: View) -> None:
    """Those of most lines first; `<*>` stands for what differs."""
    await paged(view, "/admin/v1/logs/patterns", _COLUMNS, filters=_FILTERS)
