"""What a key's settings may be: JSON as people send it (RFC 7396 merge patch) onto an `ApiKey`, field by field."""

import ipaddress
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from cmg.identity.forms.text import array, boolean, integer, members, moment, number, one_of, text, wrong
from cmg.identity.models import SCOPES, ApiKey, Budget, Limits
from cmg.kit.money import usd_to_nano

LIMIT_MAX = {"rpm": 10**6, "rph": 10**8, "tpm": 10**10, "burst": 10**6, "concurrency": 10**5}
USD_MAX = 1e9
ALERTS_MAX = 10
TAGS_MAX = 50
GLOBS_MAX = 200
NETWORKS_MAX = 200
NAME_MAX = 100
CACHE_S_MAX = 86_400
_MAPPED = 96  # bits before an IPv4 address in an IPv6 one (::ffff:0:0/96)
PERIODS = ("day", "week", "month", "lifetime")
_BUDGET_FIELDS = ("period", "usd", "alert_at", "auto_suspend")
_DEFAULTS = {field.name: field.default for field in msgspec.structs.fields(ApiKey)}

Reader = Callable[[Any, ApiKey, float], Any]


def changed(key: ApiKey, fields: Mapping[str, Any], now: float) -> ApiKey:
    """The key with these fields set: absent ones stay, null brings back the default. Raises `InvalidRequest`."""
    values: dict[str, Any] = {}
    for name, value in fields.items():
        reader = _READERS.get(name)
        if reader is None:
            raise wrong(name, f"is not known; known are {', '.join(_READERS)}")
        if value is not None:
            values[name] = reader(value, key, now)
        elif name == "name":
            raise wrong(name, "must stay: a key has a name")
        else:
            values[name] = _DEFAULTS[name]
    return msgspec.structs.replace(key, **values)


def _text(name: str, *, least: int = 0, most: int, lines: bool = False) -> Reader:
    return lambda value, _key, _now: text(value, name, least=least, most=most, lines=lines)


def _choice(name: str, *choices: str) -> Reader:
    return lambda value, _key, _now: one_of(value, name, choices)


def _tags(value: Any, _key: ApiKey, _now: float) -> tuple[str, ...]:
    return array(value, "tags", TAGS_MAX, lambda one, at: text(one, at, least=1, most=64))


def _scopes(value: Any, _key: ApiKey, _now: float) -> tuple[str, ...]:
    wanted = array(value, "scopes", len(SCOPES), lambda one, _at: one_of(one, "scopes", SCOPES))
    if not wanted:
        raise wrong("scopes", "must name at least one scope")
    return tuple(scope for scope in SCOPES if scope in wanted)


def _globs(name: str, *, empty: bool) -> Reader:
    def read(value: Any, _key: ApiKey, _now: float) -> tuple[str, ...]:
        globs = array(value, name, GLOBS_MAX, lambda one, at: text(one, at, least=1, most=200))
        if not globs and not empty:
            raise wrong(name, "must not be empty; leave it away, or send null, to allow every model")
        return globs

    return read


def _networks(value: Any, _key: ApiKey, _now: float) -> tuple[str, ...]:
    found = array(value, "ip_allow", NETWORKS_MAX, _network)
    if not found:
        raise wrong("ip_allow", "must not be empty; leave it away, or send null, to allow every address")
    return found


def _network(value: Any, field: str) -> str:
    given = text(value, field, least=1, most=50)
    try:
        network = ipaddress.ip_network(given, strict=False)
    except ValueError:
        raise wrong(field, "must be an address or a network as in 192.0.2.0/24 or 2001:db8::/32") from None
    if network.version == 6 and network.prefixlen >= _MAPPED and network.network_address.ipv4_mapped is not None:
        mapped = network.network_address.ipv4_mapped  # as which a client's address is looked at
        network = ipaddress.ip_network((mapped, network.prefixlen - _MAPPED))
    return str(network)


def _limits(value: Any, key: ApiKey, _now: float) -> Limits:
    given = members(value, "limits", tuple(LIMIT_MAX))
    read = {
        name: None if one is None else integer(one, f"limits.{name}", 1, LIMIT_MAX[name]) for name, one in given.items()
    }
    limits = msgspec.structs.replace(key.limits, **read)
    if limits.burst is not None and limits.rpm is None and limits.rph is None:
        raise wrong(
            "limits.burst", "says how many of `limits.rpm` or `limits.rph` may come at once; give one of them too"
        )
    return limits


def _budget(value: Any, key: ApiKey, _now: float) -> Budget:
    given = members(value, "budget", _BUDGET_FIELDS)
    for name in ("period", "usd"):
        if given.get(name) is None and (key.budget is None or name in given):
            raise wrong(f"budget.{name}", "must be given")
    read: dict[str, Any] = {}
    if "period" in given:
        read["period"] = one_of(given["period"], "budget.period", PERIODS)
    if "usd" in given:
        read["usd_nano"] = _usd(given["usd"])
    if "alert_at" in given:
        told = given["alert_at"]
        read["alert_at"] = Budget(period="day", usd_nano=0).alert_at if told is None else _shares(told)
    if "auto_suspend" in given:
        told = given["auto_suspend"]
        read["auto_suspend"] = False if told is None else boolean(told, "budget.auto_suspend")
    return Budget(**read) if key.budget is None else msgspec.structs.replace(key.budget, **read)


def _usd(value: Any) -> int:
    usd = number(value, "budget.usd")
    nano = usd_to_nano(usd) if 0 < usd <= USD_MAX else 0
    if nano <= 0:
        raise wrong("budget.usd", f"must be more than 0 and at most {USD_MAX:.0f} dollars")
    return nano


def _shares(value: Any) -> tuple[float, ...]:
    return tuple(sorted(array(value, "budget.alert_at", ALERTS_MAX, _share)))


def _share(value: Any, field: str) -> float:
    share = number(value, field)
    if not 0 < share <= 1:
        raise wrong(field, "must be a share of the budget: more than 0, at most 1")
    return share


def _expiry(value: Any, _key: ApiKey, now: float) -> float:
    at = moment(value, "expires_at")
    if at <= now:
        raise wrong("expires_at", "must lie in the future; to end a key now, revoke it")
    return at


_READERS: dict[str, Reader] = {
    "name": _text("name", least=1, most=NAME_MAX),
    "description": _text("description", most=2000, lines=True),
    "owner": _text("owner", most=200),
    "tags": _tags,
    "scopes": _scopes,
    "memory": _choice("memory", "on", "off"),
    "memory_scope": _choice("memory_scope", "user", "key"),
    "user_prefix": _text("user_prefix", least=1, most=100),
    "models_allow": _globs("models_allow", empty=False),
    "models_block": _globs("models_block", empty=True),
    "ip_allow": _networks,
    "default_model": _text("default_model", least=1, most=200),
    "response_cache_s": lambda value, _key, _now: integer(value, "response_cache_s", 0, CACHE_S_MAX),
    "limits": _limits,
    "budget": _budget,
    "expires_at": _expiry,
    "review_at": lambda value, _key, _now: moment(value, "review_at"),
}
