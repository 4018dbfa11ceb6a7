"""Raw ASGI handlers of the memory's HTTP API."""

import asyncio
import uuid
from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from cmg.identity.models import Caller
from cmg.kit.asgi import Request, Send, decode, send_json
from cmg.kit.clock import Clock, rfc3339
from cmg.kit.errors import InvalidRequest, NotFound
from cmg.kit.ids import uuid7
from cmg.memory.api.access import Access
from cmg.memory.api.reading import filters_of, messages_of
from cmg.memory.api.schemas import (
    MAX_ITEMS,
    IngestedItem,
    IngestRequest,
    Item,
    Operation,
    RecallAnswer,
    RecallRequest,
)
from cmg.memory.api.views import source_view, time_of
from cmg.memory.models import Hit, Message, owner_of, walled
from cmg.memory.packing import by_thread, pack
from cmg.memory.ranking.finder import Wanted
from cmg.memory.service import MemoryService
from cmg.memory.store import Ground, MemoryStore
from cmg.memory.text.passages import passages
from cmg.memory.text.redaction import Redactor
from cmg.memory.writing import TurnWriter
from cmg.storage.database import Database
from cmg.telemetry.instruments import Instruments

OPERATIONS = "/v1/operations/"
_NO_OPERATION = "there is no such operation, or it is older than operations are kept"
_SEARCH_S = 5.0
_WRITE_S, _WRITE_S_PER_BYTE = 20.0, 4e-6
_LARGE = 100_000  # bytes of a body from which on it is taken apart beside the event loop: some ten milliseconds
_VECTORS_S = 30.0  # how long an ingest with `wait` waits for vectors
_LOOK_S = 0.05
_SPARE_ITEMS = 20  # found beyond `max_items`: repeated contents fall out
_ingest = msgspec.json.Decoder(IngestRequest)
_recall = msgspec.json.Decoder(RecallRequest)
_items = msgspec.json.Decoder(list[IngestedItem])
_ITSELF = Ground(None, None, [])  # of what was deleted between the search and the answer


class MemoryApi:
    """`/v1/ingest`, `/v1/operations/{id}`, `/v1/recall`."""

    def __init__(
        self,
        service: MemoryService,
        database: Database,
        access: Access,
        body_limit: int,
        clock: Clock,
        instruments: Instruments,
    ) -> None:
        self._service, self._database, self._access = service, database, access
        self._body_limit, self._clock, self._instruments = body_limit, clock, instruments
        self._store = MemoryStore()
        self._writer = TurnWriter(self._store, clock, service.policies)

    async def ingest(self, request: Request, send: Send, caller: Caller) -> None:
        """Store messages or a document in one transaction, then answer 202.

        With `wait` 200, once the vectors are there too; after 30 s without them 202 all the same. Raises
        `InvalidRequest`, `Conflict` (an id that is stored with other content; nothing is stored then), `DatabaseAway`.
        """
        self._access.write(caller)
        body = await request.body(self._body_limit)
        asked = decode(_ingest, body)
        self._access.speak(request, caller, asked.user_id)
        now = self._clock.now()
        policy = self._service.policies.of(caller.workspace_id)
        writer = (caller.workspace_id, self._access.key_of(caller))
        prepare = partial(_prepared, asked, writer, now, policy.redactor)
        messages, items = await asyncio.to_thread(prepare) if len(body) > _LARGE else prepare()
        operation_id = uuid7()
        owner = owner_of(caller.workspace_id, asked.user_id)
        async with self._database.transaction(_WRITE_S + len(body) * _WRITE_S_PER_BYTE) as conn:
            new = await self._writer.write(conn, messages, strict=True)
            thread_id = messages[0].thread.thread_id if messages and policy.draws_facts else None
            state = ("done", msgspec.json.encode(items).decode(), now, thread_id)
            await self._store.add_operation(conn, operation_id, owner, state)
        self._count(new, len(items) - new)
        row = await self._settled(operation_id, caller.workspace_id, _VECTORS_S if asked.wait else 0.0)
        await send_json(send, 200 if asked.wait and not row["waiting"] else 202, _operation(row))

    async def operation(self, request: Request, send: Send, caller: Caller) -> None:
        """The state of an ingest. Raises `NotFound`, also for another workspace's."""
        self._access.write(caller)
        name = request.path.removeprefix(OPERATIONS)
        try:
            operation_id = uuid.UUID(name)
        except ValueError:
            raise NotFound("there is no such operation", param="id") from None
        row = await self._store.operation(self._database, operation_id, caller.workspace_id)
        if row is None or walled(self._access.wall(caller), row["key_id"]):
            raise NotFound(_NO_OPERATION, param="id")
        await self._access.meet_item(request, caller, row["user_id"], _NO_OPERATION)
        await send_json(send, 200, _operation(row))

    async def recall(self, request: Request, send: Send, caller: Caller) -> None:
        """What is remembered about a question, best first. Raises `InvalidRequest`, `Forbidden`, `DatabaseAway`."""
        self._access.read(caller)
        asked = decode(_recall, await request.body(self._body_limit))
        self._access.speak(request, caller, asked.user_id)
        if not (asked.query or asked.purpose):
            raise InvalidRequest("send a `query`, or a `purpose`", param="query")
        budget = asked.token_budget
        if budget is None and asked.max_items is None:
            budget = self._service.token_budget
        wanted = _wanted(asked, (caller.workspace_id, self._access.wall(caller)), budget)
        noted = self._access.saw(request, caller, [asked.user_id], "recall")  # beside the search, before the answer
        hits, _ = await asyncio.gather(self._service.find(wanted, _SEARCH_S), noted)
        taken = pack(hits, _tokens, token_budget=budget, max_items=asked.max_items)
        if asked.order == "thread":
            taken = by_thread(taken)
        used = sum(hit.tokens for hit in taken)
        ids = [uuid.UUID(hit.id) for hit in taken]
        known = (caller.workspace_id, ids, wanted.filters.as_of)
        grounds = await self._store.grounds(self._database, *known) if ids else {}
        answer = RecallAnswer(
            items=[_item(hit, grounds.get(hit.id, _ITSELF)) for hit in taken],
            tokens_used=used,
            tokens_available=None if budget is None else budget - used,
        )
        await send_json(send, 200, answer)

    async def _settled(self, operation_id: uuid.UUID, workspace_id: str, patience_s: float) -> Any:
        """The row of an operation as soon as nothing of it waits for a vector, or when patience ends."""
        until = self._clock.monotonic() + patience_s
        while True:
            row = await self._store.operation(self._database, operation_id, workspace_id)
            if row is None:
                raise NotFound("the operation was erased while it was waited for", param="user_id")
            if not row["waiting"] or self._clock.monotonic() >= until:
                return row
            await self._clock.sleep(_LOOK_S)

    def _count(self, new: int, known: int) -> None:
        self._instruments.series("cmg_memory_turns_total", "ingest", "stored").inc(new)
        self._instruments.series("cmg_memory_turns_total", "ingest", "duplicate").inc(known)


def _wanted(asked: RecallRequest, reader: tuple[str, str | None], budget: int | None) -> Wanted:
    """`reader`: the workspace, and the key where it reads its own users alone."""
    return Wanted(
        owner=owner_of(reader[0], asked.user_id),
        key_id=reader[1],
        query=asked.query or "",
        purpose=asked.purpose,
        limit=MAX_ITEMS if asked.max_items is None else asked.max_items + _SPARE_ITEMS,
        token_budget=None if budget is None else budget + budget // 2,
        filters=filters_of(asked),
    )


def _prepared(
    asked: IngestRequest, writer: tuple[str, str | None], now: datetime, redactor: Redactor
) -> tuple[list[Message], list[IngestedItem]]:
    """What is to be stored, and as what it is known."""
    messages = messages_of(asked, writer, now, redactor)
    return messages, _ingested(messages)


def _ingested(messages: list[Message]) -> list[IngestedItem]:
    """The items of messages, repeated ones once."""
    items = {
        message.item_id(part): message.message_id
        for message in messages
        for part in range(len(passages(message.content, message.kind)))
    }
    return [IngestedItem(str(item_id), message_id) for item_id, message_id in items.items()]


def _operation(row: Any) -> Operation:
    """Stored at once, an ingest is done when its vectors are there; that is looked up, not noted down."""
    status, error, finished_at = row["status"], row["error"], row["finished_at"]
    if row["waiting"]:
        status, finished_at = "queued", None
    elif row["refused"]:
        status, error = "failed", f"the embedder refused {row['refused']} passages: they are found by their words alone"
    return Operation(
        operation_id=str(row["id"]),
        status=status,
        items=_items.decode(row["items"]),
        error=error,
        facts=row["facts"],
        created_at=rfc3339(row["created_at"].timestamp()),
        finished_at=None if finished_at is None else rfc3339(finished_at.timestamp()),
    )


def _item(hit: Hit, ground: Ground) -> Item:
    """What was drawn from passages has those as its sources; what was said or written is its own."""
    said_at = rfc3339(hit.created_at)
    return Item(
        id=hit.id,
        kind=hit.kind,
        content=hit.content,
        score=round(hit.score, 4),
        tokens=hit.tokens,
        created_at=said_at,
        valid_from=time_of(ground.valid_from) or said_at,
        valid_to=time_of(ground.valid_to),
        sources=[source_view(one) for one in ground.sources] or [source_view(hit)],
    )


def _tokens(hit: Hit) -> int:
    return hit.tokens
