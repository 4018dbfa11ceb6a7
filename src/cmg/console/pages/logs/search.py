"""Searching the logs, and following them."""

from cmg.console.pages.logs.following import Follower
from cmg.console.parts.frame import page
from cmg.console.parts.markup import badge, code, link, moment
from cmg.console.parts.tables import Column, Filter, Paged, Row
from cmg.console.visit import View

LEVELS = {one: f"{one} and above" for one in ("debug", "info", "warning", "error", "critical")}
_TIERS = {"hot,cold,archive": "with the archive"}


def _request(row: Row) -> object:
    id_ = row.get("cmg.request_id")
    return link(id_[-12:], f"/requests/{id_}") if id_ else None


_COLUMNS = (
    Column("When", lambda row: moment(row.get("@timestamp"), relative=False)),
    Column("Level", lambda row: badge(row.get("log.level", ""))),
    Column("Logger", lambda row: code(row.get("log.logger"))),
    Column("Message", lambda row: row.get("message")),
    Column("Error", lambda row: row.get("error.message")),
    Column("Request", _request),
)
_FILTERS = (
    Filter("q", 'Words, "a phrase", -not'),
    Filter("level", "Level", LEVELS),
    Filter("since", "Since, as 15m, 2h, 7d"),
    Filter("until", "Until"),
    Filter("logger", "Logger"),
    Filter("service", "Service"),
    Filter("request_id", "Request's id"),
    Filter("trace_id", "Trace's id"),
    Filter("pattern", "Pattern's number"),
    Filter("tiers", "How far back", _TIERS),
)


@page("/logs", title="Logs", icon="article", group="Watch")
async def logs(view: View) -> None:
    """Newest first; lines that are followed come on top as they are stored."""
    table = Paged(view, "/admin/v1/logs", _COLUMNS, filters=_FILTERS)
    follower = Follower(view, table)
    follower.draw()
    await table.show()
