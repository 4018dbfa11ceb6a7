"""Health of one process from the probes its resources were registered with: `/livez`, `/readyz`, `/health`."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import cmg
from cmg.kit.asgi import Request, Send, send_json
from cmg.kit.clock import Clock, rfc3339

Level = Literal["HEALTHY", "DEGRADED", "UNHEALTHY", "CRITICAL"]
Status = Literal["pass", "warn", "fail"]
Kind = Literal["component", "datastore", "system"]  # ours; a store; another service: the last two are dependencies
Probe = Callable[[], Awaitable[None]]

HEALTH_TYPE = (b"content-type", b"application/health+json")
_NO_STORE = (b"cache-control", b"no-store")
_STATUS: dict[Level, tuple[str, int]] = {
    "HEALTHY": ("pass", 200),
    "DEGRADED": ("warn", 200),
    "UNHEALTHY": ("fail", 503),
    "CRITICAL": ("fail", 503),
}
_SERVICE = "context-memory-gateway"
_PROBE_S = 1.0
_FRESH_S = 1.0


@dataclass(frozen=True)
class Check:
    """One observation, in the words of draft-inadarei-api-health-check-06; `output` says what is wrong."""

    component: str
    measurement: str
    status: Status = "pass"
    value: float | bool | None = None
    unit: str | None = None
    output: str = ""
    component_id: str = ""
    kind: Kind = "component"

    def shown(self, time: str) -> dict[str, Any]:
        """As an entry of `checks`."""
        told: dict[str, Any] = {"componentId": self.component_id or self.component, "componentType": self.kind}
        if self.value is not None:
            told["observedValue"] = self.value
        if self.unit is not None:
            told["observedUnit"] = self.unit
        told |= {"status": self.status, "time": time}
        return {**told, "output": self.output} if self.output else told


Source = Callable[[], Awaitable[Sequence[Check]]]


@dataclass(frozen=True)
class Resource:
    """Something a process holds: how to end it, how to ask whether it works, and whether requests need it.

    `needed`: without it a request fails, so `/readyz` is 503 and the level UNHEALTHY; else the level is DEGRADED.
    """

    name: str
    close: Callable[[], Awaitable[None]]
    probe: Probe | None = None
    needed: bool = False
    kind: Kind = "component"


class Resources:
    """Every resource of a process, in the order it was built; closed in reverse."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._all: list[Resource] = []
        self._sources: list[Source] = []
        self._failed: dict[str, str] = {}
        self._looked_at = float("-inf")
        self._looking = asyncio.Lock()
        self.stopping = False

    def add(self, resource: Resource) -> None:
        """Register a resource; readiness cannot forget it then."""
        self._all.append(resource)

    def report(self, source: Source) -> None:
        """Show what this source observes in `detailed` and, where it is about something outside, in `dependencies`."""
        self._sources.append(source)

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
        body = {"status": status, "level": level, "serviceId": _SERVICE}
        await send_json(send, code, body, (HEALTH_TYPE, _NO_STORE))

    async def detailed(self) -> dict[str, Any]:
        """`application/health+json` with every observation, for callers with a key."""
        return self._body(await self._checks(), at_least=await self.level())

    async def dependencies(self) -> dict[str, Any]:
        """The same for what is not part of the service: stores and upstreams."""
        return self._body([check for check in await self._checks() if check.kind != "component"])

    async def _checks(self) -> list[Check]:
        failed = await self.failed()
        checks = [_availability(one, failed.get(one.name)) for one in self._all if one.probe is not None]
        for source in self._sources:
            checks += await source()
        return checks

    def _body(self, checks: Sequence[Check], at_least: Level = "HEALTHY") -> dict[str, Any]:
        statuses = {check.status for check in checks}
        found: Level = "UNHEALTHY" if "fail" in statuses else "DEGRADED" if "warn" in statuses else "HEALTHY"
        level = max(found, at_least, key=list(_STATUS).index)
        time, shown = rfc3339(self._clock.time()), dict[str, list[dict[str, Any]]]()
        for check in checks:
            shown.setdefault(f"{check.component}:{check.measurement}", []).append(check.shown(time))
        head = {"status": _STATUS[level][0], "level": level, "version": cmg.__version__}
        return {**head, "serviceId": _SERVICE, "checks": shown}


def _availability(resource: Resource, wrong: str | None) -> Check:
    status: Status = "pass" if wrong is None else "fail" if resource.needed else "warn"
    return Check(resource.name, "availability", status, output=wrong or "", kind=resource.kind)


async def _ask(resource: Resource) -> str | None:
    assert resource.probe is not None
    try:
        async with asyncio.timeout(_PROBE_S):
            await resource.probe()
    except Exception as error:  # noqa: BLE001  whatever a probe raises is its answer
        return str(error) or type(error).__name__
    return None
