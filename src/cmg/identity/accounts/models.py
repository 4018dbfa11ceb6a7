"""Accounts and roles: immutable values, and the decisions on them alone."""

import re
from hashlib import sha256
from typing import Any, Literal

import msgspec

from cmg.identity.forms.text import text, wrong
from cmg.kit.clock import rfc3339
from cmg.kit.ids import secret
from cmg.kit.scopes import EVERYTHING, READING, WORKSPACE

Role = Literal["admin", "owner", "member", "read_only"]
Status = Literal["invited", "active", "disabled"]
Purpose = Literal["invite", "reset"]

ROLES: tuple[Role, ...] = ("admin", "owner", "member", "read_only")
# What a role may do, in the words of the routes' permissions; all but `admin` only in their own workspace.
ROLE_SCOPES: dict[Role, frozenset[str]] = {
    "admin": frozenset({EVERYTHING}),
    "owner": frozenset({WORKSPACE}),
    "member": frozenset({READING, "chat", "embeddings", "models", "memory:read", "memory:write", "metrics"}),
    "read_only": frozenset({READING, "models", "metrics"}),
}
_EMAIL = re.compile(r"[^\s@<>\"(),:;\\\[\]]{1,64}@[^\s@<>\"(),:;\\\[\]]{1,189}")


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """A person. Times are epoch seconds; `issuer` and `subject`: who else vouches for them, under which name."""

    id: str
    workspace_id: str
    email: str
    name: str
    role: Role
    status: Status
    password_hash: str | None = None
    must_change: bool = False
    totp_secret: str | None = None
    totp_on: bool = False
    issuer: str | None = None
    subject: str | None = None
    created_at: float = 0.0
    updated_at: float = 0.0
    last_login_at: float | None = None

    @property
    def scopes(self) -> frozenset[str]:
        """What its role may do."""
        return ROLE_SCOPES[self.role]

    def __repr__(self) -> str:
        return f"Account({self.id}, {self.role})"


def email_of(value: Any, field: str = "email") -> str:
    """An e-mail address in small letters. Raises `InvalidRequest`."""
    given = text(value, field, least=3, most=254).lower()
    if not _EMAIL.fullmatch(given):
        raise wrong(field, "must be an e-mail address as in ada@example.org")
    return given


def new_token() -> str:
    """What a link carries: 238 random bits."""
    return f"cmgt_{secret()}"


def token_hash(token: str) -> bytes:
    """What is kept of a token, a recovery code or a session's cookie: they are random, so a plain hash is enough."""
    return sha256(token.encode("utf-8", "replace")).digest()


def account_view(account: Account) -> dict[str, Any]:
    """An account as answers show it."""
    return {
        "id": account.id,
        "workspace": account.workspace_id,
        "email": account.email,
        "name": account.name,
        "role": account.role,
        "status": account.status,
        "second_factor": account.totp_on,
        "must_change_password": account.must_change,
        "signs_in_with": "oidc" if account.subject is not None else "password",
        "created_at": rfc3339(account.created_at),
        "updated_at": rfc3339(account.updated_at),
        "last_login_at": None if account.last_login_at is None else rfc3339(account.last_login_at),
    }
