"""What each tool takes; also the source of its JSON schema."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from cmg.memory.api.schemas import Id
from cmg.memory.items.models import ITEM_CHARACTERS

_FOUND_MAX = 100
User = Annotated[
    Id | None,
    Meta(description="Whose memory. Not needed where the connection says it with the header x-cmg-user."),
]
ItemId = Annotated[str, Meta(description="The memory's id, as search or a list gave it.")]
Content = Annotated[str, Meta(min_length=1, max_length=ITEM_CHARACTERS)]


class Whose(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Arguments that name a user."""

    user_id: User = None


class AddMemory(Whose, frozen=True):
    """`add_memory`."""

    content: Annotated[Content, Meta(description="One thing worth remembering, in a sentence that stands alone.")]
    agent_id: Id | None = None
    thread_id: Id | None = None
    metadata: dict[str, Any] | None = None


class SearchMemories(Whose, frozen=True):
    """`search_memories`."""

    query: Annotated[str, Meta(min_length=1, max_length=4000, description="What to look for, as a question or words.")]
    limit: Annotated[int, Meta(ge=1, le=_FOUND_MAX)] = 10


class GetMemories(Whose, frozen=True):
    """`get_memories`."""

    limit: Annotated[int, Meta(ge=1, le=_FOUND_MAX)] = 50
    cursor: Annotated[str | None, Meta(description="`next` of the part before.")] = None


class GetMemory(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`get_memory` and `delete_memory`."""

    memory_id: ItemId


class UpdateMemory(GetMemory, frozen=True):
    """`update_memory`."""

    content: Content


class DeleteAllMemories(Whose, frozen=True):
    """`delete_all_memories`."""


def schema_of(arguments: type[msgspec.Struct]) -> dict[str, Any]:
    """The JSON schema of a tool's arguments, an object at its root."""
    _, components = msgspec.json.schema_components([arguments])
    schema = dict(components[arguments.__name__])
    schema.pop("title", None)
    schema.pop("description", None)
    return schema
