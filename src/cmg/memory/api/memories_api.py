"""Raw ASGI handlers of `/v1/memories`: list, add, search, show, edit, delete, history."""

from typing import Any

import msgspec

from cmg.identity.models import Caller
from cmg.kit.asgi import Request, Send, decode, send_json
from cmg.kit.clock import Clock
from cmg.kit.errors import InvalidRequest, NotFound
from cmg.memory.api.access import Access
from cmg.memory.api.control_schemas import AddRequest, Deleted, EditRequest, MemoryList, MemoryPage, SearchRequest
from cmg.memory.api.parameters import (
    cursor_of,
    item_id,
    limit_of,
    narrow_of,
    optional_id,
    query_of,
    speaks_mem0,
    user_of,
)
from cmg.memory.api.reading import changes_of, ids_of, item_of, messages_of, search_filters
from cmg.memory.api.schemas import IngestRequest
from cmg.memory.api.views import item_view, mem0_view
from cmg.memory.control.memories import Memories
from cmg.memory.control.models import EVERYTHING, StoredItem
from cmg.memory.control.removal import Doomed, Removed
from cmg.memory.mem0.history import history_view
from cmg.memory.mem0.reading import doomed_of, edit_of
from cmg.memory.models import owner_of

PREFIX = "/v1/memories/"
_OF_MEMORIES = frozenset({"kind", "importance", "valid_from", "valid_to", "expires_at"})
_add = msgspec.json.Decoder(AddRequest)
_edit = msgspec.json.Decoder(EditRequest)
_search = msgspec.json.Decoder(SearchRequest)


class MemoriesApi:
    """One per process. A client of mem0 (`Authorization: Token`) gets mem0's shapes on the paths that both share."""

    def __init__(self, memories: Memories, access: Access, body_limit: int, clock: Clock) -> None:
        self._memories, self._access, self._body_limit, self._clock = memories, access, body_limit, clock

    async def list(self, request: Request, send: Send, caller: Caller) -> None:
        """A user's memories, newest first. Raises `InvalidRequest`."""
        self._access.read(caller)
        query = query_of(request, "user_id", "kinds", "thread_id", "agent_id", "app_id", "limit", "cursor")
        owner = user_of(query, caller.workspace_id)
        await self._access.see(request, caller, owner.user_id, "list")
        page = await self._memories.page(owner, narrow_of(query), cursor_of(query), limit_of(query))
        following = None if page.next is None else str(page.next)
        await send_json(send, 200, MemoryPage(items=[item_view(item) for item in page.items], next=following))

    async def add(self, request: Request, send: Send, caller: Caller) -> None:
        """Keep a memory, or messages as they were said. Raises `InvalidRequest`, `Conflict`; then nothing is kept."""
        self._access.write(caller)
        asked = decode(_add, await request.body(self._body_limit))
        self._access.speak(request, caller, asked.user_id)
        writer = (caller.workspace_id, self._access.key_of(caller))
        if (asked.content is None) == (asked.messages is None):
            raise InvalidRequest("send `content`, or `messages`", param="content")
        if asked.content is not None:
            kept = await self._memories.add(item_of(asked, writer))
            assert kept.item_id is not None, "a refused memory raises"
            ids = [kept.item_id]
        else:
            _refuse_of_memories(asked)
            redactor = self._memories.redactor(caller.workspace_id)
            messages = messages_of(_as_ingest(asked), writer, self._clock.now(), redactor)
            await self._memories.say(messages)
            ids = ids_of(messages)
        found = {item.id: item for item in await self._memories.store.by_id(caller.workspace_id, ids)}
        items = [item_view(found[one]) for one in ids if one in found]
        await send_json(send, 201, MemoryList(items=items))

    async def search(self, request: Request, send: Send, caller: Caller) -> None:
        """The memories of a user that fit a query, best first. Raises `InvalidRequest`."""
        self._access.read(caller)
        asked = decode(_search, await request.body(self._body_limit))
        await self._access.see(request, caller, asked.user_id, "search")
        owner = owner_of(caller.workspace_id, asked.user_id)
        found = await self._memories.search(owner, asked.query, search_filters(asked), EVERYTHING, asked.limit)
        await send_json(send, 200, MemoryList(items=[item_view(one.item, one.score) for one in found]))

    async def delete_all(self, request: Request, send: Send, caller: Caller) -> None:
        """Delete what belongs to a user, an agent, an application or a thread. Raises `InvalidRequest` without any."""
        self._access.write(caller)
        names = ("user_id", "agent_id", "app_id", "thread_id", "run_id")
        mem0 = speaks_mem0(request)
        query = query_of(request, *names, *(("filters",) if mem0 else ()))
        query |= doomed_of(query)
        ids = {name: optional_id(query, name) for name in names}
        if not any(ids.values()):
            raise InvalidRequest(
                "say what to delete: `user_id`, `agent_id`, `app_id` or `thread_id`; without one nothing is deleted",
                param="user_id",
            )
        thread = ids["thread_id"] or ids["run_id"]
        doomed = Doomed(thread_id=thread, agent_id=ids["agent_id"], app_id=ids["app_id"])
        if ids["user_id"] is not None:
            await self._access.meet(request, caller, ids["user_id"])
            gone = await self._memories.delete_all(owner_of(caller.workspace_id, ids["user_id"]), doomed)
        else:
            gone = await self._memories.delete_of(caller.workspace_id, doomed, self._access.everybody(caller))
        await self._deleted(send, request, gone, "Memories deleted successfully!")

    async def show(self, request: Request, send: Send, caller: Caller) -> None:
        """One memory, or its history. Raises `NotFound`, also for another workspace's."""
        self._access.read(caller)
        name, rest = _named(request)
        item = await self._memories.get(caller.workspace_id, item_id(name))
        await self._access.see_item(request, caller, item.user_id, "item")
        if rest == "history":
            versions = await self._memories.history(caller.workspace_id, item.id)
            mem0 = speaks_mem0(request)
            answer: Any = history_view(versions) if mem0 else MemoryList(items=[item_view(one) for one in versions])
            await send_json(send, 200, answer)
        elif rest:
            raise NotFound(f"{request.path} is not served here", code="unknown_path")
        else:
            await send_json(send, 200, _view(request, item))

    async def edit(self, request: Request, send: Send, caller: Caller) -> None:
        """Change a memory; what it was stays in its history. Raises `NotFound`, `InvalidRequest`."""
        self._access.write(caller)
        name, rest = _named(request)
        if rest:
            raise NotFound(f"{request.path} is not served here", code="unknown_path")
        body = await request.body(self._body_limit)
        asked = edit_of(body) if speaks_mem0(request) else decode(_edit, body)
        item = await self._memories.get(caller.workspace_id, item_id(name))
        await self._access.see_item(request, caller, item.user_id, "item")  # the answer shows what it says
        changed = await self._memories.edit(caller.workspace_id, item.id, changes_of(asked))
        await send_json(send, 200, _view(request, changed))

    async def delete(self, request: Request, send: Send, caller: Caller) -> None:
        """Delete one memory with its history. Raises `NotFound`."""
        self._access.write(caller)
        name, rest = _named(request)
        if rest:
            raise NotFound(f"{request.path} is not served here", code="unknown_path")
        item = await self._memories.get(caller.workspace_id, item_id(name))
        await self._access.meet_item(request, caller, item.user_id)
        gone = await self._memories.delete(caller.workspace_id, item.id)
        await self._deleted(send, request, gone, "Memory deleted successfully!")

    async def _deleted(self, send: Send, request: Request, gone: Removed, told: str) -> None:
        own = msgspec.to_builtins(Deleted(turns=gone.turns, facts=gone.facts))
        await send_json(send, 200, {"message": told, **own} if speaks_mem0(request) else own)


def _named(request: Request) -> tuple[str, str]:
    """The id in the path and what follows it, with or without a slash at the end."""
    name, _, rest = request.path.removeprefix(PREFIX).partition("/")
    return name, rest.rstrip("/")


def _view(request: Request, item: StoredItem) -> Any:
    return mem0_view(item) if speaks_mem0(request) else item_view(item)


def _refuse_of_memories(asked: AddRequest) -> None:
    """What only a memory as `content` can have; said of messages it would be lost."""
    for one in msgspec.structs.fields(AddRequest):
        if one.name in _OF_MEMORIES and getattr(asked, one.name) != one.default:
            told = f"`{one.name}` goes with a `content`; messages are kept as they were said"
            raise InvalidRequest(told, param=one.name)


def _as_ingest(asked: AddRequest) -> IngestRequest:
    return IngestRequest(
        user_id=asked.user_id,
        agent_id=asked.agent_id,
        app_id=asked.app_id,
        thread_id=asked.thread_id,
        messages=asked.messages,
        created_at=asked.created_at,
        metadata=asked.metadata,
    )
