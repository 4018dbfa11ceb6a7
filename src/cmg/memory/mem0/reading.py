"""Requests of mem0's clients as the room's own values. Fields that steer mem0's own models are taken and ignored."""

import ast
from collections.abc import Mapping
from datetime import UTC, datetime, time
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from cmg.kit.asgi import decode
from cmg.kit.errors import InvalidRequest
from cmg.memory.api.control_schemas import EditRequest
from cmg.memory.api.reading import instant, moment, text_of
from cmg.memory.api.schemas import (
    MESSAGE_CHARACTERS,
    MESSAGES,
    USER_CHARACTERS,
    Id,
    IngestMessage,
    IngestRequest,
    Moment,
    Question,
)
from cmg.memory.items.models import ITEM_CHARACTERS
from cmg.memory.models import KEPT_ROLES
from cmg.memory.text.cleaning import is_blank

BATCH = 1000
_TOP_K = 500
_FILTERS = 4 * USER_CHARACTERS + 200
_KEPT = ("user_id", "agent_id", "app_id", "run_id")


class Said(msgspec.Struct, frozen=True):
    """One message; `content` may be a part or a list of parts, of which the texts count."""

    role: str
    content: str | list[dict[str, Any]] | dict[str, Any] | None = None
    name: str | None = None


class Add(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /v3/memories/add/`. Who it is may stand in the body or in `filters`."""

    messages: Annotated[list[Said], Meta(min_length=1, max_length=MESSAGES)]
    user_id: str | None = None
    agent_id: Id | None = None
    app_id: Id | None = None
    run_id: Id | None = None
    filters: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    infer: bool = True
    timestamp: Moment | None = None
    expiration_date: str | None = None


class GetAll(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /v3/memories/`."""

    filters: dict[str, Any] | None = None
    start_date: str | None = None
    end_date: str | None = None
    categories: Annotated[list[str], Meta(max_length=100)] | None = None
    fields: list[str] | None = None


class Find(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /v3/memories/search/`."""

    query: Annotated[Question, Meta(min_length=1)]
    filters: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    top_k: Annotated[int, Meta(ge=1, le=_TOP_K)] = 10
    threshold: float | None = None
    categories: Annotated[list[str], Meta(max_length=100)] | None = None
    fields: list[str] | None = None


class Edit(msgspec.Struct, frozen=True, kw_only=True):
    """`PUT /v1/memories/{id}/`, and one entry of a batch."""

    memory_id: str | None = None
    text: str | UnsetType = UNSET
    metadata: dict[str, Any] | UnsetType | None = UNSET
    timestamp: Moment | UnsetType = UNSET
    expiration_date: str | UnsetType | None = UNSET


class Batch(msgspec.Struct, frozen=True):
    """`PUT` and `DELETE /v1/batch/`."""

    memories: Annotated[list[Edit], Meta(min_length=1, max_length=BATCH)]


class Opinion(msgspec.Struct, frozen=True):
    """`POST /v1/feedback/`."""

    memory_id: str
    feedback: str | None = None
    feedback_reason: Annotated[str, Meta(max_length=1000)] | None = None


_edit = msgspec.json.Decoder(Edit)


def edit_of(body: bytes) -> EditRequest:
    """What a client of mem0 changes."""
    return edit_from(decode(_edit, body))


def edit_from(asked: Edit) -> EditRequest:
    """The same of one entry."""
    expires = asked.expiration_date
    if all(one is UNSET for one in (asked.text, asked.metadata, asked.timestamp, expires)):
        raise InvalidRequest("say what to change: `text`, `metadata`, `timestamp` or `expiration_date`", param="text")
    if asked.text is not UNSET and (is_blank(asked.text) or len(asked.text) > ITEM_CHARACTERS):
        raise InvalidRequest(f"`text` must have 1 to {ITEM_CHARACTERS} characters", param="text")
    if asked.timestamp is not UNSET:
        moment(asked.timestamp, "timestamp")
    return EditRequest(
        content=asked.text,
        metadata=asked.metadata,
        valid_from=asked.timestamp,
        expires_at=expires if expires is UNSET or expires is None else _end_of(expires),
    )


def ingest_of(asked: Add) -> IngestRequest:
    """What an add asks to remember. Without a user the agent, application or run is one of its own."""
    who = {**{name: (asked.filters or {}).get(name) for name in _KEPT}, **_given(asked)}
    for name, value in who.items():
        if value is not None and not (isinstance(value, str) and 1 <= len(value) <= USER_CHARACTERS):
            raise InvalidRequest(f"`{name}` must be a name of 1 to {USER_CHARACTERS} characters", param=name)
    said = (_message(one, place) for place, one in enumerate(asked.messages) if one.role in KEPT_ROLES)
    return IngestRequest(
        user_id=owner_name(who),
        agent_id=who["agent_id"],
        app_id=who["app_id"],
        thread_id=who["run_id"],
        messages=[one for one in said if not is_blank(str(one.content))],
        created_at=moment_of(asked.timestamp),
        metadata=asked.metadata,
    )


def moment_of(timestamp: Moment | None) -> str | None:
    """When it was said. Raises `InvalidRequest` in the words of the client."""
    known = moment(timestamp, "timestamp")
    return None if known is None else known.isoformat()


def owner_name(who: dict[str, Any]) -> str:
    """Whose memory it is: the user's, else one that the agent, application or run has for itself."""
    if who.get("user_id"):
        return str(who["user_id"])
    for name in ("agent_id", "app_id", "run_id"):
        if who.get(name):
            return f"{name.removesuffix('_id')}:{who[name]}"
    raise InvalidRequest("say whose memory it is: `user_id`, `agent_id`, `app_id` or `run_id`", param="user_id")


def expires_of(asked: Add) -> str | None:
    """When an added memory ends."""
    return None if asked.expiration_date is None else _end_of(asked.expiration_date)


def doomed_of(query: Mapping[str, str]) -> dict[str, str]:
    """Whose memories a deletion names in `filters`, which clients write into the query as Python writes an object.

    Raises `InvalidRequest` for anything but names of one user, agent, application and run: nothing is deleted then.
    """
    if "filters" not in query:
        return {}
    wrong = InvalidRequest(
        f"`filters` of a deletion names at most one of each of {', '.join(_KEPT)}; nothing was deleted",
        param="filters",
    )
    try:
        given = ast.literal_eval(query["filters"][:_FILTERS])
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise wrong from None
    if not isinstance(given, dict) or not given:
        raise wrong
    for name, value in given.items():
        if name not in _KEPT or not isinstance(value, str) or value in {"", "*"} or query.get(name, value) != value:
            raise wrong
    return given


def _given(asked: Add) -> dict[str, str]:
    return {name: value for name in _KEPT if (value := getattr(asked, name)) is not None}


def _message(said: Said, place: int) -> IngestMessage:
    content = [said.content] if isinstance(said.content, dict) else said.content
    param = f"messages[{place}].content"
    text = text_of(said.role, content, param)
    if len(text) > MESSAGE_CHARACTERS:
        raise InvalidRequest(f"a message may have {MESSAGE_CHARACTERS} characters at most", param=param)
    return IngestMessage(role=said.role, content=text, name=said.name)  # type: ignore[arg-type]


def _end_of(date: str) -> str:
    """The end of a day, or a moment as it stands."""
    try:
        end = instant(date)
    except (ValueError, OverflowError):
        raise InvalidRequest("`expiration_date` is a date as 2026-12-31", param="expiration_date") from None
    if len(date) == len("2026-12-31"):
        end = datetime.combine(end.date(), time(23, 59, 59), UTC)
    return end.isoformat()
