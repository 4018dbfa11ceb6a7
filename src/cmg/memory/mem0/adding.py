"""Remembers what a client of mem0 adds: as it was said, or each message as a memory of its own (`infer` false)."""

from typing import Any
from uuid import UUID

import msgspec

from cmg.identity.models import Caller
from cmg.kit.asgi import Request
from cmg.kit.clock import Clock
from cmg.kit.errors import InvalidRequest, NotFound
from cmg.kit.ids import uuid7
from cmg.memory.api.access import Access
from cmg.memory.api.control_schemas import AddRequest
from cmg.memory.api.reading import Writer, ids_of, item_of, messages_of
from cmg.memory.api.schemas import IngestRequest
from cmg.memory.control.memories import Memories
from cmg.memory.control.models import StoredItem
from cmg.memory.items.models import ITEM_CHARACTERS
from cmg.memory.mem0.reading import Add, expires_of, ingest_of
from cmg.memory.models import owner_of
from cmg.memory.store import MemoryStore
from cmg.storage.database import Database

NO_EVENT = "there is no such event, or it is older than events are kept"


class Adding:
    """One per process."""

    def __init__(self, memories: Memories, database: Database, access: Access, clock: Clock) -> None:
        self._memories, self._database, self._access, self._clock = memories, database, access, clock
        self._store = MemoryStore()

    async def add(self, asked: Add, request: Request, caller: Caller) -> tuple[UUID, list[StoredItem]]:
        """The event's id and the items. Raises `InvalidRequest`, `Forbidden`, `Conflict`."""
        wanted = ingest_of(asked)
        self._access.speak(request, caller, wanted.user_id)
        if not wanted.messages:
            raise InvalidRequest("there is no message of a user or an assistant that says something", param="messages")
        expires = expires_of(asked)
        workspace_id = caller.workspace_id
        writer = (workspace_id, self._access.key_of(caller))
        if asked.infer and expires is None:
            messages = messages_of(wanted, writer, self._clock.now(), self._memories.redactor(workspace_id))
            await self._memories.say(messages)
            ids = ids_of(messages)
        else:
            ids = await self._each(wanted, expires, writer)
        found = {item.id: item for item in await self._memories.store.by_id(workspace_id, ids)}
        items = [found[one] for one in dict.fromkeys(ids) if one in found]
        return await self._note(wanted, workspace_id, items), items

    async def event(self, workspace_id: str, event_id: UUID) -> Any:
        """The row of an add. Raises `NotFound`."""
        row = await self._store.operation(self._database, event_id, workspace_id)
        if row is None:
            raise NotFound(NO_EVENT, param="id")
        return row

    async def _each(self, wanted: IngestRequest, expires: str | None, writer: Writer) -> list[UUID]:
        memories = []
        for message in wanted.messages or ():
            content = str(message.content)
            if len(content) > ITEM_CHARACTERS:
                raise InvalidRequest(f"a memory has 1 to {ITEM_CHARACTERS} characters", param="messages")
            memory = AddRequest(
                user_id=wanted.user_id,
                agent_id=wanted.agent_id,
                app_id=wanted.app_id,
                thread_id=wanted.thread_id,
                content=content,
                metadata=wanted.metadata,
                created_at=wanted.created_at,
                expires_at=expires,
            )
            memories.append(item_of(memory, writer))
        ids = [(await self._memories.add(memory)).item_id for memory in memories]  # all are good before one is kept
        return [one for one in ids if one is not None]

    async def _note(self, wanted: IngestRequest, workspace_id: str, items: list[StoredItem]) -> UUID:
        event_id, now = uuid7(), self._clock.now()
        told = [{"id": str(item.id), "message_id": item.message_id} for item in items]
        state = ("done", msgspec.json.encode(told).decode(), now, None)
        async with self._database.transaction() as conn:
            await self._store.add_operation(conn, event_id, owner_of(workspace_id, wanted.user_id), state)
        return event_id
