"""Runbooks: what to do, as it was shipped with this version."""

import re

from nicegui import ui

from cmg.console.parts.figures import card, html
from cmg.console.parts.frame import page
from cmg.console.parts.markup import link
from cmg.console.parts.tables import Column, listed
from cmg.console.visit import View

_OTHER = re.compile(r"\]\(([a-z-]+)\.md\)")  # how a runbook names another: as the file beside it
_COLUMNS = (Column("Runbook", lambda row: link(row["title"], f"/runbooks/{row['name']}")),)


@page("/runbooks", title="Runbooks", icon="menu_book", group="Respond")
async def runbooks(view: View) -> None:
    """All of them."""
    told = await view.get("/admin/v1/runbooks")
    listed(_COLUMNS, told["items"])


@page("/runbooks/{name}", title="Runbook", group="Respond")
async def runbook(view: View) -> None:
    """One of them."""
    html(link("All runbooks", "/runbooks"))
    told = await view.get(f"/admin/v1/runbooks/{view.path['name']}")
    title, _, text = told["text"].partition("\n")
    with card(title.lstrip("# ")):
        text = _OTHER.sub(r"](/runbooks/\1)", text.replace("\n## ", "\n### "))
        ui.markdown(text, extras=["fenced-code-blocks", "tables"]).classes("cmg-text")
