"""What the simulator says: pure functions from a request to an answer in OpenAI's shapes."""

import base64
import hashlib
import math
import re
import struct
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from cmg.kit.turns import NOTE_MARK

CONTEXT_TOKENS = 1_000_000
_PIECES_MAX = 64  # of a stream, however long its text
_EMBED_DIMENSIONS = 256
_BULLET = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+")
_WORD = re.compile(r"\w+")
_CHAT = {
    "echo": "Repeats the last user message.",
    "memory": "Tells the memories it was given, numbered.",
    "fail-503": "Answers every call with 503.",
    "slow": "As sim/echo, with a second of silence first.",
    "cut": "As sim/echo, broken off half-way.",
}


def _entry(name: str, description: str, prompt: str, completion: str) -> dict[str, Any]:
    return {
        "id": f"sim/{name}",
        "object": "model",
        "created": 1700000000,
        "owned_by": "simulator",
        "name": f"Simulator: {name}",
        "description": description,
        "context_length": CONTEXT_TOKENS,
        "pricing": {"prompt": prompt, "completion": completion},  # strings, USD per token, as OpenRouter lists them
    }


# As `GET /models` answers them.
SIMULATOR_MODELS: list[dict[str, Any]] = [
    *(_entry(name, description, "0.0000001", "0.0000004") for name, description in _CHAT.items()),
    _entry("embed", "Makes vectors in which texts that share words are near.", "0.00000002", "0"),
]


class Message(msgspec.Struct, gc=False):
    """What the simulator looks at in a message."""

    role: str
    content: str | list[dict[str, Any]] | None = None

    @property
    def text(self) -> str:
        """Its text; a part that is no text shows as its type in brackets."""
        if not isinstance(self.content, list):
            return self.content or ""
        return "\n".join(str(part.get("text", f"[{part.get('type', 'part')}]")) for part in self.content)


class StreamOptions(msgspec.Struct):
    """`stream_options`."""

    include_usage: bool | None = None


class _Request(msgspec.Struct):
    model: str

    @property
    def kind(self) -> str:
        """The model without its prefix."""
        return self.model.removeprefix("sim/")


class ChatRequest(_Request):
    """What the simulator looks at in a chat request."""

    messages: Annotated[list[Message], Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None

    @property
    def tokens_max(self) -> int | None:
        """How long the answer may be."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def prompt_tokens(self) -> int:
        """The size of all messages."""
        return sum(4 + tokens_of(message.text) for message in self.messages)


class EmbeddingRequest(_Request):
    """What the simulator looks at in an embedding request."""

    input: str | list[str | int | list[int]]
    dimensions: Annotated[int, Meta(ge=1, le=4096)] | None = None
    encoding_format: str | None = None


class Refusal(Exception):
    """An answer that is an error."""

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None, kind: str = ""
    ) -> None:
        super().__init__(message)
        kind = kind or ("invalid_request_error" if status < 500 else "server_error")
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}


def tokens_of(text: str) -> int:
    """About how many tokens a text has: four characters each. Cheap, and the same every time."""
    return (len(text) + 3) // 4


def refusal_of(request: ChatRequest) -> Refusal | None:
    """Why a chat request is not answered, if it is not."""
    if request.kind == "fail-503":
        return Refusal(503, "the simulator is overloaded on purpose", code="overloaded")
    if request.kind == "embed":
        return Refusal(400, f"{request.model} is no chat model", param="model", code="model_not_supported")
    if request.kind not in _CHAT:
        return _unknown(request.model)
    if request.prompt_tokens > CONTEXT_TOKENS:
        message = f"the messages hold {request.prompt_tokens} tokens, this model takes {CONTEXT_TOKENS}"
        return Refusal(400, message, param="messages", code="context_length_exceeded")
    return None


def _unknown(model: str) -> Refusal:
    known = ", ".join(entry["id"] for entry in SIMULATOR_MODELS)
    return Refusal(404, f"the simulator has no model {model!r}; it has {known}", param="model", code="model_not_found")


def _said(request: ChatRequest) -> tuple[str, str]:
    """The answer's text and finish reason."""
    text = _memories(request) if request.kind == "memory" else _last_user_text(request)
    limit = request.tokens_max
    if limit is not None and tokens_of(text) > limit:
        return text[: 4 * limit], "length"
    return text, "stop"


def _last_user_text(request: ChatRequest) -> str:
    said = [message for message in request.messages if message.role == "user"] or request.messages
    return said[-1].text


def _memories(request: ChatRequest) -> str:
    """The entries of the injected note, one a line, numbered from 1."""
    notes = [message.text for message in request.messages if message.text.startswith(NOTE_MARK)]
    if not notes:
        return "I was given no memories."
    lines = [line for line in notes[-1].splitlines()[1:] if line.strip()]
    entries = [line for line in lines if _BULLET.match(line)] or lines
    if not entries:
        return "I was given no memories."
    return "\n".join(f"{number}. {_BULLET.sub('', line).strip()}" for number, line in enumerate(entries, 1))


def _usage(request: ChatRequest, text: str) -> dict[str, int]:
    prompt, completion = request.prompt_tokens, (request.n or 1) * tokens_of(text)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def chat_answer(request: ChatRequest, number: str, created: int) -> dict[str, Any]:
    """A `chat.completion`. It has no `usage.cost`: the catalogue's price counts."""
    text, finish = _said(request)
    message = {"role": "assistant", "content": text}
    choices = [
        {"index": index, "message": message, "logprobs": None, "finish_reason": finish}
        for index in range(request.n or 1)
    ]
    head = {"id": f"chatcmpl-{number}", "object": "chat.completion", "created": created, "model": request.model}
    return {**head, "choices": choices, "usage": _usage(request, text)}


def chat_events(request: ChatRequest, number: str, created: int) -> list[bytes]:
    """The same as server-sent events, `[DONE]` last; with usage only when the request asks for it."""
    text, finish = _said(request)
    asked = request.stream_options is not None and bool(request.stream_options.include_usage)
    head = {"id": f"chatcmpl-{number}", "object": "chat.completion.chunk", "created": created}
    base: dict[str, Any] = {**head, "model": request.model, **({"usage": None} if asked else {})}
    deltas: list[tuple[dict[str, str], str | None]] = [({"role": "assistant", "content": ""}, None)]
    deltas += [({"content": piece}, None) for piece in _pieces(text)]
    deltas.append(({}, finish))
    chunks = [
        {**base, "choices": [{"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}]}
        for delta, reason in deltas
        for index in range(request.n or 1)
    ]
    if asked:
        chunks.append({**base, "choices": [], "usage": _usage(request, text)})
    return [*(b"data: " + msgspec.json.encode(chunk) + b"\n\n" for chunk in chunks), b"data: [DONE]\n\n"]


def _pieces(text: str) -> list[str]:
    """The text cut before its words, into a bounded number of pieces."""
    words = re.findall(r"\s*\S+|\s+$", text)
    together = math.ceil(len(words) / _PIECES_MAX) or 1
    return ["".join(words[at : at + together]) for at in range(0, len(words), together)]


def embedding_answer(request: EmbeddingRequest) -> dict[str, Any]:
    """Embeddings of the inputs, as floats or base64 (little-endian float32)."""
    if request.kind in _CHAT:
        raise Refusal(400, f"{request.model} is no embedding model", param="model", code="model_not_supported")
    if request.kind != "embed":
        raise _unknown(request.model)
    inputs = _inputs(request.input)
    data = []
    for index, text in enumerate(inputs):
        vector: Any = unit_vector(text, request.dimensions or _EMBED_DIMENSIONS)
        if request.encoding_format == "base64":
            vector = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
        data.append({"object": "embedding", "index": index, "embedding": vector})
    tokens = sum(tokens_of(text) for text in inputs)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": request.model, "usage": usage}


def _inputs(given: str | list[str | int | list[int]]) -> list[str]:
    """Every input as text; token numbers count as words."""
    if isinstance(given, str):
        return [given]
    if not given or len(given) > 2048:
        raise Refusal(400, "input holds between 1 and 2048 texts", param="input")
    if all(isinstance(item, int) for item in given):
        return [" ".join(map(str, given))]
    if any(isinstance(item, int) for item in given):
        raise Refusal(400, "input mixes texts and token numbers", param="input")
    return [item if isinstance(item, str) else " ".join(map(str, item)) for item in given]  # type: ignore[arg-type]


def unit_vector(text: str, dimensions: int) -> list[float]:
    """A vector of length 1: words hashed into places with signs, so that texts that share words are near."""
    places = [0.0] * dimensions
    for word in _WORD.findall(text.lower()) or [text]:
        digest = int.from_bytes(hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=8).digest(), "big")
        places[(digest >> 1) % dimensions] += 1.0 if digest & 1 else -1.0
    length = math.sqrt(sum(value * value for value in places))
    if not length:  # words that cancel each other out
        places[len(text) % dimensions] = length = 1.0
    return [value / length for value in places]
