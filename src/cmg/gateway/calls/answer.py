"""Whole (not streamed) answers: which bodies are one, and what they used."""

from typing import Any

import msgspec

from cmg.gateway.calls.exchange import refuse
from cmg.gateway.calls.failure import NULL, is_null
from cmg.gateway.calls.usage import Usage, read_usage
from cmg.gateway.routing.router import Candidate
from cmg.gateway.upstreams.loose_json import loosely


class AnswerMessage(msgspec.Struct, gc=False):
    """The assistant's message."""

    content: Any = None  # usually a string; some upstreams send a list of parts


class AnswerChoice(msgspec.Struct, gc=False):
    """One choice of a completion."""

    message: AnswerMessage | None = None
    finish_reason: str | None = None
    error: msgspec.Raw = NULL


class ChatAnswer(msgspec.Struct, gc=False):
    """What is read of a chat completion; its bytes go to the client as they came."""

    choices: list[AnswerChoice]
    model: str | None = None
    told: msgspec.Raw = msgspec.field(default=NULL, name="usage")
    error: msgspec.Raw = NULL

    @property
    def text(self) -> str:
        """The text of the first choice."""
        message = self.choices[0].message
        return text_of(message.content) if message is not None else ""

    @property
    def finish_reason(self) -> str | None:
        """Of the first choice."""
        return self.choices[0].finish_reason

    @property
    def usage(self) -> Usage | None:
        """What the upstream counted."""
        return read_usage(self.told)


class EmbeddingsAnswer(msgspec.Struct, gc=False):
    """What is read of an embeddings answer."""

    data: list[msgspec.Raw]
    model: str | None = None
    told: msgspec.Raw = msgspec.field(default=NULL, name="usage")
    error: msgspec.Raw = NULL

    @property
    def usage(self) -> Usage | None:
        """What the upstream counted."""
        return read_usage(self.told)


_chat = msgspec.json.Decoder(ChatAnswer)
_embeddings = msgspec.json.Decoder(EmbeddingsAnswer)


def read_chat_answer(body: bytes, candidate: Candidate) -> ChatAnswer:
    """The completion. Raises `Failed` for errors with HTTP 200 and for bodies that are none."""
    try:
        answer = _chat.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        refuse(body, candidate, f"no chat completion ({error})")
    if not answer.choices or not is_null(answer.error):
        refuse(body, candidate, "a chat completion without choices")
    for choice in answer.choices:
        if choice.finish_reason == "error" and is_null(choice.error):
            refuse(body, candidate, "a chat completion that finished with an error")
        if not is_null(choice.error):
            refuse(b'{"error":%b}' % bytes(choice.error), candidate, "a choice with an error")
        if choice.message is None:
            refuse(body, candidate, "a choice without a message")
    return answer


def beside_text(body: bytes) -> int:
    """Bytes of what a completion holds beside its first text: tool calls, reasoning, further answers.

    For an estimate, where the upstream told no usage.
    """
    try:
        choices = loosely(body)["choices"]
    except ValueError:
        return 0
    size = 0
    for place, choice in enumerate(choices):
        told = {name: value for name, value in choice["message"].items() if value and name != "role"}
        if place == 0:
            told.pop("content", None)
        size += sum(len(msgspec.json.encode(value)) for value in told.values())
    return size


def read_embeddings_answer(body: bytes, candidate: Candidate) -> EmbeddingsAnswer:
    """The embeddings. Raises `Failed` as `read_chat_answer`."""
    try:
        answer = _embeddings.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        refuse(body, candidate, f"no embeddings ({error})")
    if not is_null(answer.error) or not answer.data:
        refuse(body, candidate, "no embeddings")
    return answer


def text_of(content: Any) -> str:
    """The text of a message's content: a string, or the text parts of a list."""
    if isinstance(content, str):
        return content
    parts = [part.get("text") for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    return "\n".join(part for part in parts if isinstance(part, str))
