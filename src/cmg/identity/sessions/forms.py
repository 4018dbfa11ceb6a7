"""Bodies and answers about signing in and sessions, as pydantic models."""

from typing import Literal

from pydantic import BaseModel, Field

from cmg.identity.forms.schemas import Form


class LoginForm(Form):
    """What signs a person in."""

    email: str
    password: str
    code: str | None = Field(None, description="of the device, or a recovery code; where there is a second factor")


class ProofForm(Form):
    """The password again, and the code where there is a second factor."""

    password: str
    code: str | None = None


class PasswordForm(Form):
    """The present password and the next."""

    current: str
    new: str


class NameForm(Form):
    """How the person wants to be called."""

    name: str


class CodeForm(Form):
    """A code of the device."""

    code: str


class SessionView(BaseModel):
    """One signed-in browser."""

    id: str
    account: str
    way: Literal["password", "oidc"]
    current: bool
    created_at: str
    seen_at: str
    ends_at: str = Field(description="if it is not used any more")
    client: str
    agent: str
    other_client: bool = Field(description="it goes on from another client: the password is asked for before a change")


class SessionListView(BaseModel):
    """Sessions that go on, newest first."""

    items: list[SessionView]


class MeView(BaseModel):
    """Who is signed in, and what they may do."""

    id: str
    workspace: str
    email: str
    name: str
    role: str
    status: str
    second_factor: bool
    must_change_password: bool
    signs_in_with: str
    created_at: str
    updated_at: str
    last_login_at: str | None
    scopes: list[str]
    session: str
    confirm_needed: bool = Field(description="confirm the password before something is changed")
    csrf: str = Field(description="send it as `x-cmg-csrf` with whatever changes something")


class DeviceView(BaseModel):
    """What a device needs to make codes, shown this once."""

    secret: str
    uri: str = Field(description="for a QR code")


class CodesView(BaseModel):
    """Recovery codes, shown this once; each works once."""

    recovery_codes: list[str]


class TurnedOnView(CodesView):
    """The same, and the `csrf` of the session, which goes on under another cookie."""

    csrf: str


class WaysView(BaseModel):
    """The ways to sign in."""

    password: bool
    oidc: str | None = Field(description="where signing in with the identity provider begins")
