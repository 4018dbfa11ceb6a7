"""`/admin/v1/login`, `/logout`, `/me`, `/sessions`: what people do with their own account."""

from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from cmg.identity.accounts.models import account_view, email_of
from cmg.identity.forms.schemas import ERRORS
from cmg.identity.models import Caller, SessionMark, actor_of
from cmg.identity.sessions import forms
from cmg.identity.sessions.models import Client, Opened, cookie_of, csrf_of, gone_cookie, session_view, token_in
from cmg.identity.sessions.own_account import OwnAccount, session_of
from cmg.identity.sessions.proof import Given, Proof
from cmg.identity.sessions.sessions import Sessions
from cmg.kit.errors import Forbidden
from cmg.kit.permissions import joined, public, signed_in

_ALWAYS, _FREE = [signed_in(restrained=True)], [signed_in()]


class SigningIn(msgspec.Struct, frozen=True):
    """What the routes work with; `oidc` is where signing in with the identity provider begins."""

    proof: Proof
    sessions: Sessions
    own: OwnAccount
    oidc: str | None = None


def router(parts: SigningIn) -> APIRouter:
    """All of them; but for the login they need a session."""
    return joined(_login(parts), _me(parts.own), _second_factor(parts.own), _sessions(parts))


def _login(parts: SigningIn) -> APIRouter:
    routes = APIRouter(prefix="/admin/v1", responses=ERRORS, tags=["sessions"])

    @routes.get(
        "/login",
        response_model=forms.WaysView,
        summary="Ways to sign in",
        dependencies=[public("who wants to sign in must know how")],
    )
    async def ways() -> Any:
        """Which ways there are."""
        return {"password": True, "oidc": parts.oidc}

    @routes.post(
        "/login",
        response_model=forms.MeView,
        summary="Sign in",
        dependencies=[public("the password proves who asks; guessing is slowed down")],
    )
    async def login(request: Request, response: Response, form: forms.LoginForm) -> Any:
        """Sets the session's cookie. 401 `code_needed`: the password is right, the second factor is missing."""
        check_own_page(request)
        client = client_of(request)
        account = await parts.proof.check(Given(email_of(form.email), form.password, form.code), client)
        opened = await parts.sessions.open(account, "password", client, token_in(request.headers.raw))
        return told(response, opened)

    @routes.post("/logout", status_code=204, summary="Sign out", dependencies=_ALWAYS)
    async def logout(request: Request, response: Response) -> None:
        """Ends the session, in every browser that holds its cookie."""
        caller: Caller = request.state.caller
        account = await parts.own.get(caller)
        await parts.sessions.end(actor_of(caller), account, session_of(caller).id, "signed out")
        response.headers.append("set-cookie", gone_cookie())
        response.headers.append("clear-site-data", '"cache", "cookies", "storage"')

    return routes


def _me(own: OwnAccount) -> APIRouter:
    routes = APIRouter(prefix="/admin/v1/me", responses=ERRORS, tags=["sessions"])

    @routes.get("", response_model=forms.MeView, summary="Who is signed in", dependencies=_ALWAYS)
    async def me(request: Request) -> Any:
        """The account, what it may do, and the session's `csrf`."""
        return await _present(own, request)

    @routes.patch("", response_model=forms.MeView, summary="Change your name", dependencies=_FREE)
    async def rename(request: Request, form: forms.NameForm) -> Any:
        """How others see you."""
        await own.rename(request.state.caller, form.name)
        return await _present(own, request)

    @routes.post("/password", response_model=forms.MeView, summary="Change your password", dependencies=_ALWAYS)
    async def change_password(request: Request, response: Response, form: forms.PasswordForm) -> Any:
        """Your other sessions end; this one goes on under a new cookie."""
        changed = await own.change_password(request.state.caller, form.current, form.new, client_of(request))
        return told(response, changed)

    @routes.post("/confirm", response_model=forms.MeView, summary="Prove who you are again", dependencies=_ALWAYS)
    async def confirm(request: Request, response: Response, form: forms.ProofForm) -> Any:
        """After a change of client; the session goes on under a new cookie."""
        proved = await own.confirm(request.state.caller, form.password, form.code, client_of(request))
        return told(response, proved)

    return routes


def _second_factor(own: OwnAccount) -> APIRouter:
    routes = APIRouter(prefix="/admin/v1/me", responses=ERRORS, tags=["sessions"])

    @routes.post("/second-factor", response_model=forms.DeviceView, summary="Set up a device", dependencies=_FREE)
    async def begin(request: Request) -> Any:
        """The secret for an authenticator; it counts once its first code was shown."""
        secret, uri = await own.begin_second_factor(request.state.caller)
        return {"secret": secret, "uri": uri}

    @routes.post(
        "/second-factor/on", response_model=forms.TurnedOnView, summary="Turn the second factor on", dependencies=_FREE
    )
    async def finish(request: Request, response: Response, form: forms.CodeForm) -> Any:
        """Shows the recovery codes, this once. Your other sessions end."""
        codes, opened = await own.finish_second_factor(request.state.caller, form.code, client_of(request))
        return {"recovery_codes": codes, "csrf": told(response, opened)["csrf"]}

    @routes.post(
        "/second-factor/off", response_model=forms.MeView, summary="Turn the second factor off", dependencies=_FREE
    )
    async def end(request: Request, response: Response, form: forms.ProofForm) -> Any:
        """Needs the password and a code."""
        opened = await own.end_second_factor(request.state.caller, form.password, form.code, client_of(request))
        return told(response, opened)

    @routes.post("/recovery-codes", response_model=forms.CodesView, summary="New recovery codes", dependencies=_FREE)
    async def renew_codes(request: Request, form: forms.ProofForm) -> Any:
        """The old ones are worth nothing from then on."""
        return {
            "recovery_codes": await own.renew_codes(request.state.caller, form.password, form.code, client_of(request))
        }

    return routes


def _sessions(parts: SigningIn) -> APIRouter:
    routes = APIRouter(prefix="/admin/v1/sessions", responses=ERRORS, tags=["sessions"])

    @routes.get("", response_model=forms.SessionListView, summary="List your sessions", dependencies=_ALWAYS)
    async def list_sessions(request: Request) -> Any:
        """Those that go on, newest first."""
        mark = session_of(request.state.caller)
        found = await parts.sessions.list(mark.account_id)
        return {"items": [session_view(one, parts.sessions.lifetimes, mark.id) for one in found]}

    @routes.delete("/{session_id}", status_code=204, summary="End one of your sessions", dependencies=_ALWAYS)
    async def end_session(request: Request, session_id: str) -> None:
        """Whoever holds its cookie is signed out at once."""
        caller: Caller = request.state.caller
        await parts.sessions.end(actor_of(caller), await parts.own.get(caller), session_id)

    @routes.delete("", status_code=204, summary="End your other sessions", dependencies=_ALWAYS)
    async def end_others(request: Request) -> None:
        """All but this one."""
        caller: Caller = request.state.caller
        await parts.sessions.end_all(actor_of(caller), await parts.own.get(caller), session_of(caller).id)

    return routes


def client_of(request: Request) -> Client:
    """Where a request comes from."""
    return Client(request.state.client, request.headers.get("user-agent", ""))


def check_own_page(request: Request) -> None:
    """Refuse what another site makes a browser send: nobody is to be signed in as somebody else. Raises `Forbidden`."""
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise Forbidden("signing in works from our own pages only", code="csrf")


def told(response: Response, opened: Opened) -> dict[str, Any]:
    """Set the cookie of a session, and give what its owner sees."""
    response.headers.append("set-cookie", cookie_of(opened.token))
    account = opened.account
    return {
        **account_view(account),
        "scopes": sorted(account.scopes),
        "session": opened.session.id,
        "confirm_needed": opened.session.flagged_at is not None,
        "csrf": csrf_of(opened.token),
    }


async def _present(own: OwnAccount, request: Request) -> dict[str, Any]:
    caller: Caller = request.state.caller
    mark: SessionMark = session_of(caller)
    account = await own.get(caller)
    return {
        **account_view(account),
        "scopes": sorted(account.scopes),
        "session": mark.id,
        "confirm_needed": mark.flagged,
        "csrf": mark.csrf,
    }
