"""What a process holds: how each thing is closed, how it is looked at, and whether requests need it."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from cmg.health.looking import Probe
from cmg.kit.asgi import Request, Send, send_json
from cmg.kit.clock import Clock

Work = Coroutine[Any, Any, None]

_NO_STORE = (b"cache-control", b"no-store")
_ASKED_S = 1.0
_FRESH_S, _FAILED_S = 1.0, 0.1  # what failed is looked at again sooner: a start is over when it is


@dataclass(frozen=True)
class Resource:
    """Something a process holds. `needed` is asked by `/readyz`: it raises when no request can be served."""

    name: str
    close: Callable[[], Awaitable[None]]
    needed: Callable[[], Awaitable[None]] | None = None


class Resources:
    """Every resource of a process, in the order it was built; closed in reverse. `probes` are for the prober."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._all: list[Resource] = []
        self._failed: dict[str, str] = {}
        self._looked_at = float("-inf")
        self._looking = asyncio.Lock()
        self.probes: list[Probe] = []
        self.stopping = False

    def add(self, resource: Resource) -> None:
        """Register a resource; readiness cannot forget it then."""
        self._all.append(resource)

    def watch(self, probe: Probe) -> None:
        """Have something looked at in the background."""
        self.probes.append(probe)

    async def close(self) -> None:
        """Close everything, last built first; one that fails does not keep the others open."""
        errors: list[Exception] = []
        for resource in reversed(self._all):
            try:
                await resource.close()
            except Exception as error:  # noqa: BLE001  the rest must still be closed; raised together below
                error.add_note(resource.name)
                errors.append(error)
        self._all.clear()
        if errors:
            raise ExceptionGroup("resources that did not close", errors)

    async def failed(self) -> dict[str, str]:
        """Name → what is wrong, of what requests need. Asked once a second at most, ten times while one fails."""
        async with self._looking:
            if self._clock.monotonic() - self._looked_at >= (_FAILED_S if self._failed else _FRESH_S):
                needed = [(one.name, one.needed) for one in self._all if one.needed is not None]
                told = await asyncio.gather(*(_ask(ask) for _, ask in needed))
                self._failed = {name: what for (name, _), what in zip(needed, told, strict=True) if what is not None}
                self._looked_at = self._clock.monotonic()
            return self._failed

    async def livez(self, _request: Request, send: Send) -> None:
        """200 as long as the event loop runs."""
        await send_json(send, 200, {"status": "pass"}, (_NO_STORE,))

    async def readyz(self, _request: Request, send: Send) -> None:
        """200 when requests can be served, else 503."""
        ready = not self.stopping and not await self.failed()
        await send_json(send, 200 if ready else 503, {"status": "pass" if ready else "fail"}, (_NO_STORE,))


async def _ask(needed: Callable[[], Awaitable[None]]) -> str | None:
    try:
        async with asyncio.timeout(_ASKED_S):
            await needed()
    except Exception as error:  # noqa: BLE001  whatever it raises is its answer
        return str(error) or type(error).__name__
    return None
