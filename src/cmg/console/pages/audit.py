"""The audit trail: who changed what, and whether the chain of its hashes holds."""

from nicegui import ui

from cmg.console.parts.frame import page
from cmg.console.parts.markup import code, moment, pre
from cmg.console.parts.refusals import banner, done
from cmg.console.parts.tables import Column, Filter, paged
from cmg.console.visit import View
from cmg.kit.scopes import EVERYTHING, WORKSPACE

_COLUMNS = (
    Column("Number", lambda row: row["seq"], right=True),
    Column("When", lambda row: moment(row["at"])),
    Column("Who", lambda row: row["actor"]),
    Column("From", lambda row: row["client"]),
    Column("What", lambda row: row["action"]),
    Column("Of", lambda row: code(row["target"])),
    Column("Workspace", lambda row: row["workspace"]),
    Column("Details", lambda row: pre(row["details"]) if row["details"] else None),
)
_FILTERS = (
    Filter("action", "Action, as key.create"),
    Filter("actor", "Who"),
    Filter("target", "Of what"),
    Filter("workspace", "Workspace"),
)


@page("/audit", title="Audit trail", icon="fact_check", group="Respond", needs=WORKSPACE)
async def audit(view: View) -> None:
    """Newest first."""
    if view.may(EVERYTHING):

        async def verify() -> None:
            told = await view.get("/admin/v1/audit/verify")
            if told["ok"]:
                done(f"The chain holds over {told['entries']:,} entries; the last hash is {told['head'][:16]}….")
            else:
                banner(f"The chain is broken at entry {told['broken_at']}: {told['reason']}")

        ui.button("Verify the chain", icon="verified", on_click=verify).props("outline no-caps").classes("cmg-create")
    await paged(view, "/admin/v1/audit", _COLUMNS, filters=_FILTERS)
