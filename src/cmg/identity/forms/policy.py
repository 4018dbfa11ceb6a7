"""What a workspace's memory policy may be: JSON as people send it (RFC 7396 merge patch) onto a `MemoryPolicy`."""

from collections.abc import Callable, Mapping
from typing import Any, get_args

import msgspec

from cmg.config import RedactedKind
from cmg.identity.forms.text import array, boolean, integer, members, number, one_of, text, wrong
from cmg.identity.models import Extraction, MemoryPolicy
from cmg.identity.speaking.tokens import RSA_BITS_MIN, public_key

DAYS_MAX = 36_500
_KINDS: tuple[str, ...] = get_args(RedactedKind)
_USD_MAX = 1e6
_PEM_CHARACTERS = 4000
_DEFAULTS = {field.name: field.default for field in msgspec.structs.fields(MemoryPolicy)}


def changed_policy(policy: MemoryPolicy, value: Any) -> MemoryPolicy:
    """The policy with these fields set: absent ones stay, null brings back the default. Raises `InvalidRequest`."""
    given: Mapping[str, Any] = members(value, "memory", tuple(_READERS))
    read = {name: _DEFAULTS[name] if one is None else _READERS[name](one) for name, one in given.items()}
    made = msgspec.structs.replace(policy, **read)
    if made.user_token_required and made.user_token_key is None:
        raise wrong("memory.user_token_key", "must be given before tokens can be required")
    return made


def _days(name: str) -> Callable[[Any], int]:
    return lambda value: integer(value, f"memory.{name}", 0, DAYS_MAX)


def _redact(value: Any) -> tuple[str, ...]:
    given = array(value, "memory.redact", len(_KINDS), lambda one, at: one_of(one, at, _KINDS))
    return tuple(kind for kind in _KINDS if kind in given)


def _flag(name: str) -> Callable[[Any], bool]:
    return lambda value: boolean(value, f"memory.{name}")


def _public_key(value: Any) -> str:
    pem = text(value, "memory.user_token_key", least=1, most=_PEM_CHARACTERS, lines=True)
    try:
        public_key(pem)
    except ValueError:
        raise wrong(
            "memory.user_token_key",
            f"must be a public key as PEM: Ed25519, P-256, or RSA of at least {RSA_BITS_MIN} bits",
        ) from None
    return pem


def _between(name: str, most: float) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        found = number(value, f"memory.{name}")
        if not 0 <= found <= most:
            raise wrong(f"memory.{name}", f"must be from 0 to {most:g}")
        return found

    return read


_READERS: dict[str, Callable[[Any], Any]] = {
    "retention_days": _days("retention_days"),
    "item_days": _days("item_days"),
    "half_life_days": _days("half_life_days"),
    "redact": _redact,
    "extraction": lambda value: one_of(value, "memory.extraction", get_args(Extraction)),
    "extraction_usd_per_day": _between("extraction_usd_per_day", _USD_MAX),
    "holdout_share": _between("holdout_share", 1),
    "shared": _flag("shared"),
    "reason_required": _flag("reason_required"),
    "user_token_key": _public_key,
    "user_token_audience": lambda value: text(value, "memory.user_token_audience", least=1, most=200),
    "user_token_required": _flag("user_token_required"),
}
