"""Whole (not streamed) answers: which bodies are one, and what they used."""

import msgspec

from cmg.gateway.calls.exchange import refuse
from cmg.gateway.calls.usage import Usage
from cmg.gateway.routing.router import Candidate


class AnswerMessage(msgspec.Struct, gc=False):
    """The assistant's message."""

    content: str | None = None
    tool_calls: msgspec.Raw | None = None


class AnswerChoice(msgspec.Struct, gc=False):
    """One choice of a completion."""

    message: AnswerMessage | None = None
    finish_reason: str | None = None


class ChatAnswer(msgspec.Struct, gc=False):
    """What is read of a chat completion; its bytes go to the client as they came."""

    choices: list[AnswerChoice]
    model: str | None = None
    usage: Usage | None = None
    error: msgspec.Raw | None = None

    @property
    def text(self) -> str:
        """The text of the first choice."""
        message = self.choices[0].message
        return (message.content or "") if message is not None else ""

    @property
    def finish_reason(self) -> str | None:
        """Of the first choice."""
        return self.choices[0].finish_reason


class EmbeddingsAnswer(msgspec.Struct, gc=False):
    """What is read of an embeddings answer."""

    data: list[msgspec.Raw]
    model: str | None = None
    usage: Usage | None = None
    error: msgspec.Raw | None = None


_chat = msgspec.json.Decoder(ChatAnswer)
_embeddings = msgspec.json.Decoder(EmbeddingsAnswer)


def read_chat_answer(body: bytes, candidate: Candidate) -> ChatAnswer:
    """The completion. Raises `Failed` for errors with HTTP 200 and for bodies that are none."""
    try:
        answer = _chat.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        refuse(body, candidate, f"no chat completion ({error})")
    if not answer.choices or _is_error(answer.error) or answer.finish_reason == "error":
        refuse(body, candidate, "a chat completion without choices")
    return answer


def read_embeddings_answer(body: bytes, candidate: Candidate) -> EmbeddingsAnswer:
    """The embeddings. Raises `Failed` as `read_chat_answer`."""
    try:
        answer = _embeddings.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        refuse(body, candidate, f"no embeddings ({error})")
    if _is_error(answer.error) or not answer.data:
        refuse(body, candidate, "no embeddings")
    return answer


def _is_error(error: msgspec.Raw | None) -> bool:
    return error is not None and bytes(error) != b"null"
