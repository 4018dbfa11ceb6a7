"""Raw ASGI handlers of what is known and why, and of a person's rights: expand, feedback, threads, export, erase."""

from typing import Any
from urllib.parse import unquote
from uuid import UUID

import msgspec

from cmg.identity.models import Caller, actor_of
from cmg.kit.asgi import Request, Send, decode, send_json
from cmg.kit.errors import InvalidRequest, NotFound
from cmg.memory.api.access import Access
from cmg.memory.api.control_schemas import (
    Deleted,
    Expanded,
    Explained,
    FeedbackAnswer,
    FeedbackRequest,
    Judged,
    Raw,
    ThreadPage,
    ThreadView,
    UserRequest,
)
from cmg.memory.api.parameters import cursor_of, item_id, limit_of, query_of, user_of
from cmg.memory.api.views import item_view, source_view, thread_view, time_of
from cmg.memory.control.erasure import Erasure
from cmg.memory.control.export import Export
from cmg.memory.control.memories import Memories
from cmg.memory.control.models import StoredItem
from cmg.memory.control.removal import Doomed
from cmg.memory.models import owner_of
from cmg.memory.text.cleaning import bounded_id

EXPAND, THREADS = "/v1/expand/", "/v1/threads/"
_SOURCES = 100
_PAGED = ("user_id", "limit", "cursor")
_feedback = msgspec.json.Decoder(FeedbackRequest)
_user = msgspec.json.Decoder(UserRequest)


class PeopleApi:
    """One per process. `erasure` erases on this machine and tells the others."""

    def __init__(self, memories: Memories, export: Export, erasure: Erasure, access: Access, body_limit: int) -> None:
        self._memories, self._export, self._erasure = memories, export, erasure
        self._access, self._body_limit = access, body_limit

    async def expand(self, request: Request, send: Send, caller: Caller) -> None:
        """An item with sources, versions, links, uses and its salience explained; `/raw`: words only."""
        self._access.read(caller)
        name, _, rest = request.path.removeprefix(EXPAND).partition("/")
        if rest.rstrip("/") not in {"", "raw"}:
            raise NotFound(f"{request.path} is not served here", code="unknown_path")
        workspace_id = caller.workspace_id
        item = await self._memories.get(workspace_id, item_id(name))
        await self._access.see_item(request, caller, item.user_id, "item")
        sources = await self._sources(workspace_id, item)
        if rest:
            answer: Any = Raw(item=item_view(item), sources=[item_view(one) for one in sources])
        else:
            answer = await self._expanded(workspace_id, item, sources)
        await send_json(send, 200, answer)

    async def feedback(self, request: Request, send: Send, caller: Caller) -> None:
        """A judgement on an item; the answer says what its salience is now. Raises `NotFound`, `InvalidRequest`."""
        self._access.write(caller)
        asked = decode(_feedback, await request.body(self._body_limit))
        item = await self._memories.get(caller.workspace_id, _judged(asked.item_id))
        await self._access.meet_item(request, caller, item.user_id)
        judged = (asked.feedback_type, asked.value, asked.comment)
        found = await self._memories.judge(caller.workspace_id, item.id, judged)
        await send_json(send, 200, FeedbackAnswer(item_id=str(item.id), **msgspec.structs.asdict(found)))

    async def threads(self, request: Request, send: Send, caller: Caller) -> None:
        """A user's threads, newest first. Raises `InvalidRequest`."""
        self._access.read(caller)
        query = query_of(request, *_PAGED)
        owner, limit = user_of(query, caller.workspace_id), limit_of(query)
        await self._access.see(request, caller, owner.user_id, "threads")
        found = await self._memories.store.threads(owner, cursor_of(query), None, limit + 1)
        shown = found[:limit]
        following = str(shown[-1].thread_no) if len(found) > limit else None
        await send_json(send, 200, ThreadPage(items=[thread_view(one, owner.user_id) for one in shown], next=following))

    async def thread(self, request: Request, send: Send, caller: Caller) -> None:
        """One thread of a user with its items, oldest first. Raises `NotFound`, `InvalidRequest`."""
        self._access.read(caller)
        query = query_of(request, *_PAGED)
        owner, limit = user_of(query, caller.workspace_id), limit_of(query)
        await self._access.see(request, caller, owner.user_id, "thread")
        thread = await self._memories.thread(owner, _thread_name(request))
        behind = cursor_of(query) or 0
        found = await self._memories.store.thread_items(caller.workspace_id, thread.thread_no, behind, limit + 1)
        shown = found[:limit]
        view = ThreadView(
            thread=thread_view(thread, owner.user_id),
            items=[item_view(one) for one in shown],
            next=str(shown[-1].seq) if len(found) > limit else None,
        )
        await send_json(send, 200, view)

    async def delete_thread(self, request: Request, send: Send, caller: Caller) -> None:
        """Delete one thread of a user, with what was drawn from it alone. Raises `NotFound`, `InvalidRequest`."""
        self._access.write(caller)
        owner = user_of(query_of(request, "user_id"), caller.workspace_id)
        await self._access.meet(request, caller, owner.user_id)
        thread = await self._memories.thread(owner, _thread_name(request))
        gone = await self._memories.delete_all(owner, Doomed(thread_id=thread.thread_id))
        await send_json(send, 200, Deleted(turns=gone.turns, facts=gone.facts))

    async def export(self, request: Request, send: Send, caller: Caller) -> None:
        """Everything about a user as JSON lines. The last line says `end`, or the export was cut off."""
        self._access.read(caller)
        user_id = decode(_user, await request.body(self._body_limit)).user_id
        await self._access.see(request, caller, user_id, "export")
        owner = owner_of(caller.workspace_id, user_id)
        lines = self._export.lines(owner)
        first = await anext(lines)
        kind = [(b"content-type", b"application/x-ndjson")]
        await send({"type": "http.response.start", "status": 200, "headers": kind})
        await send({"type": "http.response.body", "body": first, "more_body": True})
        async for piece in lines:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def erase(self, request: Request, send: Send, caller: Caller) -> None:
        """Erase a user from everywhere; the receipt counts what went. Raises `InvalidRequest`, `DatabaseAway`."""
        self._access.write(caller)
        user_id = decode(_user, await request.body(self._body_limit)).user_id
        await self._access.meet(request, caller, user_id)
        actor = actor_of(caller)
        receipt = await self._erasure.erase(caller.workspace_id, user_id, actor.name, actor.client)
        await send_json(send, 200, receipt)

    async def _sources(self, workspace_id: str, item: StoredItem) -> list[StoredItem]:
        """The passages that an item was drawn from, oldest first; what was said is its own source."""
        ids = list(item.sources or ())[:_SOURCES]
        found = await self._memories.store.by_id(workspace_id, ids) if ids else [item]
        return sorted((one for one in found if not self._memories.store.has_expired(one)), key=lambda one: one.seq)

    async def _expanded(self, workspace_id: str, item: StoredItem, sources: list[StoredItem]) -> Expanded:
        versions = await self._memories.history(workspace_id, item.id)
        current = next((one for one in reversed(versions) if one.retired_at is None), item)
        salience, judgements = await self._memories.explained(current, workspace_id)
        links = await self._memories.store.drawn_from(workspace_id, [item.id])
        return Expanded(
            item=item_view(item),
            origin=item.origin or "said",
            quote=item.quote,
            subject=item.subject,
            relation=item.relation,
            value=item.value,
            sources=[source_view(one) for one in sources],
            versions=[item_view(one) for one in versions],
            links=[item_view(one) for one in links],
            mentions=item.mentions or 1,
            uses=item.uses or 0,
            used_at=time_of(item.used_at),
            feedback=[
                Judged(feedback_type=one.type, value=one.value, comment=one.comment, created_at=time_of(one.at) or "")
                for one in judgements
            ],
            salience=Explained(**msgspec.structs.asdict(salience)),
        )


def _judged(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise InvalidRequest("`item_id` is the id of an item that recall or a list gave out", param="item_id") from None


def _thread_name(request: Request) -> str:
    """The thread in the path, which may hold slashes and escapes."""
    raw = request.scope.get("raw_path") or request.path.encode()
    return bounded_id(unquote(raw.decode("latin-1").removeprefix(THREADS)))
