"""Health of one process from the probes its resources were registered with: `/livez`, `/readyz`, `/health`."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

import cmg
from cmg.kit.asgi import Request, Send, send_json
from cmg.kit.clock import Clock, rfc3339

Level = Literal["HEALTHY", "DEGRADED", "UNHEALTHY", "CRITICAL"]
Probe = Callable[[], Awaitable[None]]

HEALTH_TYPE = (b"content-type", b"application/health+json")
_NO_STORE = (b"cache-control", b"no-store")
_STATUS: dict[Level, tuple[str, int]] = {
    "HEALTHY": ("pass", 200),
    "DEGRADED": ("warn", 200),
    "UNHEALTHY": ("fail", 503),
    "CRITICAL": ("fail", 503),
}
_PROBE_S = 1.0
_FRESH_S = 1.0


@dataclass(frozen=True)
class Resource:
    """Something a process holds: how to end it, how to ask whether it works, and whether requests need it.

    `needed`: without it a request fails, so `/readyz` is 503 and the level UNHEALTHY; else the level is DEGRADED.
    """

    name: str
    close: Callable[[], Awaitable[None]]
    probe: Probe | None = None
    needed: bool = False


class Resources:
    """Every resource of a process, in the order it was built; closed in reverse."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._all: list[Resource] = []
        self._failed: dict[str, str] = {}
        self._looked_at = float("-inf")
        self._looking = asyncio.Lock()
        self.stopping = False

    def add(self, resource: Resource) -> None:
        """Register a resource; readiness cannot forget it then."""
        self._all.append(resource)

    async def close(self) -> None:
        """Close everything, last built first; one that fails does not keep the others open."""
        errors: list[Exception] = []
        for resource in reversed(self._all):
            try:
                await resource.close()
            except Exception as error:  # noqa: BLE001  the rest must still be closed; raised together below
                errors.append(error)
        self._all.clear()
        if errors:
            raise ExceptionGroup("resources that did not close", errors)

    async def failed(self) -> dict[str, str]:
        """Name → what is wrong, of the resources whose probe fails now (asked at most once a second)."""
        async with self._looking:
            if self._clock.monotonic() - self._looked_at >= _FRESH_S:
                probed = [resource for resource in self._all if resource.probe is not None]
                told = await asyncio.gather(*(_ask(resource) for resource in probed))
                self._failed = {r.name: what for r, what in zip(probed, told, strict=True) if what is not None}
                self._looked_at = self._clock.monotonic()
            return self._failed

    async def level(self) -> Level:
        """HEALTHY, DEGRADED (slower or with less, but serving) or UNHEALTHY (requests fail)."""
        failed = await self.failed()
        if self.stopping or any(resource.needed and resource.name in failed for resource in self._all):
            return "UNHEALTHY"
        return "DEGRADED" if failed else "HEALTHY"

    async def livez(self, _request: Request, send: Send) -> None:
        """200 as long as the event loop runs."""
        await send_json(send, 200, {"status": "pass"}, (_NO_STORE,))

    async def readyz(self, _request: Request, send: Send) -> None:
        """200 when requests can be served, else 503."""
        ready = await self.level() != "UNHEALTHY"
        await send_json(send, 200 if ready else 503, {"status": "pass" if ready else "fail"}, (_NO_STORE,))

    async def health(self, _request: Request, send: Send) -> None:
        """The level, and nothing else that a stranger could use."""
        level = await self.level()
        status, code = _STATUS[level]
        body = {"status": status, "level": level, "serviceId": "context-memory-gateway"}
        await send_json(send, code, body, (HEALTH_TYPE, _NO_STORE))

    async def detailed(self) -> dict[str, Any]:
        """`application/health+json` with one check per resource, for callers with a key."""
        failed, level = await self.failed(), await self.level()
        time = rfc3339(self._clock.time())
        checks = {
            f"{resource.name}:availability": [
                {
                    "componentId": resource.name,
                    "status": ("fail" if resource.needed else "warn") if resource.name in failed else "pass",
                    "time": time,
                    "output": failed.get(resource.name, ""),
                }
            ]
            for resource in self._all
            if resource.probe is not None
        }
        status, _ = _STATUS[level]
        return {"status": status, "level": level, "version": cmg.__version__, "checks": checks}


async def _ask(resource: Resource) -> str | None:
    assert resource.probe is not None
    try:
        async with asyncio.timeout(_PROBE_S):
            await resource.probe()
    except Exception as error:  # noqa: BLE001  whatever a probe raises is its answer
        return str(error) or type(error).__name__
    return None
