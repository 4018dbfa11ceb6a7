"""The options that set up a key, and how they become the fields of the key API."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

_PLAIN = {
    "name": "What it is for.",
    "description": "More about it.",
    "owner": "Who answers for it; told when its budget runs low.",
    "default_model": "Model of calls that name none.",
    "user_prefix": "Only for users whose id begins like this.",
    "expires_at": "When it ends, as 2027-01-31T00:00:00Z.",
    "review_at": "When somebody should look at it again.",
}
# Option → field of the API; each may be given several times, or with commas.
_LISTS = {
    "tag": ("tags", "A tag for reports."),
    "scope": ("scopes", "chat, embeddings, models, memory:read, memory:write, metrics, logs:write, alerts, admin…"),
    "model_allow": ("models_allow", "Only models like this (gpt-*)."),
    "model_block": ("models_block", "No models like this."),
    "ip_allow": ("ip_allow", "Only from this address or network."),
}
_LIMITS = {
    "rpm": "Requests a minute.",
    "rph": "Requests an hour.",
    "tpm": "Tokens a minute.",
    "burst": "Requests that may come at once.",
    "concurrency": "Calls in flight.",
}
_BUDGET = ("usd", "period", "alert_at", "auto_suspend")
UNSET = sorted({*_PLAIN, *(field for field, _ in _LISTS.values()), *_LIMITS, "limits", "budget", "memory"} - {"name"})


def key_settings(command: F) -> F:
    """Every option that sets up a key."""
    for option in reversed(_options()):
        command = option(command)
    return command


def _options() -> list[Callable[[F], F]]:
    found: list[Any] = [click.option(_flag(name), name, help=told) for name, told in _PLAIN.items()]
    found += [click.option(_flag(name), name, multiple=True, help=told) for name, (_, told) in _LISTS.items()]
    found += [click.option(_flag(name), name, type=int, help=told) for name, told in _LIMITS.items()]
    return [
        *found,
        click.option("--memory", type=click.Choice(["on", "off"]), help="Remember and recall; on unless said."),
        click.option(
            "--memory-scope", type=click.Choice(["user", "key"]), help="Whose memory a call without a user has."
        ),
        click.option("--response-cache-s", type=int, help="Seconds that equal calls get the stored answer."),
        click.option("--budget-usd", type=float, help="Dollars that may be spent in a period."),
        click.option("--budget-period", type=click.Choice(["day", "week", "month", "lifetime"])),
        click.option("--budget-alert-at", type=float, multiple=True, help="Share that tells the owner, as 0.8."),
        click.option("--budget-auto-suspend/--no-budget-auto-suspend", default=None, help="Suspend when it is spent."),
    ]


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def fields_of(options: Mapping[str, Any], unset: tuple[str, ...] = ()) -> dict[str, Any]:
    """The API's fields of the options that were given; `unset` names those that get their default back."""
    fields = {name: options[name] for name in (*_PLAIN, "memory", "memory_scope", "response_cache_s")}
    fields["workspace"] = options.get("workspace")
    fields |= {field: _split(options[name]) for name, (field, _) in _LISTS.items()}
    fields["limits"] = _given({name: options[name] for name in _LIMITS})
    budget = {name: options[f"budget_{name}"] for name in _BUDGET}
    fields["budget"] = _given({**budget, "alert_at": list(budget["alert_at"]) or None})
    given = _given(fields) or {}
    for name in unset:
        if name in _LIMITS:
            given.setdefault("limits", {})[name] = None
        else:
            given[name] = None
    return given


def _given(fields: dict[str, Any]) -> dict[str, Any] | None:
    """Those with a value; None when there is none."""
    return {name: value for name, value in fields.items() if value is not None} or None


def _split(values: tuple[str, ...]) -> list[str] | None:
    return [part.strip() for value in values for part in value.split(",") if part.strip()] or None
