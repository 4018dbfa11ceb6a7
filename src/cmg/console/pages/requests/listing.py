"""Single calls, newest first."""

from cmg.console.parts.frame import page
from cmg.console.parts.markup import badge, code, link, moment, number, usd
from cmg.console.parts.tables import Column, Filter, paged
from cmg.console.visit import View

_STATUSES = {"ok": "ok", "error": "error", "cut": "cut", "cancelled": "cancelled"}
COLUMNS = (
    Column("Request", lambda row: link(row["id"][-12:], f"/requests/{row['id']}")),
    Column("Ended", lambda row: moment(row["at"])),
    Column("Status", lambda row: badge(row["status"], None if row["status"] != "ok" else "good")),
    Column("Model", lambda row: row["model_answered"] or row["model_asked"]),
    Column("User", lambda row: row["user"]),
    Column("Key", lambda row: link(row["key"], f"/keys/{row['key']}")),
    Column("Tokens in", lambda row: number(row["prompt_tokens"]), right=True),
    Column("Out", lambda row: number(row["completion_tokens"]), right=True),
    Column("Memories", lambda row: number(row["memory_items"]), right=True),
    Column("Cost", lambda row: usd(row["cost_usd"]), right=True),
    Column("Latency", lambda row: number(row["latency_ms"], " ms"), right=True),
    Column("Error", lambda row: code(row["error_type"])),
)
_FILTERS = (
    Filter("status", "Status", _STATUSES),
    Filter("model", "Model"),
    Filter("user", "User"),
    Filter("key", "Key's id"),
    Filter("workspace", "Workspace"),
    Filter("from", "From, as 2026-11-23"),
    Filter("to", "To"),
)


@page("/requests", title="Requests", icon="swap_horiz", group="Watch")
async def requests(view: View) -> None:
    """As the ledger has them, a second or two after they ended."""
    await paged(view, "/admin/v1/requests", COLUMNS, filters=_FILTERS)
