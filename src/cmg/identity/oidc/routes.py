"""`/admin/v1/login/oidc` and where the provider sends the browser back to."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse

from cmg.identity.forms.schemas import ERRORS
from cmg.identity.oidc.login import OidcLogin
from cmg.identity.oidc.models import LOGIN_S, STATE_COOKIE, Returned
from cmg.identity.sessions.models import cookie_of, gone_cookie, token_in
from cmg.identity.sessions.routes import client_of
from cmg.kit.errors import NotFound
from cmg.kit.permissions import public

PATH = "/admin/v1/login/oidc"
Text = Annotated[str | None, Query(max_length=4000)]
_SEE_OTHER: dict[int | str, dict[str, Any]] = {
    303: {"description": "On to the identity provider, or to where the login was asked for"}
}


def router(login: OidcLogin | None) -> APIRouter:
    """Both of them; 404 where the settings name no provider."""
    routes = APIRouter(responses={**ERRORS, **_SEE_OTHER}, tags=["sessions"])

    @routes.get(
        PATH,
        summary="Sign in with the identity provider",
        response_class=RedirectResponse,
        status_code=303,
        dependencies=[public("who wants to sign in is sent to the identity provider")],
    )
    async def begin(after: Annotated[str | None, Query(alias="next", max_length=500)] = None) -> RedirectResponse:
        """`next` is a path of this service to go on to; anything else counts as none."""
        begun = await _there(login).begin(after)
        answer = RedirectResponse(begun.url, 303)
        answer.headers.append("set-cookie", cookie_of(begun.state, STATE_COOKIE, LOGIN_S))
        return answer

    @routes.get(
        f"{PATH}/callback",
        summary="Come back from the identity provider",
        response_class=RedirectResponse,
        status_code=303,
        dependencies=[public("the provider's answer proves who comes")],
    )
    async def finish(
        request: Request, state: Text = None, code: Text = None, iss: Text = None, error: Text = None
    ) -> RedirectResponse:
        """Sets the session's cookie."""
        cookies = request.headers.raw
        back = Returned(token_in(cookies, STATE_COOKIE), state, code, iss, error)
        opened, after = await _there(login).finish(back, client_of(request), token_in(cookies))
        answer = RedirectResponse(after, 303)
        answer.headers.append("set-cookie", gone_cookie(STATE_COOKIE))
        answer.headers.append("set-cookie", cookie_of(opened.token))
        return answer

    return routes


def _there(login: OidcLogin | None) -> OidcLogin:
    if login is None:
        raise NotFound("no identity provider is set (`oidc.issuer`); sign in with a password", code="no_oidc")
    return login
