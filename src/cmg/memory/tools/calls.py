"""The tools themselves: each takes its arguments and gives what the model may read, as JSON."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from cmg.identity.models import Caller
from cmg.kit.asgi import Request
from cmg.kit.errors import InvalidRequest
from cmg.kit.parameters.texts import without_nul
from cmg.memory.api.access import Access
from cmg.memory.api.control_schemas import AddRequest
from cmg.memory.api.parameters import cursor_of, item_id
from cmg.memory.api.reading import item_of
from cmg.memory.api.views import item_view
from cmg.memory.control.memories import Memories
from cmg.memory.control.models import EVERYTHING, StoredItem
from cmg.memory.items.models import Changes
from cmg.memory.models import Filters, Owner, owner_of
from cmg.memory.tools.arguments import (
    AddMemory,
    DeleteAllMemories,
    GetMemories,
    GetMemory,
    SearchMemories,
    UpdateMemory,
    Whose,
)

_USER = b"x-cmg-user"


@dataclass(frozen=True)
class Tool:
    """A tool as the protocol lists it. `reads`: it changes nothing."""

    name: str
    told: str
    arguments: type[msgspec.Struct]
    call: Callable[[Any, Request, Caller], Awaitable[dict[str, Any]]]
    reads: bool = False
    destroys: bool = False


class Tools:
    """One per process. Every call is checked as a request to `/v1/memories` is."""

    def __init__(self, memories: Memories, access: Access) -> None:
        self._memories, self._access = memories, access

    def all(self) -> list[Tool]:
        """Every tool, in the order in which they are listed."""
        return [
            Tool("add_memory", "Remember something about a user for later conversations.", AddMemory, self._add),
            Tool("search_memories", "Find what is remembered about a user.", SearchMemories, self._search, reads=True),
            Tool("get_memories", "List what is remembered about a user.", GetMemories, self._list, reads=True),
            Tool("get_memory", "Show one memory.", GetMemory, self._get, reads=True),
            Tool("update_memory", "Correct one memory; its history is kept.", UpdateMemory, self._update),
            Tool("delete_memory", "Forget one memory for good.", GetMemory, self._delete, destroys=True),
            Tool(
                "delete_all_memories",
                "Forget everything about one user for good. Nobody else is touched.",
                DeleteAllMemories,
                self._delete_all,
                destroys=True,
            ),
        ]

    async def _add(self, asked: AddMemory, request: Request, caller: Caller) -> dict[str, Any]:
        self._access.write(caller)
        owner = self._owner(asked, request, caller)
        self._access.speak(request, caller, owner.user_id)
        memory = AddRequest(
            user_id=owner.user_id,
            agent_id=asked.agent_id,
            thread_id=asked.thread_id,
            content=asked.content,
            metadata=asked.metadata,
        )
        kept = await self._memories.add(item_of(memory, (caller.workspace_id, self._access.key_of(caller))))
        assert kept.item_id is not None, "a refused memory raises"
        return _shown(await self._memories.get(caller.workspace_id, kept.item_id))

    async def _search(self, asked: SearchMemories, request: Request, caller: Caller) -> dict[str, Any]:
        self._access.read(caller)
        owner = self._owner(asked, request, caller)
        await self._access.see(request, caller, owner.user_id, "search")
        found = await self._memories.search(owner, asked.query, Filters(), EVERYTHING, asked.limit)
        return {"items": [_shown(one.item, one.score) for one in found]}

    async def _list(self, asked: GetMemories, request: Request, caller: Caller) -> dict[str, Any]:
        self._access.read(caller)
        owner = self._owner(asked, request, caller)
        await self._access.see(request, caller, owner.user_id, "list")
        before = cursor_of({} if asked.cursor is None else {"cursor": asked.cursor})
        page = await self._memories.page(owner, EVERYTHING, before, asked.limit)
        following = None if page.next is None else str(page.next)
        return {"items": [_shown(item) for item in page.items], "next": following}

    async def _get(self, asked: GetMemory, request: Request, caller: Caller) -> dict[str, Any]:
        self._access.read(caller)
        item = await self._memories.get(caller.workspace_id, item_id(asked.memory_id))
        await self._access.see_item(request, caller, item.user_id, "item")
        return _shown(item)

    async def _update(self, asked: UpdateMemory, request: Request, caller: Caller) -> dict[str, Any]:
        self._access.write(caller)
        item = await self._memories.get(caller.workspace_id, item_id(asked.memory_id))
        await self._access.see_item(request, caller, item.user_id, "item")  # the answer shows what it says
        return _shown(await self._memories.edit(caller.workspace_id, item.id, Changes(content=asked.content)))

    async def _delete(self, asked: GetMemory, request: Request, caller: Caller) -> dict[str, Any]:
        self._access.write(caller)
        item = await self._memories.get(caller.workspace_id, item_id(asked.memory_id))
        await self._access.meet_item(request, caller, item.user_id)
        gone = await self._memories.delete(caller.workspace_id, item.id)
        return {"deleted": gone.items}

    async def _delete_all(self, asked: DeleteAllMemories, request: Request, caller: Caller) -> dict[str, Any]:
        self._access.write(caller)
        owner = self._owner(asked, request, caller)
        await self._access.meet(request, caller, owner.user_id)
        gone = await self._memories.delete_all(owner)
        return {"deleted": gone.items}

    def _owner(self, asked: Whose, request: Request, caller: Caller) -> Owner:
        user_id = asked.user_id or request.header(_USER)
        if not user_id:
            raise InvalidRequest("say whose memory it is: `user_id`, or the header x-cmg-user", param="user_id")
        return owner_of(caller.workspace_id, str(without_nul("user_id", user_id)))


def _shown(item: StoredItem, score: float | None = None) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(item_view(item, score))
    return {name: value for name, value in shown.items() if value is not None}
