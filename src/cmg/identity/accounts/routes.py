"""`/admin/v1/accounts`, and what a link's owner does: `/admin/v1/invitations/accept`, `/admin/v1/password/…`."""

from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Query, Request

from cmg.identity.accounts import forms
from cmg.identity.accounts.accounts import Accounts, Link
from cmg.identity.accounts.credentials import Credentials
from cmg.identity.accounts.models import account_view, email_of
from cmg.identity.forms.schemas import ERRORS
from cmg.identity.routes import By
from cmg.identity.sessions.attempts import Attempts
from cmg.identity.sessions.forms import SessionListView
from cmg.identity.sessions.models import Client, session_view
from cmg.identity.sessions.sessions import Sessions
from cmg.kit.clock import rfc3339
from cmg.kit.permissions import joined, public, requires

_CHANGE = [requires("admin")]
Text = Annotated[str | None, Query()]
Limit = Annotated[int, Query(ge=1, le=200)]


def router(accounts: Accounts, credentials: Credentials, sessions: Sessions, attempts: Attempts) -> APIRouter:
    """All of them; `admin` for what administrators do, and the owner of a link proves it by its token."""
    return joined(
        _administration(accounts), _actions(accounts), _sessions_of(accounts, sessions), _links(credentials, attempts)
    )


def _administration(accounts: Accounts) -> APIRouter:
    routes = APIRouter(prefix="/admin/v1/accounts", responses=ERRORS, tags=["accounts"], dependencies=_CHANGE)

    @routes.post("", status_code=201, response_model=forms.LinkView, summary="Invite a person")
    async def invite_account(by: By, form: forms.AccountForm) -> Any:
        """The answer holds the invitation's `token`, this once; it is good for a week."""
        return _linked(await accounts.invite(by, form.given()))

    @routes.get("", response_model=forms.AccountPageView, summary="List accounts")
    async def list_accounts(by: By, workspace: Text = None, cursor: Text = None, limit: Limit = 50) -> Any:
        """Newest first; the caller's own workspace, or all of them with `admin:all`."""
        page = await accounts.list(by, workspace, cursor, limit)
        return {"items": [account_view(one) for one in page.items], "next": page.next}

    @routes.get("/requests", response_model=forms.RequestPageView, summary="List what people asked for")
    async def list_requests(by: By, cursor: Text = None, limit: Limit = 50) -> Any:
        """Who cannot sign in; hand out a link with `/reset`."""
        page = await accounts.requests(by, cursor, limit)
        items = [
            {
                "id": one.id,
                "account": one.account_id,
                "workspace": one.workspace_id,
                "email": one.email,
                "kind": one.kind,
                "at": rfc3339(one.at),
                "client": one.client,
            }
            for one in page.items
        ]
        return {"items": items, "next": page.next}

    @routes.get("/{account_id}", response_model=forms.AccountView, summary="Show an account")
    async def show_account(by: By, account_id: str) -> Any:
        """Everything but what proves who its owner is."""
        return account_view(await accounts.get(by, account_id))

    @routes.patch("/{account_id}", response_model=forms.AccountView, summary="Change an account")
    async def change_account(by: By, account_id: str, form: forms.AccountPatch) -> Any:
        """Name, role or workspace; absent fields stay."""
        return account_view(await accounts.update(by, account_id, form.given()))

    @routes.delete("/{account_id}", response_model=forms.AccountView, summary="Delete an account")
    async def delete_account(by: By, account_id: str) -> Any:
        """For good; the trail keeps what it did, under its id."""
        return account_view(await accounts.delete(by, account_id))

    return routes


def _actions(accounts: Accounts) -> APIRouter:
    routes = APIRouter(prefix="/admin/v1/accounts", responses=ERRORS, tags=["accounts"], dependencies=_CHANGE)

    @routes.post("/{account_id}/disable", response_model=forms.AccountView, summary="Disable an account")
    async def disable_account(by: By, account_id: str) -> Any:
        """Its sessions and links end at once."""
        return account_view(await accounts.disable(by, account_id))

    @routes.post("/{account_id}/enable", response_model=forms.AccountView, summary="Enable an account")
    async def enable_account(by: By, account_id: str) -> Any:
        """Its owner may sign in again."""
        return account_view(await accounts.enable(by, account_id))

    @routes.post("/{account_id}/reset", response_model=forms.LinkView, summary="Hand out a link for a new password")
    async def reset_account(by: By, account_id: str) -> Any:
        """Its `token` is shown this once, and good for an hour; an invitation's for a week. Older ones end."""
        return _linked(await accounts.reset(by, account_id))

    @routes.post(
        "/{account_id}/second-factor/remove", response_model=forms.AccountView, summary="Take away a second factor"
    )
    async def remove_second_factor(by: By, account_id: str) -> Any:
        """For who lost device and recovery codes."""
        return account_view(await accounts.drop_second_factor(by, account_id))

    return routes


def _sessions_of(accounts: Accounts, sessions: Sessions) -> APIRouter:
    routes = APIRouter(prefix="/admin/v1/accounts", responses=ERRORS, tags=["accounts"], dependencies=_CHANGE)

    @routes.get("/{account_id}/sessions", response_model=SessionListView, summary="List a person's sessions")
    async def list_sessions(by: By, account_id: str) -> Any:
        """Those that go on, newest first."""
        account = await accounts.get(by, account_id)
        return {"items": [session_view(one, sessions.lifetimes) for one in await sessions.list(account.id)]}

    @routes.delete("/{account_id}/sessions", response_model=forms.DoneView, summary="End a person's sessions")
    async def end_sessions(by: By, account_id: str) -> Any:
        """All of them, at once."""
        await sessions.end_all(by, await accounts.get(by, account_id))
        return forms.accepted()

    return routes


def _links(credentials: Credentials, attempts: Attempts) -> APIRouter:
    routes = APIRouter(prefix="/admin/v1", responses=ERRORS, tags=["accounts"])
    token = [public("the token of the link proves who asks")]

    @routes.post(
        "/invitations/accept", response_model=forms.AccountView, summary="Accept an invitation", dependencies=token
    )
    async def accept_invitation(request: Request, form: forms.AcceptForm) -> Any:
        """Choose a password; then sign in."""
        client = request.state.client
        return account_view(await credentials.accept(form.token, form.password, form.name, client))

    @routes.post("/password/reset", response_model=forms.AccountView, summary="Set a new password", dependencies=token)
    async def reset_password(request: Request, form: forms.ChoiceForm) -> Any:
        """By the token of a link; all sessions of the account end."""
        return account_view(await credentials.reset(form.token, form.password, request.state.client))

    @routes.post(
        "/password/forgotten",
        status_code=202,
        response_model=forms.DoneView,
        summary="Ask for a new password",
        dependencies=[public("who asks cannot sign in; a few a day, and nobody is told whether there is an account")],
    )
    async def forgotten(request: Request, form: forms.ForgottenForm, later: BackgroundTasks) -> Any:
        """An administrator sees the request. The answer is the same, and as quick, for every address."""
        client = Client(request.state.client)
        email = email_of(form.email)
        await attempts.take_address("forgotten", client)
        later.add_task(credentials.ask_reset, email, client.address)
        return forms.accepted()

    return routes


def _linked(link: Link) -> dict[str, Any]:
    return {**account_view(link.account), "token": link.token, "token_until": rfc3339(link.until)}
