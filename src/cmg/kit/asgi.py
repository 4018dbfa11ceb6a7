"""The shape of a request on the raw ASGI routes (data plane and memory API), and how answers are sent.

No framework here: these few lines run on every call (see `docs/adr/0001-house.md`, hot path).
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import inspect

from cmg.kit.errors import CmgError, Encoded, InvalidRequest, TooLarge

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

T = TypeVar("T")

# Every escape is looked at, so that a backslash that is itself escaped begins none.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_FIELD = re.compile(r"(required|unknown) field `(.+?)`")
_STEP = r"\[.*?\]|[^.\[\]]+"
JSON_TYPE = (b"content-type", b"application/json")


CLIENT_GONE = 499  # what the access logs of proxies say when the client closed before the answer


class ClientGone(Exception):
    """The client closed its connection before the answer was finished."""


def header_text(value: bytes) -> str:
    """A header in UTF-8, as most clients send what is not ASCII, or else in Latin-1."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


class Request:
    """One HTTP request: `method`, `path`, `headers` (lower-case names), `client` address, lazy body."""

    __slots__ = ("client", "headers", "method", "path", "receive", "scope")

    def __init__(self, scope: Scope, receive: Receive, client: str) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.client = client
        self.receive = receive

    def header(self, name: bytes) -> str | None:
        """A header's value as text, or None."""
        value = self.headers.get(name)
        return None if value is None else header_text(value)

    def query(self) -> dict[str, str]:
        """The query string; a repeated name keeps its last value."""
        return dict(parse_qsl(self.scope["query_string"].decode("latin-1"), keep_blank_values=True))

    async def body(self, limit: int) -> bytes:
        """The whole body. Raises `TooLarge` over `limit` bytes, `Encoded`, and `ClientGone` when it never ends."""
        coding = self.headers.get(b"content-encoding", b"identity")
        if coding != b"identity":
            raise Encoded(f"the body is sent as `{header_text(coding)}`; send it without `Content-Encoding`")
        declared = self.headers.get(b"content-length")
        if declared is not None and declared.isdigit() and int(declared) > limit:
            raise TooLarge(f"the body has {int(declared)} bytes; the limit is {limit}")
        message = await self.receive()
        if message["type"] == "http.request" and not message.get("more_body"):
            whole: bytes = message.get("body", b"")
            if len(whole) > limit:
                raise TooLarge(f"the body is larger than the limit of {limit} bytes")
            return whole
        return await self._rest(message, limit)

    async def _rest(self, message: Message, limit: int) -> bytes:
        parts, size = [], 0
        while True:
            if message["type"] != "http.request":
                raise ClientGone
            part = message.get("body", b"")
            size += len(part)
            if size > limit:
                raise TooLarge(f"the body is larger than the limit of {limit} bytes")
            parts.append(part)
            if not message.get("more_body"):
                return b"".join(parts)
            message = await self.receive()


Handler = Callable[[Request, Send], Awaitable[None]]


def decode(decoder: "msgspec.json.Decoder[T]", body: bytes) -> T:
    """Decode a JSON body; what does not fit becomes an `InvalidRequest` that names the field.

    Half of a surrogate pair, which is left of an emoji where a text was cut, becomes the replacement character.
    """
    try:
        try:
            return decoder.decode(body)
        except msgspec.DecodeError as error:
            whole = body if isinstance(error, msgspec.ValidationError) else _whole(body)
            if whole == body:
                raise
            return decoder.decode(whole)
    except msgspec.ValidationError as error:
        raise misfit(error, decoder.type) from error
    except RecursionError as error:
        raise InvalidRequest("the body is nested too deeply", code="too_deep") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"the body is not valid JSON: {error}", code="invalid_json") from error


def misfit(error: msgspec.ValidationError, shape: Any) -> InvalidRequest:
    """What does not fit a declared shape, as an error that names the field, and what may stand there."""
    message, _, path = str(error).partition(" - at `$")
    place = field = path.rstrip("`").lstrip(".")
    named = _FIELD.search(message)
    if named is not None:
        field = f"{field}.{named[2]}".lstrip(".")
    told = f"{field}: {message}" if field else message
    if (named is not None and named[1] == "unknown") or message.startswith("Invalid enum value"):
        told += f"; known are {', '.join(_known(inspect.type_info(shape), re.findall(_STEP, place)))}"
    return InvalidRequest(told, param=field or None)


def _known(shape: Any, steps: list[str]) -> Iterator[str]:
    """The words, or the names of fields, that a shape takes at a place within it."""
    if isinstance(shape, inspect.UnionType):
        for one in shape.types:
            yield from _known(one, steps)
    elif isinstance(shape, inspect.StructType):
        for field in shape.fields:
            if not steps:
                yield f"`{field.encode_name}`"
            elif field.encode_name == steps[0]:
                yield from _known(field.type, steps[1:])
    elif isinstance(shape, inspect.LiteralType) and not steps:
        yield from map(str, shape.values)
    elif steps:
        within = getattr(shape, "item_type", None) or getattr(shape, "value_type", None)
        yield from () if within is None else _known(within, steps[1:])


def _whole(body: bytes) -> bytes:
    """The body without escapes that are half a surrogate pair."""
    return _ESCAPE.sub(lambda found: b"\\ufffd" if found["half"] else found[0], body)


async def send_response(send: Send, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """Send a whole answer with its length."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-length", str(len(body)).encode()), *headers],
        }
    )
    await send({"type": "http.response.body", "body": body})


async def send_json(send: Send, status: int, value: Any, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """Send a value as JSON."""
    await send_response(send, status, msgspec.json.encode(value), (JSON_TYPE, *headers))


async def send_error(send: Send, error: CmgError, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """Send the OpenAI error body of an error, with the headers it carries (`Retry-After`)."""
    own = [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
    await send_response(send, error.status, error.json(), (JSON_TYPE, *own, *headers))
