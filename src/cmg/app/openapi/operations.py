"""The data plane's operations, described by the structs that their handlers decode and encode."""

from dataclasses import dataclass
from typing import Any

import msgspec

from cmg.gateway.requests.chat_request import ChatBody
from cmg.gateway.requests.embeddings_request import EmbeddingsBody
from cmg.memory.api.control_schemas import (
    AddRequest,
    Deleted,
    EditRequest,
    Expanded,
    FeedbackAnswer,
    FeedbackRequest,
    MemoryItem,
    MemoryList,
    MemoryPage,
    Raw,
    SearchRequest,
    ThreadPage,
    ThreadView,
    UserRequest,
)
from cmg.memory.api.schemas import (
    IngestRequest,
    Operation,
    RecallAnswer,
    RecallRequest,
    WorkingSetAnswer,
    WorkingSetRequest,
)
from cmg.memory.control.erasure import Receipt


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


class HealthBody(msgspec.Struct):
    """`application/health+json`; without a key `status`, `level` and `serviceId` alone."""

    status: str
    level: str
    serviceId: str  # noqa: N815  the draft's name
    version: str | None = None
    releaseId: str | None = None  # noqa: N815  as above
    description: str | None = None
    levels: dict[str, str] | None = None
    checks: dict[str, list[dict[str, Any]]] | None = None
    transitions: list[dict[str, Any]] | None = None
    more: bool | None = None


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
    tag: str = "data plane"
    content: tuple[str, ...] = ("application/json",)


_CONTROL = (
    ("x-cmg-user", "header"),
    ("x-cmg-thread", "header"),
    ("x-cmg-agent", "header"),
    ("x-cmg-memory", "header"),
    ("x-cmg-memory-budget", "header"),
)

_HEALTH = ("application/health+json", "application/json")
_ID = (("id", "path"),)
_USER = (("user_id", "query"),)
_NARROW = (("agent_id", "query"), ("app_id", "query"), ("thread_id", "query"))
_PART = (("limit", "query"), ("cursor", "query"))

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
        "GET",
        "/v1/memories",
        "list_memories",
        "A user's memories, newest first; `kinds` are names with commas.",
        answer=MemoryPage,
        parameters=(*_USER, ("kinds", "query"), *_NARROW, *_PART),
    ),
    Described(
        "POST",
        "/v1/memories",
        "add_memory",
        "Remember a content, or messages as they were said.",
        AddRequest,
        MemoryList,
        status=201,
    ),
    Described(
        "DELETE",
        "/v1/memories",
        "delete_memories",
        "Delete what belongs to a user, an agent, an application or a thread; without any of them 400.",
        answer=Deleted,
        parameters=(("user_id", "query"), *_NARROW),
    ),
    Described(
        "POST",
        "/v1/memories/search",
        "search_memories",
        "The memories of a user that fit a query, best first.",
        SearchRequest,
        MemoryList,
    ),
    Described("GET", "/v1/memories/{id}", "get_memory", "One memory.", answer=MemoryItem, parameters=_ID),
    Described(
        "PUT",
        "/v1/memories/{id}",
        "edit_memory",
        "Change a memory; what it was stays in its history.",
        EditRequest,
        MemoryItem,
        parameters=_ID,
    ),
    Described(
        "DELETE",
        "/v1/memories/{id}",
        "delete_memory",
        "Delete a memory with its history.",
        answer=Deleted,
        parameters=_ID,
    ),
    Described(
        "GET",
        "/v1/memories/{id}/history",
        "memory_history",
        "All versions of a memory, oldest first.",
        answer=MemoryList,
        parameters=_ID,
    ),
    Described(
        "GET",
        "/v1/expand/{id}",
        "expand",
        "An item with its sources, versions, links, uses, and what its salience is made of.",
        answer=Expanded,
        parameters=_ID,
    ),
    Described(
        "GET",
        "/v1/expand/{id}/raw",
        "expand_raw",
        "An item's words and those of its sources.",
        answer=Raw,
        parameters=_ID,
    ),
    Described(
        "POST",
        "/v1/feedback",
        "feedback",
        "A judgement on an item; it moves the item's salience.",
        FeedbackRequest,
        FeedbackAnswer,
    ),
    Described(
        "GET",
        "/v1/threads",
        "list_threads",
        "A user's threads, newest first.",
        answer=ThreadPage,
        parameters=(*_USER, *_PART),
    ),
    Described(
        "GET",
        "/v1/threads/{id}",
        "get_thread",
        "One thread of a user with its items, oldest first.",
        answer=ThreadView,
        parameters=(*_ID, *_USER, *_PART),
    ),
    Described(
        "DELETE",
        "/v1/threads/{id}",
        "delete_thread",
        "Delete one thread of a user.",
        answer=Deleted,
        parameters=(*_ID, *_USER),
    ),
    Described(
        "POST",
        "/v1/export",
        "export_user",
        "Everything about a user as JSON lines (`application/x-ndjson`); the last line has the type `end`.",
        UserRequest,
    ),
    Described(
        "POST",
        "/v1/erase",
        "erase_user",
        "Erase a user from everywhere; the receipt counts what went.",
        UserRequest,
        Receipt,
    ),
    Described(
        "POST",
        "/mcp",
        "mcp",
        "The memory as tools, by the Model Context Protocol (streamable HTTP, without sessions).",
    ),
    Described(
        "POST",
        "/v1/workingset",
        "workingset",
        "What one needs to go on with a thread, by sections, within a budget of tokens.",
        WorkingSetRequest,
        WorkingSetAnswer,
    ),
    *(
        Described(
            "GET", path, name, summary, answer=HealthBody, parameters=parameters, tag="operations", content=_HEALTH
        )
        for path, name, summary, parameters in (
            ("/health", "health", "The level; with a key also that of every component.", ()),
            ("/health/detailed", "detailed_health_detailed_get", "Every component with all that was found.", ()),
            ("/health/dependencies", "dependencies_health_dependencies_get", "What the service depends on.", ()),
            ("/health/cache", "health_cache", "The cache, and Redis where there is one.", ()),
            ("/health/database", "health_database", "The database: answers, writes, connections, slowness.", ()),
            (
                "/health/history",
                "health_history",
                "Changes of levels, newest first.",
                (("component", "query"), ("limit", "query"), ("before", "query")),
            ),
        )
    ),
    *(
        Described("GET", f"/status/api/v2/{name}", f"status_{word}", f"{told} Public, as Statuspage's.")
        for name, word, told in (
            ("summary.json", "summary", "Components, open incidents, maintenances and the whole."),
            ("status.json", "whole", "The whole in one word."),
            ("components.json", "components", "How each component is."),
            ("incidents.json", "incidents", "Incidents of 90 days."),
            ("incidents/unresolved.json", "unresolved", "Open incidents."),
            ("scheduled-maintenances.json", "maintenances", "Announced maintenances."),
        )
    ),
)
