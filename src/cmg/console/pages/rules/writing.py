"""Writing a rule: from a template or anew. What it may not read is told at the expression."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from cmg.console.parts.forms import Field, Form, ask
from cmg.console.plane import Refused
from cmg.console.visit import View

PATH = "/admin/v1/alert-rules"
_SEVERITIES = {one: one for one in ("P1", "P2", "P3", "P4")}
_RULE = (
    Field("expr", "Expression", "long", "PromQL over cmg_workspace_… of your workspace; it fires for each series"),
    Field("for_seconds", "For how many seconds before it fires", "number", value=0),
    Field("severity", "Severity", "choice", options=_SEVERITIES, value="P3"),
    Field("summary", "Summary", help="what people read; as {{ $value | humanize }}"),
)
_NEW = (Field("id", "Id", help="a-z, 0-9, _ and -; it is the alert's name"), *_RULE)
_CHANGE = (*_RULE, Field("enabled", "It is evaluated", "switch"))
_ANEW = ""


async def create(view: View) -> bool:
    """Whether one was made."""
    templates = (await view.get("/admin/v1/alert-rule-templates"))["items"]
    told = {one["name"]: one["description"] for one in templates}
    beginning = (Field("template", "Begin with", "choice", options={_ANEW: "Nothing", **told}, value=_ANEW),)

    async def chosen(form: Form) -> Any:
        return form.given()

    begun = await ask("A new rule", "Go on", lambda: Form(beginning), chosen)
    if begun is None:
        return False
    template: Mapping[str, Any] = next((one["rule"] for one in templates if one["name"] == begun.get("template")), {})

    async def send(form: Form) -> Any:
        body = form.given()
        name = body.pop("id", "")
        taken = [one["id"] for one in (await view.get(PATH, {"limit": 200}))["items"]]
        if not name or name in taken:
            raise Refused(400, f"there is a rule {name} already" if name else "give it an id", "id")
        return await view.put(f"{PATH}/{quote(name, safe='')}", body)

    return await ask("A new rule", "Create", lambda: Form(_NEW, template), send) is not None


async def change(view: View, rule: Mapping[str, Any]) -> bool:
    """Whether it was changed."""
    kept = {one.name: rule[one.name] for one in _CHANGE}

    async def save(form: Form) -> Any:
        body = {name: value for name, value in {**kept, **form.changed()}.items() if value is not None}
        return await view.put(f"{PATH}/{rule['id']}", body)

    return await ask(f"Change “{rule['id']}”", "Save", lambda: Form(_CHANGE, rule), save) is not None
