"""`/admin/v1/jobs`: the queue, the schedules, and what is done with jobs that failed for good."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from cmg.jobs.desk import JobDesk, Note
from cmg.kit.permissions import requires


class JobParameters(BaseModel):
    """Which jobs. All are text here: what is wrong is told by our own error body."""

    state: str | None = Field(None, description="waiting, running, held (failed for good)")
    name: str | None = Field(None, description="As `audit.purge`")
    cursor: str | None = Field(None, description="The `next` of the page before")
    limit: str | None = Field(None, description="1 to 500, default 100")


class JobItem(BaseModel):
    """One job of the queue; one that ended well is not in it any more. `attempts`: how many failed."""

    id: str
    name: str
    state: str
    attempts: int
    created_at: str
    updated_at: str
    runs_after: str


class JobPage(BaseModel):
    """A page of jobs, newest first; `next` is the cursor of the page after it."""

    items: list[JobItem]
    next: str | None


class ScheduleItem(BaseModel):
    """What runs by the clock; `every` is a cron line in UTC."""

    name: str
    every: str
    last_run: str | None
    next_run: str | None


class SchedulePage(BaseModel):
    """All of them."""

    items: list[ScheduleItem]
    next: str | None


def router(desk: JobDesk, noted: Callable[[Request], Note]) -> APIRouter:
    """The routes; `noted` adds to the audit trail in the name of whoever makes a request."""
    routes = APIRouter(prefix="/admin/v1/jobs", tags=["jobs"], dependencies=[requires("admin:all")])

    @routes.get("", response_model=JobPage, summary="List jobs")
    async def list_jobs(parameters: Annotated[JobParameters, Query()]) -> Any:
        """Those that wait, run, or are held."""
        return await desk.page(parameters.model_dump())

    @routes.get("/schedules", response_model=SchedulePage, summary="List schedules of jobs")
    async def list_job_schedules() -> Any:
        """When each ran last, and will next."""
        return await desk.schedules()

    @routes.post("/{id}/retry", status_code=204, summary="Retry a held job")
    async def retry_job(request: Request, id: str) -> Response:  # noqa: A002  the path's name for it
        """It waits again, with all of its attempts."""
        await desk.retry(id, noted(request))
        return Response(status_code=204)

    @routes.delete("/{id}", status_code=204, summary="Delete a held job")
    async def delete_job(request: Request, id: str) -> Response:  # noqa: A002  the path's name for it
        """What it would have done is left undone."""
        await desk.drop(id, noted(request))
        return Response(status_code=204)

    return routes
