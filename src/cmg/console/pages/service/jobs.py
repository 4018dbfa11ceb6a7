"""Background jobs: what waits, runs and failed, and what runs by the clock."""

from cmg.console.parts.dialogs import sure, sure_by_name
from cmg.console.parts.figures import card
from cmg.console.parts.frame import page
from cmg.console.parts.markup import Tone, badge, code, link, moment
from cmg.console.parts.refusals import done
from cmg.console.parts.tables import Action, Column, Filter, Row, listed, paged
from cmg.console.visit import View
from cmg.kit.scopes import EVERYTHING

_TONES: dict[str, Tone] = {"held": "bad", "running": "info", "waiting": "quiet"}
_COLUMNS = (
    Column("Job", lambda row: code(row["id"])),
    Column("Name", lambda row: row["name"]),
    Column("State", lambda row: badge(row["state"], _TONES.get(row["state"]))),
    Column("Failed attempts", lambda row: row["attempts"], right=True),
    Column("Made", lambda row: moment(row["created_at"])),
    Column("Changed", lambda row: moment(row["updated_at"])),
    Column("Runs after", lambda row: moment(row["runs_after"])),
    Column("Why", lambda row: link("log lines", f"/logs?q={row['name']}&level=warning&since=7d")),
)
_SCHEDULES = (
    Column("Name", lambda row: row["name"]),
    Column("Every (cron, UTC)", lambda row: code(row["every"])),
    Column("Last", lambda row: moment(row["last_run"])),
    Column("Next", lambda row: moment(row["next_run"])),
)
_FILTERS = (
    Filter("state", "State", {"waiting": "waiting", "running": "running", "held": "held: failed for good"}),
    Filter("name", "Name"),
)


@page("/jobs", title="Jobs", icon="work_history", group="Service", needs=EVERYTHING)
async def jobs(view: View) -> None:
    """A job that ended well is gone from the queue; counts of those are in the metrics."""

    async def retry(row: Row) -> None:
        if await sure(f"Retry {row['name']}?", "It waits again, with all of its attempts.", "Retry"):
            await view.post(f"/admin/v1/jobs/{row['id']}/retry")
            done("It waits again.")

    async def drop(row: Row) -> None:
        if await sure_by_name(f"Delete job {row['id']}?", "It is left undone.", row["name"], "Delete"):
            await view.delete(f"/admin/v1/jobs/{row['id']}")

    actions = (Action("Retry", retry, _held), Action("Delete", drop, _held))
    with card("Queue"):
        await paged(view, "/admin/v1/jobs", _COLUMNS, filters=_FILTERS, actions=actions)
    with card("By the clock"):
        listed(_SCHEDULES, (await view.get("/admin/v1/jobs/schedules"))["items"])


def _held(row: Row) -> bool:
    return bool(row["state"] == "held")
