"""What a login with the provider remembers, and the decisions on what comes back."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from cmg.config import OidcSettings
from cmg.identity.accounts.models import ROLES, Role
from cmg.kit.errors import Unauthenticated

STATE_COOKIE = "__Host-cmg_oidc"
LOGIN_S = 600
AFTER = "/console"
_NEXT_MAX = 500


class Begun(msgspec.Struct, frozen=True):
    """A login on its way: where the browser goes, and the state that only this browser holds."""

    url: str
    state: str

    def __repr__(self) -> str:
        return "Begun(…)"


class Pending(msgspec.Struct, frozen=True):
    """What is kept of it: the nonce of the token to come, the verifier of the code, and where to go on."""

    nonce: str
    verifier: str
    after: str

    def __repr__(self) -> str:
        return "Pending(…)"


class Returned(msgspec.Struct, frozen=True):
    """What the browser brought back; `cookie` is the state that it holds."""

    cookie: str | None
    state: str | None
    code: str | None
    issuer: str | None
    error: str | None

    def __repr__(self) -> str:
        return "Returned(…)"


def safe_next(wanted: str | None) -> str:
    """Where to go on after a login: a path of ours, whatever was asked for."""
    if wanted is None or len(wanted) > _NEXT_MAX or not wanted.isascii() or not wanted.isprintable():
        return AFTER
    # What a browser could read as another host: `//host`, `/\\host`, a scheme, and spaces that it strips.
    if not wanted.startswith("/") or wanted.startswith(("//", "/\\")) or "\\" in wanted or " " in wanted:
        return AFTER
    parts = urlsplit(wanted)
    return AFTER if parts.scheme or parts.netloc else wanted


def role_of(claims: Mapping[str, Any], settings: OidcSettings) -> Role | None:
    """The greatest role that the claims map to; None: none."""
    told = claims.get(settings.role_claim)
    values = {told} if isinstance(told, str) else {one for one in told or () if isinstance(one, str)}
    found = {settings.roles[value] for value in values if value in settings.roles}
    return next((role for role in ROLES if role in found), None)


def refused(why: str) -> Unauthenticated:
    """The error for a login that the provider's answer does not prove."""
    return Unauthenticated(f"signing in with the identity provider failed: {why}", code="oidc_failed")
