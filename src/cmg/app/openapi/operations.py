"""The data plane's operations, described by the structs that their handlers decode and encode."""

from dataclasses import dataclass
from typing import Any

import msgspec

from cmg.gateway.requests.chat_request import ChatBody
from cmg.gateway.requests.embeddings_request import EmbeddingsBody
from cmg.memory.api.schemas import (
    IngestRequest,
    Operation,
    RecallAnswer,
    RecallRequest,
    WorkingSetAnswer,
    WorkingSetRequest,
)


class ChatCompletion(msgspec.Struct):
    """OpenAI's completion as the upstream wrote it; further fields pass through."""

    id: str
    object: str
    created: int
    model: str
    choices: list[dict[str, Any]]
    usage: dict[str, Any] | None = None


class Embeddings(msgspec.Struct):
    """OpenAI's embeddings as the upstream wrote them; further fields pass through."""

    object: str
    model: str
    data: list[dict[str, Any]]
    usage: dict[str, Any] | None = None


@dataclass(frozen=True)
class Described:
    """One operation: `parameters` are (name, place); `request` and `answer` are msgspec types."""

    method: str
    path: str
    name: str
    summary: str
    request: Any = None
    answer: Any = None
    status: int = 200
    parameters: tuple[tuple[str, str], ...] = ()


_CONTROL = (
    ("x-cmg-user", "header"),
    ("x-cmg-thread", "header"),
    ("x-cmg-agent", "header"),
    ("x-cmg-memory", "header"),
    ("x-cmg-memory-budget", "header"),
)

OPERATIONS: tuple[Described, ...] = (
    Described(
        "POST",
        "/v1/chat/completions",
        "chat_completions",
        "A chat completion, streamed or not, as OpenAI's; unknown fields pass through both ways.",
        ChatBody,
        ChatCompletion,
        parameters=(("Idempotency-Key", "header"), *_CONTROL),
    ),
    Described(
        "POST",
        "/v1/embeddings",
        "embeddings",
        "Embeddings, as OpenAI's; unknown fields pass through both ways.",
        EmbeddingsBody,
        Embeddings,
    ),
    Described("GET", "/v1/models", "list_models", "The models that this key may use."),
    Described(
        "GET", "/v1/models/{id}", "get_model", "One model; its id may hold slashes.", parameters=(("id", "path"),)
    ),
    Described(
        "POST",
        "/v1/ingest",
        "ingest",
        "Store turns or a document; with `wait` the answer is 200 and says what was stored.",
        IngestRequest,
        Operation,
        status=202,
    ),
    Described(
        "GET",
        "/v1/operations/{id}",
        "get_operation",
        "How an ingest stands.",
        answer=Operation,
        parameters=(("id", "path"),),
    ),
    Described(
        "POST",
        "/v1/recall",
        "recall",
        "What is remembered about a query or for a purpose.",
        RecallRequest,
        RecallAnswer,
    ),
    Described(
        "POST",
        "/v1/workingset",
        "workingset",
        "What one needs to go on with a thread, by sections, within a budget of tokens.",
        WorkingSetRequest,
        WorkingSetAnswer,
    ),
)
