"""What the events of one upstream's stream mean: text so far, finish reasons, usage, errors in mid-stream."""

import msgspec

from cmg.gateway.calls.failure import Failure, from_body, from_status, status_in
from cmg.gateway.calls.usage import Usage
from cmg.gateway.sse import SseEvent

DONE = b"[DONE]"
_NULLS = (b"null", b"[]", b'""', b"{}")


class Broken(Exception):
    """The stream cannot be trusted from here on; `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.kind)
        self.failure = failure


class Delta(msgspec.Struct, gc=False):
    """What a chunk adds. Everything but `content` that says something makes a stream impossible to continue."""

    content: str | None = None
    tool_calls: msgspec.Raw | None = None
    function_call: msgspec.Raw | None = None
    refusal: msgspec.Raw | None = None
    reasoning: msgspec.Raw | None = None
    reasoning_content: msgspec.Raw | None = None
    audio: msgspec.Raw | None = None


class Choice(msgspec.Struct, gc=False):
    """One choice of a chunk."""

    index: int = 0
    delta: Delta | None = None
    finish_reason: str | None = None


class Chunk(msgspec.Struct, gc=False):
    """One event's data."""

    choices: list[Choice] | None = None
    usage: Usage | None = None
    error: msgspec.Raw | None = None
    model: str | None = None


_decode = msgspec.json.Decoder(Chunk).decode


class StreamReader:
    """The state of one attempt. `began`: something of the answer was there; `plain`: all of it is text of choice 0."""

    __slots__ = ("_open", "began", "done", "finish_reason", "model", "name", "other", "plain", "text", "usage")

    def __init__(self, choices: int, name: str) -> None:
        self.name = name
        self._open = set(range(choices))
        self.text: list[str] = []
        self.other = 0  # bytes of what is no content: tool calls, reasoning
        self.began = self.done = False
        self.plain = choices == 1
        self.finish_reason: str | None = None
        self.model: str | None = None
        self.usage: Usage | None = None

    @property
    def finished(self) -> bool:
        """Every choice has its finish reason."""
        return not self._open

    def take(self, event: SseEvent) -> None:
        """Look at one event. Raises `Broken` for an error in mid-stream and for what is no chunk."""
        if event.comment:
            return
        data = event.data
        if data == DONE:
            self.done = True
            return
        try:
            chunk = _decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Broken(from_body(f"an event of its stream is malformed ({error})", self.name)) from error
        if chunk.error is not None and bytes(chunk.error) != b"null":
            raise Broken(from_status(status_in(chunk.error), data, {}, self.name))
        if chunk.model is not None:
            self.model = chunk.model
        if chunk.usage is not None:
            self.usage = chunk.usage
        for choice in chunk.choices or ():
            if choice.delta is not None:
                self._add(choice.delta, choice.index)
            if choice.finish_reason is not None:
                self._finish(choice)

    def _add(self, delta: Delta, index: int) -> None:
        if delta.content:
            self.text.append(delta.content)
            self.began = True
            if index:
                self.plain = False
        for field in (delta.tool_calls, delta.function_call, delta.refusal, delta.reasoning, delta.reasoning_content):
            if field is not None and bytes(field) not in _NULLS:
                self._other(len(bytes(field)))
        if delta.audio is not None and bytes(delta.audio) not in _NULLS:
            self._other(len(bytes(delta.audio)))

    def _other(self, size: int) -> None:
        self.began, self.plain = True, False
        self.other += size

    def _finish(self, choice: Choice) -> None:
        self.began = True
        self.finish_reason = choice.finish_reason
        self._open.discard(choice.index)
        if choice.finish_reason == "error":
            raise Broken(from_body("its stream finished with an error", self.name))
