"""Going on with another candidate after a cut: only so that the client's text stays whole."""

from typing import Any

import msgspec

from cmg.gateway.calls.failure import from_body
from cmg.gateway.sse import SseEvent
from cmg.gateway.streams.reader import Broken, StreamReader
from cmg.gateway.upstreams.loose_json import loosely


class Continuation:
    """Takes a new answer from its beginning and lets through what comes behind the text that was sent already."""

    def __init__(self, sent: str, name: str) -> None:
        self._sent, self._name = sent, name
        self._at = 0
        self.left = ""  # the text behind the cut, of the event in which it was reached
        self.over = not sent

    def rest(self, event: SseEvent, reader: StreamReader, before: int) -> bytes:
        """What of this event goes to the client; `before`: how many texts the reader had before it.

        Raises `Broken` as soon as the new answer says something else, or ends within what was sent.
        """
        if self.over:
            return event.raw
        if not reader.plain:
            raise Broken(from_body("its answer is of another kind than the one that was cut", self._name))
        said = "".join(reader.text[before:])
        expected = self._sent[self._at : self._at + len(said)]
        if not said.startswith(expected):
            raise Broken(from_body("its answer differs from the one that was cut", self._name))
        self._at += len(said)
        self.over = self._at >= len(self._sent)
        if reader.finished and self._at < len(self._sent):
            raise Broken(from_body("its answer is shorter than the one that was cut", self._name))
        if not self.over or event.comment:
            return b""
        self.left = said[len(expected) :]
        if self.left or reader.finished:
            try:
                return _rewritten(event.data, self.left)
            except (ValueError, RecursionError) as error:
                raise Broken(from_body("an event of its stream cannot be read whole", self._name)) from error
        return b""


def _rewritten(data: bytes, content: str) -> bytes:
    """The event with another content in its first choice."""
    chunk: dict[str, Any] = loosely(data)
    for choice in chunk.get("choices") or ():
        delta = choice.get("delta")
        if choice.get("index", 0) == 0 and isinstance(delta, dict) and "content" in delta:
            delta["content"] = content
    return b"data: " + msgspec.json.encode(chunk) + b"\n\n"
