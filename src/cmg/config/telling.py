"""The settings as they may be shown: each with its value, its origin, its default and its meaning, and no secret."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec

from cmg.config.loading import ENVIRONMENT
from cmg.config.origins import Leaf, Origin, leaves
from cmg.config.settings import Settings

HIDDEN = "***"
_VARIABLES = {setting: variable for variable, setting in ENVIRONMENT.items()}


def told(settings: Settings, origins: Mapping[str, Origin]) -> list[dict[str, Any]]:
    """One entry a setting. `set` says of a secret whether there is one; its value and default are null."""
    meanings: dict[str, str] = msgspec.json.decode(files("cmg.config").joinpath("meanings.json").read_bytes())
    return [_entry(one, origins.get(one.name, Origin()), meanings.get(one.kind, "")) for one in leaves(settings)]


def _entry(one: Leaf, origin: Origin, meaning: str) -> dict[str, Any]:
    # A key that is still `env:NAME` names a variable that is not set.
    unset = one.value is None or (one.shown == "never" and str(one.value).startswith("env:"))
    return {
        "name": one.name,
        "value": None if unset or one.shown == "never" else _shown(one, one.value),
        "set": not unset,
        "secret": one.shown == "never",
        "origin": origin.kind,
        "place": origin.place or None,
        "default": None if one.shown == "never" else _shown(one, one.default),
        "variable": _VARIABLES.get(one.name),
        "meaning": meaning,
    }


def _shown(one: Leaf, value: Any) -> Any:
    if one.shown == "place" and value is not None:
        return without_secrets(str(value))
    return msgspec.to_builtins(value, enc_hook=str)


def without_secrets(url: str) -> str:
    """The URL without user, password, query and fragment; `***` for what is no URL, as a DSN of words."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        place = f"[{host}]" if ":" in host else host
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:
        return HIDDEN
    if not parts.scheme or "://" not in url:
        return HIDDEN
    user = f"{HIDDEN}@" if "@" in parts.netloc else ""
    return urlunsplit((parts.scheme, f"{user}{place}{port}", parts.path, HIDDEN if parts.query else "", ""))
