"""Answers given again: to a repeated `Idempotency-Key`, and from a key's exact response cache."""

from collections.abc import Awaitable, Callable

from cmg.gateway.answering import Headers
from cmg.gateway.answers.idempotency import IdempotentCalls
from cmg.gateway.answers.response_cache import ResponseCache
from cmg.gateway.answers.stored import Stored
from cmg.gateway.recording import Call, Recorder
from cmg.kit.asgi import Request, Send

_PER_CALL = frozenset({b"x-cmg-request-id", b"x-cmg-overhead-ms", b"x-cmg-cost-usd", b"content-length"})


class Keeper:
    """Where one call's whole answer is kept: under its idempotency key, in the cache, or both."""

    def __init__(
        self, replays: "Replays", place: tuple[str, str, str] | None, cached: tuple[str, bytes, int] | None
    ) -> None:
        self._replays, self._place, self._cached = replays, place, cached
        self.kept = False

    async def keep(self, headers: Headers, body: bytes, *, stream: bool) -> None:
        """Store a good answer. Never raises: the call was made and paid, and the client gets its answer."""
        lasting = [(name, value) for name, value in headers if name not in _PER_CALL]
        stored = Stored(200, lasting, body, stream)
        if self._place is not None:
            await self._replays.idempotent.finish(*self._place, stored)
        if self._cached is not None:
            key_id, asked, ttl_s = self._cached
            await self._replays.responses.put(key_id, _PATH, asked, stored, ttl_s)
        self.kept = True

    async def give_up(self) -> None:
        """The call was not answered well: the next one with the same key is a new one."""
        if not self.kept and self._place is not None:
            await self._replays.idempotent.give_up(*self._place)


_PATH = "/v1/chat/completions"


class Replays:
    """Looks for an answer before a call is made, and keeps the one it gets."""

    def __init__(self, idempotent: IdempotentCalls, responses: ResponseCache, recorder: Recorder) -> None:
        self.idempotent, self.responses, self._recorder = idempotent, responses, recorder

    async def around(
        self, request: Request, send: Send, call: Call, body: bytes, run: Callable[[Keeper | None], Awaitable[None]]
    ) -> None:
        """Give the stored answer, or `run` the call. Raises `Conflict` while the same call is in flight."""
        key = call.caller.key
        named = request.header(b"idempotency-key")
        if not named and not key.response_cache_s:
            await run(None)
            return
        place = (key.workspace_id, key.id, named) if named else None
        if place is not None:
            stored = await self.idempotent.begin(*place, body, _user_of(call))
            if stored is not None:
                await self._replay(stored, send, call)
                return
        # A call that reads memory is not the same call a moment later; and what a person said is kept in no place
        # where an erasure could not find it.
        cacheable = key.response_cache_s and call.scope is None and call.user[0] is None
        cached = (key.id, body, key.response_cache_s) if cacheable else None
        if cached is not None and place is None:
            stored = await self.responses.get(key.id, _PATH, body)
            if stored is not None:
                await self._replay(stored, send, call)
                return
        keeper = Keeper(self, place, cached)
        try:
            await run(keeper)
        finally:
            await keeper.give_up()

    async def _replay(self, stored: Stored, send: Send, call: Call) -> None:
        call.replayed, call.turns = True, None
        self._recorder.write(call)
        headers = [*stored.headers, (b"x-cmg-request-id", call.id.encode()), (b"x-cmg-replayed", b"true")]
        if not stored.stream:
            headers += [(b"x-cmg-cost-usd", b"0"), (b"content-length", str(len(stored.body)).encode())]
        await send({"type": "http.response.start", "status": stored.status, "headers": headers})
        await send({"type": "http.response.body", "body": stored.body})


def _user_of(call: Call) -> str | None:
    """Whom the call names: the user, or the memory of its key."""
    return call.user[0] or (None if call.scope is None else call.scope.user_id)
