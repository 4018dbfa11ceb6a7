"""`POST /v1/logs`: OTLP's path for logs."""

from fastapi import APIRouter, Request, Response

from cmg.kit.parameters.bodies import body_of
from cmg.kit.permissions import requires
from cmg.logbook.intake.taking import JSON, PROTOBUF, Intake

_BODY = {"content": {PROTOBUF: {}, JSON: {}}, "required": True}


def router(intake: Intake, body_bytes: int) -> APIRouter:
    """For collectors with a key of the scope `logs:write`."""
    routes = APIRouter(tags=["logs"])

    @routes.post(
        "/v1/logs",
        summary="Take in log records (OTLP/HTTP)",
        dependencies=[requires("logs:write")],
        openapi_extra={"requestBody": _BODY},
        response_class=Response,
    )
    async def take_logs(request: Request) -> Response:
        """Protobuf or JSON, plain or gzip; lines become the key's workspace's."""
        body = await body_of(request, body_bytes, f"the body is larger than the limit of {body_bytes} bytes")
        kind, encoding = request.headers.get("content-type", ""), request.headers.get("content-encoding", "")
        answer, answered_as = await intake.take(body, kind, encoding, request.state.caller.workspace_id)
        return Response(answer, media_type=answered_as)

    return routes
