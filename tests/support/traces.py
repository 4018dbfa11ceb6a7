"""Traces as an administrator reads them from a running service."""

import asyncio
from typing import Any

from support.service import Service, eventually

CALLER = "00f067aa0ba902b7"


def traceparent(trace_id: str, *, sampled: bool = True) -> dict[str, str]:
    """The header of a caller that has a trace."""
    return {"traceparent": f"00-{trace_id}-{CALLER}-{'01' if sampled else '00'}"}


async def trace_of(service: Service, id_: str, key: str | None = None) -> dict[str, Any]:
    """The trace, once it is stored."""

    async def look() -> Any:
        status, answer = await asyncio.to_thread(service.call, "GET", f"/admin/v1/traces/{id_}", None, key)
        return answer if status == 200 else None

    return dict(await eventually(look, 60, f"the trace {id_} is stored"))


def parts(trace: dict[str, Any], part: str) -> list[dict[str, Any]]:
    """Every span that is such a part."""
    found, waiting = [], list(trace["spans"])
    while waiting:
        node = waiting.pop(0)
        waiting += node["children"]
        if node["part"] == part:
            found.append(node)
    return sorted(found, key=lambda one: float(one["start_ms"]))
