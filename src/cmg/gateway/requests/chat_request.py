"""A chat completion as the gateway sees it: what it must know, and how to write the body again for an upstream."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from cmg.gateway.requests.json_body import Fields, is_model_ambiguous, raw, read_fields, write_fields
from cmg.gateway.requests.memory_fields import OUR_FIELDS, MemoryFields, MemoryWish, read_wish
from cmg.kit.asgi import decode
from cmg.kit.errors import InvalidRequest

_MODELS_MAX = 16
_CHOICES_MAX = 128
_BASE64 = b";base64,"
_INLINE = re.compile(rb";base64,[A-Za-z0-9+/=\\]*+")
_IMAGE = b'"image_url"'
_LINKED = re.compile(rb'"image_url"\s*:\s*[{"](?:\s*"detail"\s*:\s*"\w*"\s*,)?(?:\s*"url"\s*:\s*")?\s*https?:')
_IMAGE_BYTES = 4000


class Message(msgspec.Struct, gc=False):
    """One message, as far as memory and recall look at it."""

    role: str
    content: str | list[Any] | None = None
    name: str | None = None
    memory: bool | None = None

    @property
    def text(self) -> str:
        """The text of the content; parts that are no text (images, audio) are left out."""
        if isinstance(self.content, str):
            return self.content
        parts = [part.get("text") for part in self.content or () if isinstance(part, dict)]
        return "\n".join(part for part in parts if isinstance(part, str))


class StreamOptions(msgspec.Struct, gc=False):
    """OpenAI's `stream_options`."""

    include_usage: bool | None = None


class ChatBody(MemoryFields, gc=False):
    """The typed part of the body; every other field passes through."""

    model: str | None = None
    messages: list[Message] | None = None
    models: list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None


class Injected(msgspec.Struct, frozen=True, gc=False):
    """What memory changes in a request: a note as a message in JSON, and the places of messages that are left out."""

    note: bytes | None = None
    left_out: frozenset[int] = frozenset()


UNCHANGED = Injected()
_body = msgspec.json.Decoder(ChatBody)
_messages = msgspec.json.Decoder(list[msgspec.Raw])


class ChatRequest:
    """A checked request: `model` as asked (or the key's default), `messages`, `stream`, `n`, and the memory's wish."""

    __slots__ = ("_body", "_fields", "max_tokens", "messages", "model", "models", "n", "stream", "wants_usage", "wish")

    def __init__(self, body: bytes, fields: Fields, typed: ChatBody, model: str, wish: MemoryWish) -> None:
        self._body, self._fields = body, fields
        self.messages: list[Message] = typed.messages or []
        self.model, self.wish = model, wish
        self.models = typed.models or []
        self.stream = bool(typed.stream)
        self.wants_usage = typed.stream_options is not None and bool(typed.stream_options.include_usage)
        self.n = typed.n or 1
        self.max_tokens = typed.max_completion_tokens or typed.max_tokens

    @property
    def size(self) -> int:
        """Bytes of the body as text, for estimates: an image counts as a flat 4,000, about 1,000 tokens."""
        return _size(self._body)

    @property
    def is_escaped(self) -> bool:
        """Whether letters beyond ASCII stand as escapes in the body: six bytes each."""
        return self._body.isascii()

    def texts(self, left_out: frozenset[int] = frozenset()) -> list[str]:
        """The messages' texts, but of those at these places."""
        return [message.text for place, message in enumerate(self.messages) if place not in left_out]

    def message_sizes(self) -> list[int]:
        """The same of each message."""
        return [_size(bytes(part)) for part in _messages.decode(self._fields["messages"])]

    def last_user(self) -> int | None:
        """The place of the last user message that memory may see."""
        for place in range(len(self.messages) - 1, -1, -1):
            if self.messages[place].role == "user":
                return place
        return None

    def body_for(
        self,
        model: str,
        *,
        injected: Injected = UNCHANGED,
        models: list[str] | None = None,
        prefill: str | None = None,
        ask_usage: bool = False,
    ) -> bytes:
        """The body for an upstream: its name for the model, our fields stripped, the note before the last user message.

        What is left out never holds that message. `models`: fallbacks that the upstream itself shall try, by its own
        names. `prefill`: what was answered already, as a last assistant message that the upstream goes on from.
        `ask_usage`: the stream shall report its usage.
        """
        fields = self._fields
        ours = [name for name in OUR_FIELDS if name in fields]
        marked = any(message.memory is not None for message in self.messages)
        other_models = "models" in fields and models != self.models
        named = self._is_named(model) and not is_model_ambiguous(self._body)
        as_it_came = not ours and not marked and not other_models and named and not ask_usage
        if as_it_came and injected == UNCHANGED and prefill is None:
            return self._body
        sent = dict(fields)
        for name in ours:
            del sent[name]
        if other_models:
            del sent["models"]
            if models is not None:
                sent["models"] = raw(models)
        if not named:
            sent["model"] = raw(model)
        if marked or injected != UNCHANGED or prefill is not None:
            sent["messages"] = self._messages(injected, prefill)
        if ask_usage:
            sent["stream_options"] = self._options_with_usage()
        return write_fields(sent)

    def _options_with_usage(self) -> msgspec.Raw:
        options = msgspec.json.decode(self._fields.get("stream_options", b"null"), type=Fields | None) or {}
        return raw({**options, "include_usage": True})

    def _is_named(self, model: str) -> bool:
        return model == self.model and "model" in self._fields

    def _messages(self, injected: Injected, prefill: str | None) -> msgspec.Raw:
        parts = [bytes(part) for part in _messages.decode(self._fields["messages"])]
        for place, message in enumerate(self.messages):
            if message.memory is not None:
                kept = msgspec.json.decode(parts[place], type=Fields)
                del kept["memory"]
                parts[place] = write_fields(kept)
        last = self.last_user()
        if injected.note is not None and last is not None:
            parts[last] = injected.note + b"," + parts[last]
        if injected.left_out:
            parts = [part for place, part in enumerate(parts) if place not in injected.left_out]
        if prefill is not None:
            parts.append(msgspec.json.encode({"role": "assistant", "content": prefill}))
        return msgspec.Raw(b"[" + b",".join(parts) + b"]")


def _size(text: bytes) -> int:
    size = len(text)
    if _BASE64 in text:
        size += sum(_IMAGE_BYTES + found.start() - found.end() for found in _INLINE.finditer(text))
    if _IMAGE in text:
        size += _IMAGE_BYTES * sum(1 for _ in _LINKED.finditer(text))
    return size


def read_chat(body: bytes, headers: Mapping[bytes, bytes], default_model: str | None, depth_max: int) -> ChatRequest:
    """Decode and check. Raises `InvalidRequest` that names the field."""
    fields = read_fields(body, depth_max)
    typed = decode(_body, body)
    model = typed.model or default_model
    if not model:
        raise InvalidRequest("model is missing; name one, or give the key a default model", param="model")
    if typed.messages is None:
        raise InvalidRequest("messages is missing", param="messages")
    if not typed.messages:
        raise InvalidRequest("messages must hold at least one message", param="messages")
    _check_numbers(typed)
    return ChatRequest(body, fields, typed, model, read_wish(typed, headers))


def _check_numbers(typed: ChatBody) -> None:
    if typed.n is not None and not 1 <= typed.n <= _CHOICES_MAX:
        raise InvalidRequest(f"n must be between 1 and {_CHOICES_MAX}", param="n")
    for name in ("max_tokens", "max_completion_tokens"):
        value = getattr(typed, name)
        if value is not None and value < 1:
            raise InvalidRequest(f"{name} must be at least 1", param=name)
    if typed.models is not None and len(typed.models) > _MODELS_MAX:
        raise InvalidRequest(f"models may name at most {_MODELS_MAX} fallbacks", param="models")
