"""What an upstream answers to `GET /models`, read as leniently as the servers of the field differ."""

from collections.abc import Mapping
from typing import Any, TypeGuard

import msgspec

from cmg.gateway.routing.catalogue_store import ListedModel

_MODELS_MAX = 20_000
_ID_CHARACTERS_MAX = 300
_PRICING_BYTES_MAX = 16 * 1024
_INT4_MAX = 2**31 - 1
_INT8_MAX = 2**63 - 1
# In the order of trust. OpenRouter; vLLM; Groq; LM Studio and Mistral; gateways like ours.
_CONTEXT_FIELDS = ("context_length", "max_model_len", "context_window", "max_context_length", "max_input_tokens")
# llama.cpp puts it into a part of its own, OpenRouter repeats the best provider's.
_CONTEXT_PARTS = (("meta", "n_ctx"), ("meta", "n_ctx_train"), ("top_provider", "context_length"))


class MalformedListing(Exception):
    """The answer is no list of models; the message says why, without quoting it (it might hold a key)."""


def read_listing(body: bytes, prefix: str = "") -> list[ListedModel]:
    """The models of an answer, each name once; `prefix` is taken off names that begin with it.

    Takes `{"data": [...]}`, `{"models": [...]}` and a bare list. Entries without a usable name are left out; when
    there are entries and all of them are, that is no list of models either. Raises `MalformedListing`.
    """
    entries = _entries(body)
    if len(entries) > _MODELS_MAX:
        raise MalformedListing(f"it lists {len(entries)} models; at most {_MODELS_MAX} are taken")
    found: dict[str, ListedModel] = {}
    for entry in entries:
        name = _name(entry, prefix)
        if name is not None:
            found.setdefault(name, _model(name, entry))
    if entries and not found:
        raise MalformedListing("none of its models has a usable id")
    return list(found.values())


def _entries(body: bytes) -> list[Any]:
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedListing("it is not JSON") from error
    if isinstance(answer, Mapping):
        answer = answer.get("data", answer.get("models"))
    if not isinstance(answer, list):
        raise MalformedListing("it has no list `data`")
    return answer


def _name(entry: Any, prefix: str) -> str | None:
    name = entry.get("id", entry.get("name")) if isinstance(entry, Mapping) else None
    if not isinstance(name, str):
        return None
    name = name.removeprefix(prefix)
    return name if name and len(name) <= _ID_CHARACTERS_MAX and name.isprintable() else None


def _model(name: str, entry: Mapping[str, Any]) -> ListedModel:
    created = entry.get("created")
    return ListedModel(
        model=name,
        pricing=_pricing(entry.get("pricing")),
        context_length=_context_length(entry),
        created=int(created) if _is_number(created) and 0 < created <= _INT8_MAX else None,
    )


def _context_length(entry: Mapping[str, Any]) -> int | None:
    told = [entry.get(field) for field in _CONTEXT_FIELDS]
    for part, field in _CONTEXT_PARTS:
        inner = entry.get(part)
        told.append(inner.get(field) if isinstance(inner, Mapping) else None)
    return next((int(value) for value in told if _is_number(value) and 1 <= value <= _INT4_MAX), None)


def _pricing(value: Any) -> dict[str, Any] | None:
    """The `pricing` object as told, when it can be stored: not huge, and nothing that PostgreSQL's JSON refuses."""
    if not isinstance(value, dict) or not value:
        return None
    encoded = msgspec.json.encode(value)
    return value if len(encoded) <= _PRICING_BYTES_MAX and b"\\u0000" not in encoded else None


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
