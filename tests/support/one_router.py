"""One router of the control plane by itself, asked as a key with these scopes in that workspace."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import httpx
from fastapi import APIRouter, FastAPI, Request, Response

from cmg.identity.models import ApiKey, Caller, Workspace
from cmg.kit.errors import CmgError


@asynccontextmanager
async def asked(router: APIRouter, workspaces: Mapping[str, Workspace]) -> AsyncIterator[httpx.AsyncClient]:
    """A client below `/admin/v1`; the headers `workspace` (default: default) and `scopes` (admin:all) say who asks."""
    app = FastAPI()
    app.include_router(router)

    @app.exception_handler(CmgError)
    async def answer(_: Request, error: CmgError) -> Response:
        return Response(error.json(), error.status, media_type="application/json")

    @app.middleware("http")
    async def who(request: Request, proceed: Callable[[Request], Awaitable[Response]]) -> Response:
        workspace = workspaces[request.headers.get("workspace", "default")]
        key = ApiKey(id="admin", workspace_id=workspace.id, name="a")
        scopes = frozenset(request.headers.get("scopes", "admin:all").split())
        request.state.caller = Caller(key, workspace, scopes, "127.0.0.1")
        return await proceed(request)

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://cmg/admin/v1") as client:
        yield client
