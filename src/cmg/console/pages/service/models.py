"""Models: who answers, how well, in which order, and at which price."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from markupsafe import Markup
from nicegui import ui

from cmg.console.parts.figures import card
from cmg.console.parts.frame import drawn, page
from cmg.console.parts.markup import NOTHING, badge, badges, code, dollars, link, moment, number, text
from cmg.console.parts.tables import Column, Filter, Paged, Row, listed
from cmg.console.visit import View

_NONE = Markup("")
_NOT_ASKED = "not watched"  # the simulator, and what is not configured
_MODELS = (
    Column("Model", lambda row: _asked(row["id"])),
    Column("Context", lambda row: number(row["context_length"]), right=True),
    Column("In, a million tokens", lambda row: _usd(row["price"], "prompt_usd_per_mtok"), right=True),
    Column("Out", lambda row: _usd(row["price"], "completion_usd_per_mtok"), right=True),
    Column("From cache", lambda row: _usd(row["price"], "cache_read_usd_per_mtok"), right=True),
    Column("A call", lambda row: _usd(row["price"], "request_usd"), right=True),
    Column("Price by", lambda row: text(row["price_origin"])),
    Column("Routes", lambda row: badges(row["routes"])),
    Column("Calls", lambda row: link("calls", f"/requests?model={quote(row['model'])}")),
)
_ROUTES = (
    Column("Model", lambda row: _asked(row["model"])),
    Column("Candidates, in order", lambda row: _candidates(row["candidates"])),
    Column("Calls", lambda row: link("calls", f"/requests?model={quote(row['model'])}")),
)


@page("/models", title="Models", icon="smart_toy", group="Service")
async def models(view: View) -> None:
    """What can be asked for. All of it stands in the settings file, so nothing is changed here."""
    await drawn(_upstreams, view)
    await drawn(_routes, view)
    with card("Models and prices", wide=True):
        ui.label("US dollars. Where an upstream tells the cost of a call itself, that is what it costs.").classes(
            "cmg-quiet"
        )
        filters = (Filter("q", "Words of the name"), Filter("upstream", "Upstream"))
        await Paged(view, "/admin/v1/models", _MODELS, filters=filters).show()


async def _upstreams(view: View) -> None:
    told = await view.get("/admin/v1/upstreams")
    health = await view.get("/admin/v1/health")
    levels: Mapping[str, str] = health["levels"]
    outputs = {
        entry["componentId"]: entry["output"]
        for entry in health.get("checks", {}).get("upstream:reachable", ())
        if entry.get("output")
    }
    columns = (
        Column("Upstream", lambda row: row["name"]),
        Column("Level", lambda row: _level(row, levels)),
        Column("Serves", lambda row: badges(row["globs"]) if row["globs"] else code(f"{row['name']}/…")),
        Column("Lists", lambda row: link(f"{row['models']:,} models", f"/models?upstream={row['name']}")),
        Column("Asked for them", lambda row: moment(row["synced_at"])),
        Column("Retries", lambda row: number(row["retries"]), right=True),
        Column("First token within", lambda row: number(row["timeouts"]["first_token_s"], " s"), right=True),
        Column("What is wrong", lambda row: _wrong(row, outputs)),
    )
    with card("Upstreams, in the order in which their globs are tried", wide=True):
        listed(columns, told["items"])


async def _routes(view: View) -> None:
    told = await view.get("/admin/v1/model-routes")
    with card("Routes: names of our own, and who answers when the one before fails", wide=True):
        listed(_ROUTES, told["items"])


def _level(row: Row, levels: Mapping[str, str]) -> Markup:
    if row["missing"]:
        return badge("not configured", "warn")
    return badge(levels.get(f"upstream/{row['name']}", _NOT_ASKED))


def _wrong(row: Row, outputs: Mapping[str, str]) -> Markup:
    if row["missing"]:
        return Markup("set {} to its API key").format(code(row["missing"]))
    return text(row["sync_error"] or outputs.get(f"upstream/{row['name']}"))


def _candidates(candidates: Any) -> Markup:
    pieces = (
        Markup("<li>{} {}{}</li>").format(
            code(one["name"]), badge("cannot be asked", "warn") if one["missing"] else _price(one), _why(one)
        )
        for one in candidates
    )
    return Markup("<ol>{}</ol>").format(Markup("").join(pieces))


def _why(candidate: Mapping[str, Any]) -> Markup:
    return Markup(' <span class="cmg-quiet">{}</span>').format(candidate["missing"]) if candidate["missing"] else _NONE


def _price(candidate: Mapping[str, Any]) -> Markup:
    price = candidate["price"]
    if price is None:
        return badge("price unknown", "warn")
    told = f"{dollars(price['prompt_usd_per_mtok'])} in, {dollars(price['completion_usd_per_mtok'])} out"
    return Markup('<span class="cmg-quiet">{}</span>').format(told)


def _asked(model: str) -> Markup:
    """To the playground, with the model in its field."""
    return link(model, f"/playground?model={quote(model)}")


def _usd(price: Mapping[str, Any] | None, name: str) -> Markup:
    if price is None or price[name] is None:
        return NOTHING
    return Markup('<span class="cmg-number">{}</span>').format(dollars(price[name]))
