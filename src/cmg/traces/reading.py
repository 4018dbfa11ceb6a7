"""What kept traces can be asked: lists, newest or slowest first, and one trace as a tree."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from cmg.kit.clock import Clock, rfc3339
from cmg.kit.errors import InvalidRequest, NotFound
from cmg.kit.parameters.pages import page_size
from cmg.kit.parameters.texts import without_nul
from cmg.traces.rows import decode
from cmg.traces.store import TraceStore, Wanted
from cmg.traces.tree import tree, where

_STATUSES = {"ok": False, "error": True}
_ORDERS = ("newest", "slowest")
_YEARS = (2000, 2200)
_AHEAD = timedelta(days=1)


class TraceReader:
    """The use cases of `/admin/v1/traces`. `only`: the workspace of the caller; None may see all of them."""

    def __init__(self, store: TraceStore, clock: Clock) -> None:
        self._store, self._clock = store, clock

    async def page(self, asked: Mapping[str, str | None], only: str | None) -> dict[str, Any]:
        """A page of traces and the cursor of the next. Raises `InvalidRequest` naming the parameter."""
        wanted = self._wanted(asked, only)
        rows = await self._store.page(wanted)
        following = _cursor(rows[-1]) if len(rows) == wanted.limit else None
        return {"items": [_item(row) for row in rows], "next": following}

    async def trace(self, text: str, only: str | None) -> dict[str, Any]:
        """One trace, by its id or the id of a request in it. Raises `NotFound`."""
        rows = await self._store.parts(only, _id(text))
        if not rows:
            raise NotFound(
                f"there is no trace {text[:64]}: it was not kept, is too old, or belongs to somebody else",
                code="unknown_trace",
            )
        roots = tree([span for row in rows for span in decode(row["body"])])
        return {
            "trace_id": rows[0]["trace_id"].hex,
            "started_at": rfc3339(rows[0]["at"].timestamp()),
            "duration_ms": max(node["start_ms"] + node["duration_ms"] for node in roots),
            "status": "error" if any(row["failed"] for row in rows) else "ok",
            "parts": [_item(row) for row in rows],
            "where": where(roots),
            "spans": roots,
        }

    def _wanted(self, asked: Mapping[str, str | None], only: str | None) -> Wanted:
        now, workspace = self._clock.now(), asked.get("workspace")
        if workspace is not None and only is not None and workspace != only:
            raise NotFound(f"there is no workspace {workspace[:64]}", param="workspace")
        status, order = asked.get("status"), asked.get("order") or "newest"
        if status is not None and status not in _STATUSES:
            raise InvalidRequest("`status` is ok or error", param="status")
        if order not in _ORDERS:
            raise InvalidRequest("`order` is newest or slowest", param="order")
        return Wanted(
            workspace=without_nul("workspace", workspace) or only,
            since=_moment("from", asked.get("from")) or datetime(_YEARS[0], 1, 1, tzinfo=UTC),
            until=_moment("to", asked.get("to")) or now + _AHEAD,
            failed=None if status is None else _STATUSES[status],
            model=without_nul("model", asked.get("model")),
            min_ms=_number("min_ms", asked.get("min_ms")),
            slowest=order == "slowest",
            after=_after(asked.get("cursor")),
            limit=page_size(asked.get("limit")),
        )


def _item(row: Any) -> dict[str, Any]:
    return {
        "trace_id": row["trace_id"].hex,
        "request_id": row["id"].hex,
        "at": rfc3339(row["at"].timestamp()),
        "workspace": row["workspace_id"],
        "kind": row["kind"],
        "name": row["name"],
        "model": row["model"],
        "status": "error" if row["failed"] else "ok",
        "http_status": row["status"] or None,
        "duration_ms": round(row["duration_ms"], 3),
        "kept_for": row["reason"],
        "spans": row["spans"],
    }


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise InvalidRequest("a trace's id is 32 hex digits", param="id") from error


def _cursor(row: Any) -> str:
    return f"{row['id'].hex}.{row['duration_ms'].hex()}"


def _after(text: str | None) -> tuple[UUID, float] | None:
    if text is None:
        return None
    first, _, rest = text.partition(".")
    try:
        return UUID(first), float.fromhex(rest)
    except (ValueError, OverflowError) as error:
        raise InvalidRequest("`cursor` is the `next` of a page", param="cursor") from error


def _moment(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    wrong = InvalidRequest(f"`{name}` is a moment with its offset, like 2026-11-23T20:27:28Z", param=name)
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))  # an unencoded + arrives as a space
    except ValueError as error:
        raise wrong from error
    if moment.tzinfo is None or not _YEARS[0] <= moment.year <= _YEARS[1]:
        raise wrong
    return moment


def _number(name: str, text: str | None) -> float:
    if text is None:
        return 0.0
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e12:
        raise InvalidRequest(f"`{name}` is a number of milliseconds", param=name)
    return value
