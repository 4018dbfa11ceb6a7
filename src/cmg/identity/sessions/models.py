"""Sessions as values: what a cookie opens, when it ends, and whose client it looks like."""

import ipaddress
import re
from collections.abc import Iterable
from hashlib import sha256
from typing import Any, Literal

import msgspec

from cmg.identity.accounts.models import Account
from cmg.identity.models import SessionMark
from cmg.kit.clock import rfc3339
from cmg.kit.permissions import SESSION_COOKIE

Way = Literal["password", "oidc"]
AGENT_MAX = 200
KNOWN_MAX = 8
_TOKEN = re.compile(r"[A-Za-z0-9]{20,100}")
_NUMBERS = re.compile(r"[\d.]+")


class Client(msgspec.Struct, frozen=True):
    """Where a request comes from: the address, and what the browser calls itself."""

    address: str = ""
    agent: str = ""

    @property
    def likeness(self) -> str:
        """The network and the kind of browser: what stays the same for one device at one place, also over updates."""
        kind = sha256(_NUMBERS.sub("", self.agent).encode("utf-8", "replace")).hexdigest()[:12]
        return f"{network_of(self.address, 16, 48)} {kind}"


class Lifetimes(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds a session lives without being used and in all, and how many one person may have."""

    idle_s: float
    absolute_s: float
    most: int


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One signed-in browser. Times are epoch seconds."""

    id: str
    account_id: str
    way: Way
    created_at: float
    seen_at: float
    expires_at: float
    client: str
    agent: str
    known: tuple[str, ...] = ()
    flagged_at: float | None = None
    ended_at: float | None = None
    ended_reason: str | None = None

    def end_of(self, lifetimes: Lifetimes) -> float:
        """When it ends if it is not used any more."""
        return min(self.expires_at, self.seen_at + lifetimes.idle_s)


class Opened(msgspec.Struct, frozen=True):
    """A session with what opens it: `token` goes into the cookie and is kept nowhere."""

    session: Session
    account: Account
    token: str

    def __repr__(self) -> str:
        return f"Opened({self.session.id})"


def csrf_of(token: str) -> str:
    """What our own pages send back beside the cookie: whoever does not know the token cannot compute it."""
    return sha256(f"csrf {token}".encode()).hexdigest()[:40]


def mark_of(session: Session, account: Account, token: str) -> SessionMark:
    """What a request must know of its session."""
    return SessionMark(
        id=session.id,
        account_id=account.id,
        csrf=csrf_of(token),
        must_change=account.must_change,
        flagged=session.flagged_at is not None,
    )


def network_of(address: str, v4_bits: int, v6_bits: int) -> str:
    """The network of an address; text that is no address stands for itself."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    bits = v4_bits if parsed.version == 4 else v6_bits
    return str(ipaddress.ip_network((parsed, bits), strict=False))


def token_in(headers: Iterable[tuple[bytes, bytes]], name: str = SESSION_COOKIE) -> str | None:
    """The token in the cookies of a request; None when there is none of its form."""
    for header, value in headers:
        if header == b"cookie":
            for pair in value.decode("latin-1").split(";"):
                found, _, token = pair.strip().partition("=")
                if found == name and _TOKEN.fullmatch(token):
                    return token
    return None


def cookie_of(token: str, name: str = SESSION_COOKIE, max_age_s: int | None = None) -> str:
    """`Set-Cookie`: for this host alone, never for scripts, not sent along by other sites' requests but links."""
    age = "" if max_age_s is None else f"; Max-Age={max_age_s}"
    return f"{name}={token}; Path=/; Secure; HttpOnly; SameSite=Lax{age}"


def gone_cookie(name: str = SESSION_COOKIE) -> str:
    """`Set-Cookie` that takes the cookie away."""
    return cookie_of("", name, 0)


def session_view(session: Session, lifetimes: Lifetimes, current: str | None = None) -> dict[str, Any]:
    """A session as answers show it."""
    return {
        "id": session.id,
        "account": session.account_id,
        "way": session.way,
        "current": session.id == current,
        "created_at": rfc3339(session.created_at),
        "seen_at": rfc3339(session.seen_at),
        "ends_at": rfc3339(session.end_of(lifetimes)),
        "client": session.client,
        "agent": session.agent,
        "other_client": session.flagged_at is not None,
    }
