"""Bodies and answers about accounts, as pydantic models: they make the OpenAPI document, and refuse other shapes."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from cmg.identity.forms.schemas import Form

Role = Literal["admin", "owner", "member", "read_only"]


class AccountPatch(Form):
    """What to change of an account; another role or workspace ends its sessions."""

    name: str | None = None
    role: Role | None = None
    workspace: str | None = None


class AccountForm(Form):
    """An account to invite."""

    email: str
    name: str | None = Field(None, description="by default what stands before the @")
    role: Role
    workspace: str | None = Field(None, description="by default the caller's own")


class ChoiceForm(Form):
    """A link's token, and the password that its owner chooses."""

    token: str
    password: str


class AcceptForm(ChoiceForm):
    """The same, with how the person wants to be called."""

    name: str | None = None


class ForgottenForm(Form):
    """Who cannot sign in."""

    email: str


class AccountView(BaseModel):
    """A person's account."""

    id: str
    workspace: str
    email: str
    name: str
    role: Role
    status: Literal["invited", "active", "disabled"]
    second_factor: bool
    must_change_password: bool
    signs_in_with: Literal["password", "oidc"]
    created_at: str
    updated_at: str
    last_login_at: str | None


class AccountPageView(BaseModel):
    """A page of accounts, newest first."""

    items: list[AccountView]
    next: str | None


class LinkView(AccountView):
    """An account with a token for its owner, shown this once."""

    token: str = Field(description="for `/admin/v1/invitations/accept` or `/admin/v1/password/reset`")
    token_until: str


class RequestView(BaseModel):
    """What a person asked for."""

    id: str
    account: str
    workspace: str
    email: str
    kind: Literal["reset"]
    at: str
    client: str


class RequestPageView(BaseModel):
    """A page of requests, newest first."""

    items: list[RequestView]
    next: str | None


class DoneView(BaseModel):
    """It was taken; nothing more is said."""

    status: Literal["accepted"] = "accepted"


def accepted() -> dict[str, Any]:
    """The answer that tells nothing."""
    return {"status": "accepted"}
