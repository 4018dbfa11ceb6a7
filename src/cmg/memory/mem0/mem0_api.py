"""Raw ASGI handlers of the paths that only clients of mem0 know."""

from collections.abc import Sequence
from math import ceil
from typing import Any
from urllib.parse import quote, unquote, urlencode
from uuid import UUID

import msgspec

from cmg.identity.models import Caller
from cmg.kit.asgi import Request, Send, decode, send_json
from cmg.kit.clock import rfc3339
from cmg.kit.errors import InvalidRequest, NotFound
from cmg.memory.api.access import Access
from cmg.memory.api.parameters import item_id
from cmg.memory.api.reading import changes_of
from cmg.memory.api.views import mem0_view
from cmg.memory.control.memories import Memories
from cmg.memory.control.models import Entity, Narrow, Whose
from cmg.memory.control.removal import Doomed
from cmg.memory.items.models import FeedbackType
from cmg.memory.mem0.adding import NO_EVENT, Adding
from cmg.memory.mem0.filters import Filter, compiled
from cmg.memory.mem0.reading import Add, Batch, Edit, Find, GetAll, Opinion, edit_from
from cmg.memory.models import owner_of
from cmg.memory.text.cleaning import bounded_id

ENTITIES = "/v2/entities/"
_PAGE, _PAGE_MAX, _PAGES_MAX = 100, 500, 10_000
_add = msgspec.json.Decoder(Add)
_all = msgspec.json.Decoder(GetAll)
_find = msgspec.json.Decoder(Find)
_batch = msgspec.json.Decoder(Batch)
_opinion = msgspec.json.Decoder(Opinion)
_OPINIONS: dict[str, tuple[FeedbackType, float]] = {
    "POSITIVE": ("helpful", 1.0),
    "NEGATIVE": ("not_helpful", 0.5),
    "VERY_NEGATIVE": ("not_helpful", 1.0),
}
_TYPES = {"user": "user_id", "agent": "agent_id", "app": "app_id", "run": "thread_id"}


class Mem0Api:
    """One per process."""

    def __init__(self, memories: Memories, adding: Adding, access: Access, body_limit: int) -> None:
        self._memories, self._adding = memories, adding
        self._access, self._body_limit = access, body_limit

    async def ping(self, _request: Request, send: Send, caller: Caller) -> None:
        """The key is good; the client does not work without an organisation and a project, which are the workspace."""
        workspace = caller.workspace_id
        told = {"status": "ok", "org_id": workspace, "project_id": workspace, "user_email": None}
        await send_json(send, 200, told)

    async def add(self, request: Request, send: Send, caller: Caller) -> None:
        """Remember messages. Raises `InvalidRequest`."""
        self._access.write(caller)
        asked = decode(_add, await request.body(self._body_limit))
        event_id, items = await self._adding.add(asked, request, caller)
        row = await self._adding.event(caller.workspace_id, event_id)
        results = [{**mem0_view(item), "event": "ADD"} for item in items]
        told = {"message": "Memories were added.", "status": _standing(row), "event_id": str(event_id)}
        await send_json(send, 200, {**told, "results": results})

    async def get_all(self, request: Request, send: Send, caller: Caller) -> None:
        """A page of memories that fulfil the filters, newest first. Raises `InvalidRequest`."""
        self._access.read(caller)
        asked = decode(_all, await request.body(self._body_limit))
        page, size = _page(request.query())
        filters = _with_more(asked.filters, asked.categories, (asked.start_date, asked.end_date))
        wanted, whose = await self._filter(filters, request, caller)
        predicate = None if wanted.told else wanted.predicate
        count = await self._memories.store.count_of(caller.workspace_id, whose, predicate)
        found = await self._memories.store.items_of(
            caller.workspace_id, whose, predicate, limit=size, offset=(page - 1) * size
        )
        await self._access.saw(request, caller, {item.user_id for item in found}, "list")
        answer = {
            "count": count,
            "next": _link(request, page + 1, size) if page < ceil(count / size) else None,
            "previous": _link(request, page - 1, size) if page > 1 else None,
            "results": [_only(mem0_view(item), asked.fields) for item in found],
        }
        await send_json(send, 200, answer)

    async def search(self, request: Request, send: Send, caller: Caller) -> None:
        """Memories that fit a query, best first; `score` is relative to the best. Raises `InvalidRequest`."""
        self._access.read(caller)
        asked = decode(_find, await request.body(self._body_limit))
        filters = _with_more(asked.filters, asked.categories, (None, None), asked.metadata)
        wanted, whose = await self._filter(filters, request, caller)
        users_alone = wanted.told and not (whose.agents or whose.apps or whose.threads)
        narrow = Narrow(predicate=None if users_alone else wanted.predicate)
        found = await self._memories.search_of(caller.workspace_id, whose, asked.query, narrow, asked.top_k)
        await self._access.saw(request, caller, {one.item.user_id for one in found}, "search")
        best = max((one.score for one in found), default=0.0)
        scored = [(one.item, max(0.0, one.score / best) if best > 0 else 0.0) for one in found]
        kept = [(item, score) for item, score in scored if score >= (asked.threshold or 0.0)]
        results = [_only(mem0_view(item, score), asked.fields) for item, score in kept]
        await send_json(send, 200, {"results": results})

    async def event(self, request: Request, send: Send, caller: Caller) -> None:
        """How an add stands. Raises `NotFound`."""
        self._access.write(caller)
        name = request.path.removeprefix("/v1/event/").strip("/")
        row = await self._adding.event(caller.workspace_id, item_id(name))
        await self._access.meet_item(request, caller, row["user_id"], NO_EVENT)
        answer = {
            "id": str(row["id"]),
            "event_type": "ADD",
            "status": _standing(row),
            "results": msgspec.json.decode(row["items"]),
            "created_at": rfc3339(row["created_at"].timestamp()),
            "updated_at": rfc3339((row["finished_at"] or row["created_at"]).timestamp()),
        }
        await send_json(send, 200, answer)

    async def entities(self, _request: Request, send: Send, caller: Caller) -> None:
        """Users, agents, applications and runs that have memories, at most 500 of each."""
        self._access.read(caller)
        found = await self._memories.store.entities(caller.workspace_id, self._access.everybody(caller))
        results = [_entity_view(one) for one in found]
        await send_json(send, 200, {"count": len(results), "next": None, "previous": None, "results": results})

    async def delete_entity(self, request: Request, send: Send, caller: Caller) -> None:
        """Delete everything of one user, agent, application or run. Raises `NotFound`."""
        self._access.write(caller)
        raw = (request.scope.get("raw_path") or request.path.encode()).decode("latin-1")
        kind, _, rest = raw.removeprefix(ENTITIES).partition("/")
        name = bounded_id(unquote(rest.removesuffix("/")))
        if kind not in _TYPES or not name:
            raise NotFound(f"{request.path} is not served here", code="unknown_path")
        if kind == "user":
            await self._access.meet(request, caller, name)
            await self._memories.delete_all(owner_of(caller.workspace_id, name))
        else:
            doomed = Doomed(**{_TYPES[kind]: name})
            await self._memories.delete_of(caller.workspace_id, doomed, self._access.everybody(caller))
        await send_json(send, 200, {"message": "Entity deleted successfully!"})

    async def batch_update(self, request: Request, send: Send, caller: Caller) -> None:
        """Change several memories, or none where one is wrong. Raises `NotFound`, `InvalidRequest`."""
        self._access.write(caller)
        asked = decode(_batch, await request.body(self._body_limit)).memories
        wanted = [(item, changes_of(edit_from(one))) for one, item in await self._batch(asked, request, caller)]
        for item, changes in wanted:
            await self._memories.edit(caller.workspace_id, item, changes)
        await send_json(send, 200, {"message": f"Successfully updated {len(asked)} memories"})

    async def batch_delete(self, request: Request, send: Send, caller: Caller) -> None:
        """Delete several memories, or none where one is not there. Raises `NotFound`, `InvalidRequest`."""
        self._access.write(caller)
        asked = decode(_batch, await request.body(self._body_limit)).memories
        for item in dict.fromkeys([item for _, item in await self._batch(asked, request, caller)]):
            await self._memories.delete(caller.workspace_id, item)
        await send_json(send, 200, {"message": f"Successfully deleted {len(asked)} memories"})

    async def feedback(self, request: Request, send: Send, caller: Caller) -> None:
        """A judgement; null says nothing. Raises `NotFound`, `InvalidRequest`."""
        self._access.write(caller)
        asked = decode(_opinion, await request.body(self._body_limit))
        item = await self._memories.get(caller.workspace_id, item_id(asked.memory_id))
        await self._access.meet_item(request, caller, item.user_id)
        if asked.feedback is not None:
            judged = _OPINIONS.get(asked.feedback)
            if judged is None:
                raise InvalidRequest(f"`feedback` is one of {', '.join(_OPINIONS)}, or null", param="feedback")
            await self._memories.judge(caller.workspace_id, item.id, (*judged, asked.feedback_reason))
        told = {"feedback": asked.feedback, "feedback_reason": asked.feedback_reason}
        await send_json(send, 200, {"id": str(item.id), "memory_id": str(item.id), **told})

    async def _batch(self, asked: Sequence[Edit], request: Request, caller: Caller) -> list[tuple[Edit, UUID]]:
        """The entries of a batch with the items that they name. Raises `NotFound` for the first that is not there."""
        found = []
        for place, one in enumerate(asked):
            try:
                item = await self._memories.current(caller.workspace_id, item_id(one.memory_id or ""))
                await self._access.meet_item(request, caller, item.user_id)
            except NotFound as error:
                param = f"memories[{place}].memory_id"
                raise NotFound(f"{param}: {error}; nothing was changed", param=param) from error
            found.append((one, item.id))
        return found

    async def _filter(self, filters: dict[str, Any], request: Request, caller: Caller) -> tuple[Filter, Whose]:
        """The filter and whose items it can reach; one that names nobody is refused."""
        wanted = compiled(filters)
        if wanted.whose is None:
            raise InvalidRequest(
                "`filters` must name a `user_id`, `agent_id`, `app_id` or `run_id`", param="filters.user_id"
            )
        for user_id in wanted.whose.users:
            await self._access.meet(request, caller, user_id)
        if wanted.whose.agents or wanted.whose.apps or wanted.whose.threads:
            self._access.everybody(caller)
        return wanted, msgspec.structs.replace(wanted.whose, key_id=self._access.wall(caller))


def _with_more(
    filters: dict[str, Any] | None,
    categories: list[str] | None,
    dates: tuple[str | None, str | None],
    metadata: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The filters with what stands beside them."""
    parts: list[dict[str, Any]] = [filters or {}]
    if categories:
        parts.append({"categories": {"in": categories}})
    if metadata:
        parts.append({"metadata": metadata})
    if dates[0] is not None:
        parts.append({"created_at": {"gte": dates[0]}})
    if dates[1] is not None:
        parts.append({"created_at": {"lte": dates[1]}})
    return parts[0] if len(parts) == 1 else {"AND": parts}


def _page(query: dict[str, str]) -> tuple[int, int]:
    found = []
    for name, usual, most in (("page", 1, _PAGES_MAX), ("page_size", _PAGE, _PAGE_MAX)):
        text = query.get(name, str(usual))
        if not (text.isascii() and text.isdigit() and len(text) < 7 and 1 <= int(text) <= most):
            raise InvalidRequest(f"`{name}` is from 1 to {most}", param=name)
        found.append(int(text))
    return found[0], found[1]


def _link(request: Request, page: int, size: int) -> str:
    return f"{quote(request.path)}?{urlencode({'page': page, 'page_size': size})}"


def _only(view: dict[str, Any], fields: list[str] | None) -> dict[str, Any]:
    return view if not fields else {name: value for name, value in view.items() if name in {"id", "memory", *fields}}


def _standing(row: Any) -> str:
    """Of an add, in mem0's words; its clients search once it succeeded, so it does not before its vectors are there."""
    if row["waiting"]:
        return "PENDING"
    return "FAILED" if row["status"] == "failed" else "SUCCEEDED"


def _entity_view(entity: Entity) -> dict[str, Any]:
    return {
        "id": f"{entity.type}:{entity.name}",
        "type": entity.type,
        "name": entity.name,
        "total_memories": entity.items,
        "created_at": rfc3339(entity.created_at.timestamp()),
        "updated_at": rfc3339(entity.updated_at.timestamp()),
    }
