"""Requests as the room's own values; what is wrong becomes an `InvalidRequest` that names the field."""

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET

from cmg.kit.errors import InvalidRequest
from cmg.kit.parameters.texts import without_nul
from cmg.kit.turns import known_kinds
from cmg.memory.api.control_schemas import AddRequest, EditRequest, SearchRequest
from cmg.memory.api.schemas import (
    MESSAGE_CHARACTERS,
    IngestMessage,
    IngestRequest,
    Moment,
    RecallFilters,
    RecallRequest,
)
from cmg.memory.items.models import Changes, NewItem
from cmg.memory.models import (
    KEPT_ROLES,
    Filters,
    Kind,
    Message,
    Thread,
    content_id,
    content_thread,
    owner_of,
)
from cmg.memory.text.cleaning import bounded_id, clean, is_blank
from cmg.memory.text.passages import passages
from cmg.memory.text.redaction import Redactor

_METADATA_BYTES = 16 * 1024
_LATEST_S = 253_402_300_799  # the end of the year 9999
# The very first and last moment mean "no time" in .NET and infinity in PostgreSQL's driver: finite neighbours.
_FIRST = datetime(1, 1, 1, 0, 0, 1, tzinfo=UTC)
_LAST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
_MIDNIGHT = re.compile(r"([T ])24(?=:?00(?::?00(?:[.,]0*)?)?(?:$|[Zz+-]))")
_LEAP_SECOND = re.compile(r"([T ]\d\d:?\d\d:?)60(?=$|[.,Zz+-])")

Writer = tuple[str, str | None]  # the workspace, and the key in whose name users are stored


def messages_of(request: IngestRequest, writer: Writer, now: datetime, redactor: Redactor) -> list[Message]:
    """What an ingest asks to store, in order and redacted. `now` dates what has no time of its own."""
    given, kind = _given(request)
    texts = [text_of(one.role, one.content, f"messages[{place}].content") for place, one in enumerate(given)]
    thread = _thread(request, writer, [part for one in zip(given, texts, strict=True) for part in _named_by(*one)])
    metadata = redactor.json(json_of(request.metadata, "metadata"))
    usual = moment(request.created_at, "created_at") or now
    counts: dict[tuple[str, str | None, str], int] = {}
    messages = []
    for place, one in enumerate(given):
        content = redactor.text(clean(texts[place]))
        name = None if one.name is None else redactor.text(clean(one.name))
        if one.role not in KEPT_ROLES or is_blank(content):
            continue
        key = (one.role, name, content)
        counts[key] = counts.get(key, -1) + 1
        message = Message(
            thread=thread,
            message_id=bounded_id(one.id) if one.id else content_id(*key, counts[key]),
            role=one.role,
            name=name,
            content=content,
            created_at=moment(one.created_at, f"messages[{place}].created_at") or usual,
            kind=kind,
            metadata=metadata,
        )
        messages.append(message)
    return messages


def text_of(role: str, content: str | list[dict[str, Any]] | None, param: str) -> str:
    """What a message says: a content in parts is the text of its parts. Only who calls tools may say nothing."""
    if content is None and role == "user":
        raise InvalidRequest(f"`{param}` is missing: a user's message has a content", param=param)
    if not isinstance(content, list):
        return content or ""
    text = "\n".join(part["text"] for part in content if isinstance(part.get("text"), str))
    if len(text) > MESSAGE_CHARACTERS:
        raise InvalidRequest(f"a message may have {MESSAGE_CHARACTERS} characters at most", param=param)
    return text


def ids_of(messages: list[Message]) -> list[UUID]:
    """The ids of the messages' passages, repeated ones once."""
    ids = [one.item_id(part) for one in messages for part in range(len(passages(one.content, one.kind)))]
    return list(dict.fromkeys(ids))


def item_of(request: AddRequest, writer: Writer) -> NewItem:
    """A memory that a caller writes. Without a thread it stands in one of its own, named by its words."""
    content = clean(request.content or "")
    name = id_of(request.thread_id, "thread_id") or content_thread([content])
    owner = owner_of(writer[0], request.user_id)
    implicit = request.thread_id is None
    begins, ends = _span(request.valid_from, request.valid_to)
    return NewItem(
        thread=Thread(owner, name, implicit, *_programs(request), writer[1]),
        kind=request.kind,
        content=content,
        origin="caller",
        importance=request.importance,
        created_at=moment(request.created_at, "created_at"),
        valid_from=begins,
        valid_to=ends,
        expires_at=moment(request.expires_at, "expires_at"),
        metadata=json_of(request.metadata, "metadata"),
    )


def changes_of(request: EditRequest) -> Changes:
    """What an edit changes."""
    given = {name: getattr(request, name) for name in ("valid_from", "valid_to", "expires_at")}
    if UNSET not in (given["valid_from"], given["valid_to"]):
        _span(given["valid_from"], given["valid_to"])
    times = {name: value if value is UNSET else moment(value, name) for name, value in given.items()}
    metadata = request.metadata
    return Changes(
        content=request.content,
        metadata=metadata if metadata is UNSET else json_of(metadata, "metadata"),
        importance=request.importance,
        **times,
    )


def search_filters(request: SearchRequest) -> Filters:
    """What a search is narrowed to."""
    return filters_of(
        RecallRequest(user_id=request.user_id, kinds=request.kinds, filters=request.filters, as_of=request.as_of)
    )


def filters_of(request: RecallRequest) -> Filters:
    """What a recall is narrowed to."""
    narrow = request.filters or RecallFilters()
    return Filters(
        kinds=None if request.kinds is None else msgspec.json.encode(known_kinds(request.kinds, "kinds")).decode(),
        thread_id=id_of(narrow.thread_id, "filters.thread_id"),
        agent_id=id_of(narrow.agent_id, "filters.agent_id"),
        app_id=id_of(narrow.app_id, "filters.app_id"),
        role=narrow.role,
        since=moment(narrow.created_after, "filters.created_after"),
        until=moment(narrow.created_before, "filters.created_before"),
        as_of=moment(request.as_of, "as_of"),
        metadata=json_of(narrow.metadata, "filters.metadata"),
    )


def moment(value: Moment | None, param: str) -> datetime | None:
    """A time given as RFC 3339 (UTC when it names no zone) or in epoch seconds."""
    if value is None:
        return None
    try:
        if isinstance(value, str):
            return instant(value)
        if math.isfinite(value) and 0 <= value <= _LATEST_S:
            return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError):
        pass
    raise InvalidRequest(f"`{param}` must be an RFC 3339 time or seconds since 1970", param=param)


def instant(text: str) -> datetime:
    """A time of RFC 3339 or ISO 8601 in UTC, where it names no zone as UTC too. Raises `ValueError`.

    Also what Python does not read: a small `z`, a leap second (the second before it), and 24:00 (the next day's 0:00).
    A zone does not carry it out of the years 1 to 9999.
    """
    late = _MIDNIGHT.search(text)
    given = _LEAP_SECOND.sub(r"\g<1>59", _MIDNIGHT.sub(r"\g<1>00", text).replace("z", "Z"))
    read = datetime.fromisoformat(given) + timedelta(days=1 if late else 0)
    zone = read.utcoffset() or timedelta()
    read = read.replace(tzinfo=UTC)
    return min(max(read, _FIRST + max(zone, timedelta())), _LAST + min(zone, timedelta())) - zone


def _span(begins: Moment | None, ends: Moment | None) -> tuple[datetime | None, datetime | None]:
    """When something is true. Raises `InvalidRequest` for an end before the begin."""
    since, until = moment(begins, "valid_from"), moment(ends, "valid_to")
    if since is not None and until is not None and until < since:
        raise InvalidRequest("`valid_to` must not lie before `valid_from`", param="valid_to")
    return since, until


def json_of(value: dict[str, Any] | None, param: str) -> str | None:
    """A JSON object as PostgreSQL can keep it."""
    if value is None:
        return None
    text = msgspec.json.encode(value).decode()
    if len(text) > _METADATA_BYTES:
        raise InvalidRequest(f"`{param}` has {len(text)} bytes of JSON; the limit is {_METADATA_BYTES}", param=param)
    if "\\u0000" in text:
        raise InvalidRequest(f"`{param}` must not hold NUL characters", param=param)
    return text


def _given(request: IngestRequest) -> tuple[list[IngestMessage], Kind]:
    """The messages of a request and their kind; a content is one message of the user."""
    if request.messages is not None and request.content is not None:
        raise InvalidRequest("send `messages` or `content`, not both", param="content")
    kind: Kind = "message" if request.content_type in {None, "chat"} else request.content_type  # type: ignore[assignment]
    if request.messages:
        return request.messages, kind
    if request.content is None:
        raise InvalidRequest("send `messages`, or `content` with its `content_type`", param="messages")
    return [IngestMessage(role="user", content=request.content)], kind


def _named_by(message: IngestMessage, text: str) -> tuple[str, str, str]:
    return (message.id or "", message.role, text)


def _thread(request: IngestRequest, writer: Writer, said: list[str]) -> Thread:
    owner = owner_of(writer[0], request.user_id)
    name = id_of(request.thread_id, "thread_id") or content_thread(said)
    return Thread(owner, name, request.thread_id is None, *_programs(request), writer[1])


def _programs(request: IngestRequest | AddRequest) -> tuple[str | None, str | None]:
    return id_of(request.agent_id, "agent_id"), id_of(request.app_id, "app_id")


def id_of(value: str | None, param: str) -> str | None:
    """An id as it is stored. Raises `InvalidRequest` for one with a NUL, as a chat call does."""
    return None if value is None else bounded_id(str(without_nul(param, value)))
