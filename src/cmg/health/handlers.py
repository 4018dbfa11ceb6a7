"""`/health` and what is below it, on raw ASGI: every process that serves answers it from the last report."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec

from cmg.health import views
from cmg.health.history import Kept, read_kept
from cmg.health.models import Transition
from cmg.health.reading import Reader
from cmg.kit.asgi import Handler, Request, Send, send_response
from cmg.kit.errors import CmgError, InvalidRequest
from cmg.kit.scopes import require

PATHS = ("/health", *(f"/health/{view}" for view in views.VIEWS), "/health/history")
_SCOPE = "metrics"
_HEADERS = ((b"cache-control", b"no-store"),)
_TYPE = (b"content-type", b"application/health+json")
_PAGE, _PAGE_MAX = 100, 1000


class Holder(Protocol):
    """Whoever makes the request."""

    @property
    def scopes(self) -> frozenset[str]:
        """The scopes of the key."""
        ...


Authenticate = Callable[[str | None, str | None, str], Awaitable[Holder]]


class HealthApi:
    """Strangers see levels only; holders of the scope `metrics` see what was found."""

    def __init__(self, reader: Reader, history: Path, authenticate: Authenticate) -> None:
        self._reader, self._history, self._authenticate = reader, history, authenticate
        self._kept: tuple[int, Kept] = (0, Kept())

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
        """Transitions, newest first: `component`, `limit` (100), `before` (an id)."""
        level = self._reader.standing().level
        if not await self._known(request):
            await _send(send, *views.bare(level))
            return
        query = request.query()
        limit = _limit(query.get("limit"))
        found = _before([*self._read().recent], query.get("before"))
        if "component" in query:
            found = [one for one in found if one.component == query["component"]]
        await _send(send, 200, views.history(level, found[:limit], more=len(found) > limit)[1])

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

    def _read(self) -> Kept:
        try:
            stamp = self._history.stat().st_mtime_ns
        except OSError:
            return Kept()
        if stamp != self._kept[0]:
            self._kept = (stamp, read_kept(self._history))
        return self._kept[1]


def _limit(told: str | None) -> int:
    if told is None:
        return _PAGE
    if not told.isascii() or not told.isdigit() or not 1 <= int(told[:6]) <= _PAGE_MAX:
        raise InvalidRequest(f"limit: a number from 1 to {_PAGE_MAX}", param="limit")
    return int(told)


def _before(transitions: list[Transition], last: str | None) -> list[Transition]:
    if last is None:
        return transitions
    for place, one in enumerate(transitions):
        if one.id == last:
            return transitions[place + 1 :]
    raise InvalidRequest("before: no transition with this id is known", param="before")


async def _send(send: Send, code: int, body: dict[str, Any]) -> None:
    await send_response(send, code, msgspec.json.encode(body), (_TYPE, *_HEADERS))
