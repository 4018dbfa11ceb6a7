"""`/health` and what is below it, on raw ASGI: every process that serves answers it from the last report."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import msgspec

from cmg.health import views
from cmg.health.history import RECENT, read_kept
from cmg.health.models import Transition
from cmg.health.reading import Reader
from cmg.health.store import HealthStore
from cmg.kit.asgi import Handler, Request, Send, send_response
from cmg.kit.clock import at
from cmg.kit.errors import CmgError, InvalidRequest
from cmg.kit.parameters.pages import page_size
from cmg.kit.scopes import require
from cmg.storage.errors import DatabaseAway

PATHS = ("/health", *(f"/health/{view}" for view in views.VIEWS), "/health/history")
_SCOPE = "metrics"
_HEADERS = ((b"cache-control", b"no-store"),)
_TYPE = (b"content-type", b"application/health+json")
_UNKNOWN = "cursor: no transition with this id is known"


class Holder(Protocol):
    """Whoever makes the request."""

    @property
    def scopes(self) -> frozenset[str]:
        """The scopes of the key."""
        ...


Authenticate = Callable[[str | None, str | None, str], Awaitable[Holder]]


class Pages:
    """The history in pages: the newest from the machine's file, also while the database is away, older ones from it."""

    def __init__(self, path: Path, store: HealthStore) -> None:
        self._path, self._store = path, store
        self._kept: tuple[int, list[Transition]] = (0, [])

    async def of(self, component: str | None, after: str | None, limit: int) -> tuple[list[Transition], bool]:
        """So many of them, behind the one with the id `after`, and whether there are more.

        Raises `InvalidRequest`, and `DatabaseAway` where nothing can be told without it.
        """
        recent = self._recent()
        place = next((place for place, one in enumerate(recent) if one.id == after), None)
        if after is not None and place is None:
            older = await self._store.older(component, await self._position(after), limit + 1)
            return older[:limit], len(older) > limit
        rest = recent if place is None else recent[place + 1 :]
        found = [one for one in rest if component is None or one.component == component]
        if len(found) > limit or len(recent) < RECENT:
            return found[:limit], len(found) > limit
        last = recent[-1]
        try:
            found += await self._store.older(component, (at(last.at), UUID(last.id)), limit + 1 - len(found))
        except DatabaseAway:
            if not found:
                raise
            return found, True
        return found[:limit], len(found) > limit

    def _recent(self) -> list[Transition]:
        try:
            stamp = self._path.stat().st_mtime_ns
        except OSError:
            return []
        if stamp != self._kept[0]:
            self._kept = (stamp, read_kept(self._path).recent)
        return self._kept[1]

    async def _position(self, text: str) -> tuple[datetime, UUID]:
        try:
            wanted = UUID(text)
        except ValueError as error:
            raise InvalidRequest(_UNKNOWN, param="cursor") from error
        moment = await self._store.moment(wanted)
        if moment is None:
            raise InvalidRequest(_UNKNOWN, param="cursor")
        return moment, wanted


class HealthApi:
    """Strangers see levels only; holders of the scope `metrics` see what was found."""

    def __init__(self, reader: Reader, pages: Pages, authenticate: Authenticate) -> None:
        self._reader, self._pages, self._authenticate = reader, pages, authenticate

    def routes(self) -> dict[str, Handler]:
        """Path → handler."""
        shown: dict[str, Handler] = {f"/health/{view}": self._showing(view) for view in views.VIEWS}
        return {"/health": self.health, **shown, "/health/history": self.history}

    async def health(self, request: Request, send: Send) -> None:
        """The level of the whole. A key that is not valid makes a stranger of its holder, so probes go on."""
        standing = self._reader.standing()
        try:
            known = await self._known(request)
        except CmgError:
            known = False
        await _send(send, *(views.levels(standing) if known else views.bare(standing.level)))

    async def history(self, request: Request, send: Send) -> None:
        """Transitions, newest first: `component`, `limit` (100), `cursor` (the `next` of a page; also `before`)."""
        level = self._reader.standing().level
        if not await self._known(request):
            await _send(send, *views.bare(level))
            return
        query = request.query()
        limit = page_size(query.get("limit"))
        found, more = await self._pages.of(query.get("component"), query.get("cursor") or query.get("before"), limit)
        await _send(send, 200, views.history(level, found, more=more)[1])

    def _showing(self, view: str) -> Handler:
        async def show(request: Request, send: Send) -> None:
            standing = self._reader.standing()
            known = await self._known(request)
            await _send(send, *(views.full(view, standing) if known else views.bare(views.level_of(view, standing))))

        return show

    async def _known(self, request: Request) -> bool:
        """Whether the caller may see more than the level. Raises `CmgError` for a key that is not valid or may not."""
        authorization, api_key = request.header(b"authorization"), request.header(b"x-api-key")
        if not authorization and not api_key:
            return False
        caller = await self._authenticate(authorization, api_key, request.client)
        require(caller.scopes, _SCOPE)
        return True


async def _send(send: Send, code: int, body: dict[str, Any]) -> None:
    await send_response(send, code, msgspec.json.encode(body), (_TYPE, *_HEADERS))
