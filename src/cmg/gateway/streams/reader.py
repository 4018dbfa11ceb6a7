"""What the events of one upstream's stream mean: text so far, finish reasons, usage, errors in mid-stream."""

from typing import Any

import msgspec

from cmg.gateway.calls.failure import NULL, Failure, error_within, from_body, from_status, is_null, status_in
from cmg.gateway.calls.usage import Usage, read_usage
from cmg.gateway.sse import SseEvent

DONE = b"[DONE]"
_ERROR = b"error"  # the name of an event that is one, whatever it holds
_EMPTY = frozenset({b"null", b"[]", b'""', b"{}"})


class Broken(Exception):
    """The stream cannot be trusted from here on; `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.kind)
        self.failure = failure


class Delta(msgspec.Struct, gc=False):
    """What a chunk adds. Everything but `content` that says something makes a stream impossible to continue."""

    content: Any = None  # usually a string; some upstreams send a list of parts
    tool_calls: msgspec.Raw = NULL
    function_call: msgspec.Raw = NULL
    refusal: msgspec.Raw = NULL
    reasoning: msgspec.Raw = NULL
    reasoning_content: msgspec.Raw = NULL
    reasoning_details: msgspec.Raw = NULL
    images: msgspec.Raw = NULL
    audio: msgspec.Raw = NULL


class Choice(msgspec.Struct, gc=False):
    """One choice of a chunk."""

    index: int | None = 0
    delta: Delta | None = None
    finish_reason: str | None = None
    error: msgspec.Raw = NULL


class Chunk(msgspec.Struct, gc=False):
    """One event's data."""

    choices: list[Choice] | None = None
    usage: msgspec.Raw = NULL
    error: msgspec.Raw = NULL
    model: str | None = None
    object: msgspec.Raw = NULL


_decode = msgspec.json.Decoder(Chunk).decode


class StreamReader:
    """The state of one attempt. `began`: something of the answer was there; `plain`: all of it is text of choice 0.

    `heard`: an event came that is no keep-alive. `told_usage`: the last event was nothing but the usage.
    """

    __slots__ = (
        "_open", "began", "done", "finish_reason", "heard", "model", "name", "other", "plain", "text",
        "told_usage", "usage",
    )  # fmt: skip

    def __init__(self, choices: int, name: str) -> None:
        self.name = name
        self._open = set(range(choices))
        self.text: list[str] = []
        self.other = 0  # bytes of what is no content of choice 0: tool calls, reasoning, further choices
        self.began = self.done = self.heard = self.told_usage = False
        self.plain = choices == 1
        self.finish_reason: str | None = None
        self.model: str | None = None
        self.usage: Usage | None = None

    @property
    def finished(self) -> bool:
        """Every choice has its finish reason."""
        return not self._open

    def take(self, event: SseEvent) -> None:
        """Look at one event. Raises `Broken` for an error in mid-stream and for what is no JSON.

        JSON of a shape that we do not know says nothing to us; it is passed on all the same.
        """
        if event.comment:
            return
        self.heard, data = True, event.data
        if data == DONE:
            self.done = True
            return
        try:
            chunk = _decode(data)
        except msgspec.ValidationError:
            chunk = self._unusual(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise (self._told(data) if event.name == _ERROR else self._malformed(error)) from error
        if event.name == _ERROR or not is_null(chunk.error) or bytes(chunk.object) == b'"error"':
            raise self._told(data)
        if chunk.model is not None:
            self.model = chunk.model
        if chunk.usage is not NULL:
            told = read_usage(chunk.usage)
            self.usage = told or self.usage
            self.told_usage = told is not None and not chunk.choices
        for choice in chunk.choices or ():
            if choice.error is not NULL and not is_null(choice.error):
                raise self._told(b'{"error":%b}' % bytes(choice.error))
            if choice.delta is not None:
                self._add(choice.delta, choice.index or 0)
            if choice.finish_reason is not None:
                self._finish(choice)

    def _told(self, data: bytes) -> Broken:
        """The error that the upstream told within its stream."""
        return Broken(from_status(status_in(error_within(data)), data, {}, self.name))

    def _unusual(self, data: bytes) -> Chunk:
        """An empty chunk for valid JSON of another shape, with its error if it is one."""
        try:
            value = msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._malformed(error) from error
        told = value.get("error") if isinstance(value, dict) else None
        return Chunk(error=msgspec.Raw(msgspec.json.encode(told)))

    def _malformed(self, error: Exception) -> Broken:
        return Broken(from_body(f"an event of its stream is malformed ({error})", self.name))

    def _add(self, delta: Delta, index: int) -> None:
        content = delta.content
        if content:
            self.began = True
            if isinstance(content, str) and not index:
                self.text.append(content)
            else:  # another choice's text stays out of the first one's
                self._other(len(msgspec.json.encode(content)))
        for field in (
            delta.tool_calls,
            delta.function_call,
            delta.refusal,
            delta.reasoning,
            delta.reasoning_content,
            delta.reasoning_details,
            delta.images,
            delta.audio,
        ):
            if field is not NULL and bytes(field) not in _EMPTY:
                self._other(len(bytes(field)))

    def _other(self, size: int) -> None:
        self.began, self.plain = True, False
        self.other += size

    def _finish(self, choice: Choice) -> None:
        if choice.finish_reason == "error":
            raise Broken(from_body("its stream finished with an error", self.name))
        self.began = True
        self.finish_reason = choice.finish_reason
        self._open.discard(choice.index or 0)
