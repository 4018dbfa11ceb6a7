"""`/admin/v1/logs`: searching, following, patterns, levels and holds."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from cmg.kit.clock import rfc3339
from cmg.kit.permissions import joined, requires
from cmg.logbook import schemas
from cmg.logbook.cold.file_store import Hold
from cmg.logbook.cold.holding import Holds
from cmg.logbook.levels.level_store import SetLevel
from cmg.logbook.levels.setting import LogLevels
from cmg.logbook.patterns.keeping import Patterns
from cmg.logbook.ports import Callers
from cmg.logbook.searching import Search
from cmg.logbook.tailing import Tail

_NDJSON = "application/x-ndjson"


@dataclass(frozen=True)
class LogUses:
    """The use cases behind the routes. `default_level`: the settings' own."""

    search: Search
    tail: Tail
    patterns: Patterns
    levels: LogLevels
    holds: Holds
    default_level: str


def router(uses: LogUses, callers: Callers) -> APIRouter:
    """The routes: `admin` sees lines of its workspace, `admin:all` all of them, and sets levels and holds."""
    return joined(_reading(uses, callers), _levels(uses, callers), _holds(uses.holds, callers))


def _reading(uses: LogUses, callers: Callers) -> APIRouter:
    routes = APIRouter(prefix="/admin/v1/logs", tags=["logs"], dependencies=[requires("admin:read")])

    @routes.get("", response_model=schemas.LogPageView, summary="Search the logs")
    async def search_logs(request: Request, wanted: Annotated[schemas.LogQuery, Query()]) -> Any:
        """By words, time, level, component, request and trace, over the database and the files of the last year."""
        page = await uses.search.page(wanted.model_dump(), callers.visible(request, wanted.workspace))
        return {"items": page.items, "next": page.next}

    @routes.get("/tail", response_class=StreamingResponse, summary="Follow the logs")
    async def tail_logs(request: Request, wanted: Annotated[schemas.TailQuery, Query()]) -> StreamingResponse:
        """Lines as they are stored, a JSON object each; ends after four minutes with `{"next": …}` to go on with."""
        stream = await uses.tail.stream(wanted.model_dump(), callers.visible(request, wanted.workspace))
        return StreamingResponse(stream, media_type=_NDJSON, headers={"cache-control": "no-store"})

    @routes.get("/patterns", response_model=schemas.PatternPageView, summary="List patterns of messages")
    async def list_log_patterns(request: Request, wanted: Annotated[schemas.PatternQuery, Query()]) -> Any:
        """Kinds of messages with how many lines they had, those of most lines first."""
        return await uses.patterns.page(wanted.model_dump(), callers.visible(request, wanted.workspace))

    return routes


def _levels(uses: LogUses, callers: Callers) -> APIRouter:
    routes = APIRouter(prefix="/admin/v1/logs/levels", tags=["logs"], dependencies=[requires("admin:all")])

    @routes.get("", response_model=schemas.LevelsView, summary="List levels of loggers")
    async def list_log_levels() -> Any:
        """Those that differ from the settings'."""
        return {"default": uses.default_level, "items": [_level(one) for one in await uses.levels.list()]}

    @routes.put("", response_model=schemas.LevelView, summary="Set the level of a logger")
    async def set_log_level(request: Request, form: schemas.LevelForm) -> Any:
        """In every process of every machine, within two seconds; `for` so long, or until it is changed."""
        return _level(await uses.levels.set(form.model_dump(by_alias=True), callers.name(request)))

    @routes.delete("/{logger}", status_code=204, summary="Take the level of a logger back")
    async def reset_log_level(request: Request, logger: str) -> Response:
        """It has the settings' level again."""
        await uses.levels.reset(logger, callers.name(request))
        return Response(status_code=204)

    return routes


def _holds(holds: Holds, callers: Callers) -> APIRouter:
    routes = APIRouter(prefix="/admin/v1/logs/holds", tags=["logs"], dependencies=[requires("admin:all")])

    @routes.get("", response_model=schemas.HoldsView, summary="List legal holds")
    async def list_log_holds() -> Any:
        """Released ones too."""
        return {"items": [_hold(one) for one in await holds.list()]}

    @routes.post("", status_code=201, response_model=schemas.HoldView, summary="Place a legal hold")
    async def place_log_hold(request: Request, form: schemas.HoldForm) -> Any:
        """Files with lines of its time do not expire until it is released."""
        return _hold(await holds.place(form.model_dump(), callers.name(request)))

    @routes.delete("/{hold_id}", status_code=204, summary="Release a legal hold")
    async def release_log_hold(request: Request, hold_id: str) -> Response:
        """What it held expires with the next run of the job."""
        await holds.release(hold_id, callers.name(request))
        return Response(status_code=204)

    return routes


def _level(one: SetLevel) -> Mapping[str, Any]:
    times = {"until": _told(one.until), "set_at": _told(one.set_at)}
    return {"logger": one.logger, "level": one.level, "set_by": one.set_by, **times}


def _hold(one: Hold) -> Mapping[str, Any]:
    times = {name: _told(getattr(one, name)) for name in ("since", "until", "placed_at", "released_at")}
    who = {"workspace": one.workspace_id, "placed_by": one.placed_by, "released_by": one.released_by}
    return {"hold": str(one.hold_id), "reason": one.reason, **who, **times}


def _told(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment.timestamp())
