"""`GET /v1/models` and `GET /v1/models/{id}`: what this key may ask for, in OpenAI's shapes."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

from cmg.gateway.routing.catalogue import Catalogue, ModelInfo
from cmg.gateway.routing.router import Candidate, Router
from cmg.identity.models import Caller
from cmg.kit.asgi import Request, Send, send_json
from cmg.kit.errors import Forbidden, ModelNotFound
from cmg.kit.ids import uuid7_hex
from cmg.kit.scopes import require

_PREFIX = "/v1/models/"
_SCOPE = "models"
_OURS = "context-memory-gateway"
_TURN = 200  # entries (2 ms) until other calls get a turn of the event loop


class ModelsHandler:
    """Lists the synced catalogue, the settings' routes and the simulator's models, as far as the key may use them.

    A name is listed when a chat call with it would find somebody: models of an upstream that is not configured any
    more are left out. One that no catalogue lists but an upstream's globs match can be asked for by its id.
    """

    def __init__(self, catalogue: Catalogue, router: Router) -> None:
        self._catalogue, self._router = catalogue, router

    async def list(self, request: Request, send: Send, caller: Caller) -> None:
        """`{"object": "list", "data": [...]}`, sorted by id. Raises `Forbidden` without the scope `models`."""
        require(caller.scopes, _SCOPE)
        entries: dict[str, dict[str, Any]] = {}
        for number, (name, entry) in enumerate(self._entries(caller), 1):
            entries.setdefault(name, entry)
            if number % _TURN == 0:
                await asyncio.sleep(0)
        await _answer(request, send, {"object": "list", "data": [entries[name] for name in sorted(entries)]})

    async def one(self, request: Request, send: Send, caller: Caller) -> None:
        """One model by the rest of the path, slashes included.

        Raises `ModelNotFound` when nobody serves it, `Forbidden` when the key may not use it or lacks the scope.
        """
        require(caller.scopes, _SCOPE)
        name = request.path.removeprefix(_PREFIX)
        await _answer(request, send, self._entry(name, self._router.candidates(name, (), caller)))

    def _entries(self, caller: Caller) -> Iterator[tuple[str, dict[str, Any]]]:
        for name in self._router.names():
            candidates = self._usable(name, caller)
            if candidates:
                yield name, self._entry(name, candidates)
        for info in self._catalogue.models():
            reached = self._name_for(info, caller)
            if reached is not None:
                yield reached, _described(reached, info.upstream, info)

    def _name_for(self, info: ModelInfo, caller: Caller) -> str | None:
        """The name by which this key reaches the model: with its upstream, else without where that leads there."""
        for name in (info.id, info.model):
            candidates = self._usable(name, caller)
            if candidates and candidates[0].place == (info.upstream, info.model):
                return name
        return None

    def _usable(self, name: str, caller: Caller) -> Sequence[Candidate]:
        try:
            return self._router.candidates(name, (), caller)
        except (Forbidden, ModelNotFound):
            return []

    def _entry(self, name: str, candidates: Sequence[Candidate]) -> dict[str, Any]:
        """A route is ours and holds what its largest candidate holds; a plain name is its upstream's."""
        infos = [self._catalogue.find(*candidate.place) for candidate in candidates]
        first = candidates[0]
        if len(candidates) == 1 and name in (first.name, first.model):
            return _described(name, first.upstream.name, infos[0])
        entry = _described(name, _OURS, None)
        lengths = [info.context_length for info in infos if info is not None and info.context_length is not None]
        if len(lengths) == len(candidates):
            entry["context_length"] = max(lengths)
        return entry


def _described(name: str, owner: str, info: ModelInfo | None) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": name, "object": "model", "created": 0, "owned_by": owner}
    if info is not None:
        entry["created"] = info.created
        if info.context_length is not None:
            entry["context_length"] = info.context_length
        if info.pricing is not None:
            entry["pricing"] = info.pricing
    return entry


async def _answer(request: Request, send: Send, value: Any) -> None:
    request_id: str = request.scope.get("cmg.request_id") or uuid7_hex()
    await send_json(send, 200, value, ((b"x-cmg-request-id", request_id.encode()),))
