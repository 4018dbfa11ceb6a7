"""The OpenAPI document of the whole service, and the page that shows it: all assets come from a package."""

from collections.abc import Sequence
from importlib import resources
from inspect import cleandoc
from typing import Any

import msgspec
from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse, JSONResponse, Response

from cmg.app.openapi.operations import OPERATIONS, Described
from cmg.app.security_headers import DOCS_POLICY
from cmg.identity.forms.schemas import ErrorView
from cmg.kit.errors import NotFound
from cmg.kit.permissions import requires

_ASSETS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "favicon.png": "image/png"}
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Context Memory Gateway API</title>
<link rel="stylesheet" href="/docs/assets/swagger-ui.css"><link rel="icon" href="/docs/assets/favicon.png"></head>
<body><div id="page"></div><script src="/docs/assets/swagger-ui-bundle.js"></script>
<script src="/docs/assets/start.js"></script></body></html>
"""
_START = 'SwaggerUIBundle({url: "/openapi.json", dom_id: "#page", deepLinking: true});\n'
_REFERENCE = "#/components/schemas/{name}"
_ERROR_REFERENCE = {"$ref": "#/components/schemas/Error"}


def api_docs_router(app: FastAPI) -> APIRouter:
    """`/openapi.json` and `/docs`, for whoever may list models."""
    router = APIRouter(include_in_schema=False, dependencies=[requires("models")])

    @router.get("/openapi.json")
    async def document() -> JSONResponse:
        return JSONResponse(app.openapi())

    @router.get("/docs")
    async def page() -> HTMLResponse:
        return HTMLResponse(_PAGE, headers={"content-security-policy": DOCS_POLICY})

    @router.get("/docs/assets/{name}")
    async def asset(name: str) -> Response:
        if name == "start.js":
            return Response(_START, media_type="text/javascript")
        if name not in _ASSETS:
            raise NotFound(f"there is no asset {name}")
        file = resources.files("fastapi_offline") / "static" / name
        return Response(file.read_bytes(), media_type=_ASSETS[name])

    return router


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """The control plane's document with the data plane's operations in it."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, routes=app.routes, summary=_summary())
        _add_data_plane(document, OPERATIONS)
        _add_errors(document["components"]["schemas"])
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"key": []}]
        app.openapi_schema = document
    return app.openapi_schema


def _summary() -> str:
    return "OpenAI-compatible gateway with context memory, budgets and costs."


def _add_data_plane(document: dict[str, Any], operations: Sequence[Described]) -> None:
    types = [one for operation in operations for one in (operation.request, operation.answer) if one is not None]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    for component in components.values():  # before Python 3.13 a docstring keeps the indentation of the code
        if "description" in component:
            component["description"] = cleandoc(component["description"])
    document.setdefault("components", {}).setdefault("schemas", {}).update(components)
    by_type = dict(zip(types, schemas, strict=True))
    for operation in operations:
        entry: dict[str, Any] = {
            "summary": operation.summary,
            "operationId": operation.name,
            "tags": [operation.tag],
            "parameters": [
                {"name": name, "in": place, "required": place == "path", "schema": {"type": "string"}}
                for name, place in operation.parameters
            ],
            "responses": {
                str(operation.status): {
                    "description": "OK",
                    **_content(by_type.get(operation.answer), operation.content),
                },
                "default": {
                    "description": "OpenAI's error body",
                    **_content(_ERROR_REFERENCE),
                },
            },
        }
        if operation.request is not None:
            entry["requestBody"] = {"required": True, **_content(by_type[operation.request])}
        document["paths"].setdefault(operation.path, {})[operation.method.lower()] = entry
    document["components"]["schemas"]["Error"] = _ERROR


def _add_errors(schemas: dict[str, Any]) -> None:
    """The body that the routes' `ERRORS` name."""
    described = ErrorView.model_json_schema(ref_template=_REFERENCE.replace("{name}", "{model}"))
    schemas.update({**described.pop("$defs"), "ErrorView": described})


def _content(schema: dict[str, Any] | None, kinds: Sequence[str] = ("application/json",)) -> dict[str, Any]:
    return {} if schema is None else {"content": {kind: {"schema": schema} for kind in kinds}}


_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
