"""The use case: which single calls a caller may see, newest first, and one of them."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from cmg.kit.clock import Clock, rfc3339
from cmg.kit.errors import Forbidden, InvalidRequest, NotFound
from cmg.kit.money import nano_to_usd
from cmg.kit.parameters.pages import page_size
from cmg.ledger.reports import store
from cmg.ledger.reports.parameters import Filters, Moment, moment_in
from cmg.ledger.reports.store import CallsWanted
from cmg.storage.database import Database

STATUSES = ("ok", "error", "cut", "cancelled")
_BEGIN = datetime(2000, 1, 1, tzinfo=UTC)
_AHEAD = timedelta(days=1)
_TIMES = ("latency_ms", "ttft_ms")
_PLAIN = (
    ("workspace", "workspace_id"), ("key", "key_id"), ("user", "user_id"), ("thread", "thread_id"),
    ("agent", "agent_id"), ("app", "app_id"), ("tags", "tags"), ("route", "route"), ("upstream", "upstream"),
    ("model_asked", "model_asked"), ("model_answered", "model_answered"), ("status", "status"),
    ("http_status", "http_status"), ("error_type", "error_type"), ("finish_reason", "finish_reason"),
    ("attempts", "attempts"), ("stream", "stream"), ("replayed", "replayed"), ("prompt_tokens", "prompt_tokens"),
    ("completion_tokens", "completion_tokens"), ("cached_tokens", "cached_tokens"),
    ("cache_write_tokens", "cache_write_tokens"), ("reasoning_tokens", "reasoning_tokens"),
    ("memory_status", "memory_status"), ("memory_items", "memory_items"), ("memory_tokens", "memory_tokens"),
    ("cost_origin", "cost_origin"), ("trace_id", "trace_id"),
)  # fmt: skip


class Calls:
    """`workspaces` gives all workspaces by id; `only`: the workspace of the caller, None may see all of them."""

    def __init__(self, database: Database, workspaces: Callable[[], Mapping[str, Any]], clock: Clock) -> None:
        self._database, self._workspaces, self._clock = database, workspaces, clock

    async def page(self, asked: Mapping[str, str | None], only: str | None) -> dict[str, Any]:
        """A page and the cursor of the next. Raises `InvalidRequest` naming the parameter, `Forbidden`, `NotFound`."""
        wanted = self._wanted(asked, only)
        rows = await store.calls(self._database, wanted)
        full = len(rows) == wanted.limit
        return {"items": [_view(row) for row in rows], "next": _cursor(rows[-1]) if full else None}

    async def one(self, text: str, only: str | None) -> dict[str, Any]:
        """One call by its id (`x-cmg-request-id`). Raises `NotFound`, `InvalidRequest`."""
        try:
            id_ = UUID(text)
        except ValueError as error:
            raise InvalidRequest("a request's id is 32 hex digits", param="id") from error
        row = await store.call(self._database, self._visible(None, only), id_)
        if row is None:
            raise NotFound(
                f"there is no request {id_.hex}: it ended a moment ago, is too old, or belongs to somebody else",
                code="unknown_request",
            )
        return _view(row)

    def _wanted(self, asked: Mapping[str, str | None], only: str | None) -> CallsWanted:
        for name, value in asked.items():
            if value is not None and "\x00" in value:
                raise InvalidRequest(f"`{name}` must not hold a NUL character", param=name)
        status = asked.get("status")
        if status is not None and status not in STATUSES:
            raise InvalidRequest(f"`status` is one of {', '.join(STATUSES)}", param="status")
        until = _moment("to", asked.get("to"), days=1) or self._clock.now() + _AHEAD
        behind = _behind(asked.get("cursor"))
        return CallsWanted(
            workspaces=self._visible(asked.get("workspace"), only),
            since=_moment("from", asked.get("from")) or _BEGIN,
            until=min(until, behind[0]) if behind else until,
            after=behind[1] if behind and behind[0] <= until else UUID(int=0),
            filters=Filters(key=asked.get("key"), user=asked.get("user"), model=asked.get("model")),
            status=status,
            limit=page_size(asked.get("limit")),
        )

    def _visible(self, wanted: str | None, only: str | None) -> tuple[str, ...]:
        if only is not None and wanted not in (None, only):
            raise Forbidden("this key sees its own workspace only; leave `workspace` out", param="workspace")
        name = wanted or only
        if name is None:
            return tuple(self._workspaces())
        if name not in self._workspaces():
            raise NotFound("there is no such workspace", param="workspace")
        return (name,)


def _view(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"].hex,
        "at": rfc3339(row["at"].timestamp()),
        "cost_usd": nano_to_usd(row["cost_nano"]),
        **{name: None if row[name] is None else round(row[name], 3) for name in _TIMES},
        **{name: row[column] for name, column in _PLAIN},
    }


def _cursor(row: Mapping[str, Any]) -> str:
    return f"{row['at'].isoformat()}~{row['id'].hex}"


def _behind(text: str | None) -> tuple[datetime, UUID] | None:
    if text is None:
        return None
    at, _, id_ = text.partition("~")
    wrong = InvalidRequest("`cursor` is the `next` of a page", param="cursor")
    try:
        moment, last = datetime.fromisoformat(at.replace(" ", "+")), UUID(id_)
    except ValueError as error:
        raise wrong from error
    if moment.tzinfo is None:
        raise wrong
    return moment, last


def _moment(name: str, text: str | None, days: int = 0) -> datetime | None:
    """A moment; a date is its first one in UTC, `days` later."""
    found: Moment | None = moment_in(name, text)
    if found is None or isinstance(found, datetime):
        return found
    return datetime(found.year, found.month, found.day, tzinfo=UTC) + timedelta(days=days)
