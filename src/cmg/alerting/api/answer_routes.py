"""`/act/…` for people with a link, and the callbacks of Slack, PagerDuty and Twilio."""

import base64
import hashlib
from html import escape
from typing import Annotated, Any
from xml.sax.saxutils import escape as xml_escape

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse, Response

from cmg.alerting.answering.answers import Answers
from cmg.alerting.answering.links import JUDGING, Token
from cmg.alerting.answering.replies import Replies
from cmg.alerting.models import Group
from cmg.identity.forms.schemas import ERRORS
from cmg.kit.errors import CmgError
from cmg.kit.parameters.bodies import body_of
from cmg.kit.permissions import joined, signed

_BODY_MOST = 256 * 1024
_STYLE = (
    "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:0 auto;padding:1rem}"
    ":root{color-scheme:light dark}button{font:inherit;padding:1rem 2rem;width:100%}"
)
_POLICY = (
    "default-src 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    + "'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_BUTTONS = {
    "acknowledge": "Acknowledge",
    "resolve": "Resolve",
    "useful": "It was useful",
    "noise": "It was noise",
}
_DONE = {"acknowledged": "Acknowledged", "resolved": "Resolved", "snoozed": "Snoozed", "open": "Open"}
_ERROR_PAGES: dict[int | str, dict[str, Any]] = {
    status: {**told, "content": {"text/html": told["content"]["application/json"]}} for status, told in ERRORS.items()
}

Sealed = Annotated[str, Path(max_length=1000, description="the token of a link in a message")]
Name = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,63}$")]


def router(answers: Answers, replies: Replies) -> APIRouter:
    """Everything that is called without a key and proves itself by a signature."""
    return joined(_links(answers), _callbacks(answers), _texts(replies))


def _links(answers: Answers) -> APIRouter:
    proof = signed("the link's own signature says what may be done, and until when")
    routes = APIRouter(responses=_ERROR_PAGES, tags=["answers"], dependencies=[proof])

    @routes.get("/act/{token}", response_class=HTMLResponse, summary="Show what a link in a message would do")
    async def show_link(token: Sealed) -> Response:
        """A page with a button. Looking does nothing, so programs that preview links acknowledge nothing."""
        try:
            told, group = await answers.look(token)
        except CmgError as error:
            return _page(error.message, status=error.status)
        return _asking(told, group)

    @routes.post("/act/{token}", response_class=HTMLResponse, summary="Do what a link in a message says")
    async def follow_link(request: Request, token: Sealed) -> Response:
        """Acknowledge or resolve one group of alerts, or say whether it was worth it."""
        try:
            told, _ = await answers.look(token)
            group = await answers.act(token, request.state.client)
        except CmgError as error:
            return _page(error.message, status=error.status)
        if told.action in JUDGING:
            return _page(f"Thank you. Kept as {told.action}: {group.title}")
        by = f" by {group.by}" if group.by and group.status != "open" else ""
        return _page(f"{_DONE[group.status]}{by}: {group.title}")

    return routes


def _callbacks(answers: Answers) -> APIRouter:
    proof = signed("each request is signed by whoever sends it, with the channel's secret")
    routes = APIRouter(prefix="/hooks", responses=ERRORS, tags=["answers"], dependencies=[proof])

    @routes.post("/slack/{workspace}/{channel}", summary="Take the press of a button in Slack")
    async def slack_pressed(request: Request, workspace: Name, channel: Name) -> Any:
        """The app's request URL for interactivity; the channel needs the secret `signing_secret`."""
        body = await _body(request)
        place, headers = (workspace, channel), request.headers
        group = await answers.pressed_in_slack(place, headers, body, request.state.client)
        return {"text": f"{_DONE[group.status]}: {group.title}", "replace_original": False}

    @routes.post("/pagerduty/{workspace}/{channel}", summary="Take PagerDuty's webhook")
    async def pagerduty_told(request: Request, workspace: Name, channel: Name) -> Any:
        """Version 3; the channel needs the secret `webhook_secret`."""
        body = await _body(request)
        place, headers = (workspace, channel), request.headers
        group = await answers.heard_from_pagerduty(place, headers, body, request.state.client)
        return {"group": None if group is None else group.id}

    @routes.post("/twilio/{token}", response_class=Response, summary="Take a key that was pressed in a call")
    async def twilio_pressed(request: Request, token: Sealed) -> Response:
        """1 acknowledges, 2 resolves. Twilio signs the request with the channel's `auth_token`."""
        body = await _body(request)
        said = await answers.pressed_in_a_call(token, request.headers, body, request.state.client)
        return Response(f"<Response><Say>{xml_escape(said)}</Say></Response>", media_type="text/xml")

    return routes


def _texts(replies: Replies) -> APIRouter:
    proof = signed("Twilio signs each request with the channel's `auth_token`")
    routes = APIRouter(prefix="/hooks", responses=ERRORS, tags=["answers"], dependencies=[proof])

    @routes.post("/sms/{workspace}/{channel}", response_class=Response, summary="Take the reply to an SMS")
    async def sms_replied(request: Request, workspace: Name, channel: Name) -> Response:
        """What Twilio calls when a message comes in to the channel's number; `ack REF` acknowledges."""
        body = await _body(request)
        said = await replies.received((workspace, channel), request.headers, body, request.state.client)
        answer = f"<Message>{xml_escape(said)}</Message>" if said else ""
        return Response(f"<Response>{answer}</Response>", media_type="text/xml")

    return routes


async def _body(request: Request) -> bytes:
    return await body_of(request, _BODY_MOST, f"the body may have {_BODY_MOST} bytes")


def _asking(told: Token, group: Group) -> Response:
    judging = told.action in JUDGING
    if not judging and (not group.live or (told.action == "acknowledge" and group.status == "acknowledged")):
        return _page(f"{_DONE[group.status]} already: {group.title}")
    if told.action not in _BUTTONS:
        return _page("This link is for calls alone.", status=401)
    button = f'<form method="post"><button type="submit">{_BUTTONS[told.action]}</button></form>'
    return _page(f"[{group.severity}] {group.title}", button)


def _page(text: str, form: str = "", status: int = 200) -> Response:
    html = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Alert</title><style>{_STYLE}</style><main><p>{escape(text)}</p>{form}</main></html>"
    )
    headers = {"content-security-policy": _POLICY, "cache-control": "no-store", "x-robots-tag": "noindex"}
    return HTMLResponse(html, status, headers)
