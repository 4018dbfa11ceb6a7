"""What a request says about memory: fields of the body beat headers, and both are stripped before the upstream."""

from collections.abc import Mapping
from typing import Literal, get_args

import msgspec

from cmg.kit.asgi import header_text
from cmg.kit.errors import InvalidRequest
from cmg.kit.turns import known_kinds

Mode = Literal["on", "off", "read", "write"]
OUR_FIELDS = ("thread_id", "agent_id", "memory", "inject_context", "context_purpose", "context_token_budget")
_ID_MAX = 512
_BUDGET_MAX = 1_000_000
_USER = (b"x-cmg-user", b"x-sm-user-id")
_THREAD = (b"x-cmg-thread", b"x-sm-conversation-id", b"x-session-id")
_AGENT = (b"x-cmg-agent",)
_MODE = (b"x-cmg-memory", b"x-memory-mode")
_BUDGET = (b"x-cmg-memory-budget",)


class MemorySpec(msgspec.Struct, forbid_unknown_fields=True):
    """The field `memory`."""

    mode: Mode | None = None
    token_budget: int | None = None
    purpose: str | None = None
    kinds: list[str] | None = None


class MemoryFields(msgspec.Struct):
    """Every field of a chat body that memory reads; `user` is OpenAI's own and passed on."""

    user: str | None = None
    thread_id: str | None = None
    agent_id: str | None = None
    memory: MemorySpec | None = None
    inject_context: bool | None = None
    context_purpose: str | None = None
    context_token_budget: int | None = None


class MemoryWish(msgspec.Struct, gc=False):
    """What the caller wants of memory; None: as the key or the settings say."""

    user: str | None
    thread: str | None
    agent: str | None
    mode: Mode | None
    token_budget: int | None
    purpose: str | None
    kinds: list[str] | None


def read_wish(body: MemoryFields, headers: Mapping[bytes, bytes]) -> MemoryWish:
    """Body and headers together. Raises `InvalidRequest` that names the field."""
    spec = body.memory or _NOTHING
    mode = spec.mode or _older_mode(body) or _mode(_first(headers, _MODE))
    budget = spec.token_budget if spec.token_budget is not None else body.context_token_budget
    if budget is None:
        budget = _number(_first(headers, _BUDGET))
    if budget is not None and not 0 <= budget <= _BUDGET_MAX:
        raise InvalidRequest(
            f"the memory's token budget must be between 0 and {_BUDGET_MAX}", param="memory.token_budget"
        )
    return MemoryWish(
        _id(body.user or _first(headers, _USER), "user"),
        _id(body.thread_id or _first(headers, _THREAD), "thread_id"),
        _id(body.agent_id or _first(headers, _AGENT), "agent_id"),
        mode,
        budget,
        spec.purpose or body.context_purpose,
        None if spec.kinds is None else known_kinds(spec.kinds, "memory.kinds"),
    )


_NOTHING = MemorySpec()


def _older_mode(body: MemoryFields) -> Mode | None:
    if body.inject_context is None:
        return None
    return "on" if body.inject_context else "write"


def _first(headers: Mapping[bytes, bytes], names: tuple[bytes, ...]) -> str | None:
    for name in names:
        value = headers.get(name)
        if value:
            return header_text(value).strip() or None
    return None


def _mode(text: str | None) -> Mode | None:
    if text is None:
        return None
    for mode in get_args(Mode):
        if text.lower() == mode:
            return mode  # type: ignore[no-any-return]
    raise InvalidRequest("the header x-cmg-memory must be on, off, read or write", param="x-cmg-memory")


def _number(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdecimal() or len(text) > 9:
        raise InvalidRequest("the header x-cmg-memory-budget must be a number", param="x-cmg-memory-budget")
    return int(text)


def _id(text: str | None, name: str) -> str | None:
    if text is None:
        return None
    if len(text) > _ID_MAX:
        raise InvalidRequest(f"{name} may have at most {_ID_MAX} characters", param=name)
    if "\0" in text:
        raise InvalidRequest(f"{name} may not hold a NUL character", param=name)
    return text
