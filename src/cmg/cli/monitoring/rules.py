"""`cmg alerts rules list|show|put|remove|templates`: rules that a workspace owns."""

from typing import Any

import click
from pydantic import ValidationError

from cmg.alerting.owned.routes import OwnedRuleStates, state_view, template_views
from cmg.alerting.owned.templates import template
from cmg.alerting.setup.documents import AlertRule
from cmg.app.wiring.services import Services
from cmg.cli.monitoring.paging import by_command_line, workspace_option
from cmg.cli.printing import json_option, print_fields, print_json, print_table
from cmg.cli.session import with_services
from cmg.kit.errors import InvalidRequest

_KIND = "alert-rules"
_SHOWN = ("id", "severity", "enabled", "for_seconds", "expr")
_name = click.argument("name")


@click.group("rules")
def rules() -> None:
    """Rules on what a workspace uses, which that workspace owns."""


@rules.command("list")
@workspace_option
@json_option
def list_rules(*, workspace: str, as_json: bool) -> None:
    """List every rule."""

    async def read(services: Services) -> list[dict[str, Any]]:
        found, after = [], ""
        while True:
            page, more = await services.configuring.page(by_command_line(workspace), _KIND, after, 200)
            found += page
            if more is None:
                return found
            after = more

    found = with_services(read)
    if as_json:
        print_json(found)
    else:
        print_table(found, _SHOWN, "There is no rule; `cmg alerts rules templates` shows some to begin with.")


@rules.command("show")
@_name
@workspace_option
@json_option
def show_rule(*, name: str, workspace: str, as_json: bool) -> None:
    """Show the rule NAME and how it stands."""

    async def read(services: Services) -> tuple[dict[str, Any], dict[str, Any]]:
        by = by_command_line(workspace)
        rule = await services.configuring.get(by, _KIND, name)
        return rule, state_view(*await OwnedRuleStates(services.database).show(by, name))

    rule, state = with_services(read)
    if as_json:
        print_json({**rule, "state": state})
        return
    print_fields({**rule, **{one: state[one] for one in ("policy", "evaluated_at", "error")}})
    print_table(state["active"], ("state", "since", "value", "labels"), "It does not fire.")


@rules.command("put")
@_name
@click.option("--expr", help="PromQL over cmg_workspace_*.")
@click.option("--template", "of", help="Begin with a template, see `templates`.")
@click.option("--threshold", type=float, help="The template's number.")
@click.option("--for", "for_seconds", type=click.IntRange(0, 604_800), help="Seconds it has to hold.")
@click.option("--severity", type=click.Choice(["P1", "P2", "P3", "P4"]))
@click.option("--summary", help="What people read; may hold {{ $value }}.")
@click.option("--enabled/--disabled", default=None, help="Whether it is evaluated.")
@workspace_option
@json_option
def put_rule(
    *, name: str, workspace: str, as_json: bool, of: str | None, threshold: float | None, **fields: Any
) -> None:
    """Write the rule NAME. Options that are left away stay as they are."""

    async def write(services: Services) -> tuple[dict[str, Any], str | None]:
        by, given = by_command_line(workspace), {one: value for one, value in fields.items() if value is not None}
        if of is not None:
            before = template(of).rule(threshold).model_dump()
        else:
            found, _ = await services.configuring.page(by, _KIND, "", 200)
            kept = next((one for one in found if one["id"] == name), {})
            before = {one: kept[one] for one in AlertRule.model_fields if one in kept}
        written = await services.configuring.put(by, _KIND, name, _rule({**before, **given}))
        return written, (await OwnedRuleStates(services.database).show(by, name))[1]

    written, policy = with_services(write)
    (print_json if as_json else print_fields)({**written, "policy": policy})
    if policy is None:
        click.echo(f"No route and no policy `default` of {workspace} takes its alerts: nobody would be told.", err=True)


def _rule(fields: dict[str, Any]) -> AlertRule:
    try:
        return AlertRule.model_validate(fields)
    except ValidationError as error:
        wrong = error.errors()[0]
        field = str(wrong["loc"][0]) if wrong["loc"] else "rule"
        raise InvalidRequest(f"`{field}`: {wrong['msg']}", param=field) from error


@rules.command("remove")
@_name
@workspace_option
@json_option
def remove_rule(*, name: str, workspace: str, as_json: bool) -> None:
    """Remove the rule NAME; what fires by it is over."""
    with_services(lambda services: services.configuring.remove(by_command_line(workspace), _KIND, name))
    if as_json:
        print_json({"removed": name})
    else:
        click.echo(f"{name} is removed.")


@rules.command("templates")
@json_option
def list_templates(*, as_json: bool) -> None:
    """List rules that are ready to be taken."""
    found = template_views()
    if as_json:
        print_json(found)
    else:
        print_table(found, ("name", "threshold", "description"), "There is none.")
