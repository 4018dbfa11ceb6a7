"""Who makes a request, and may they: decided from the snapshot, without I/O for every key it knows.

Nothing about a presented secret is kept between calls (its SHA-256 costs half a microsecond), so a key that is
rotated, suspended, revoked or expired is judged by the present snapshot on each call.
"""

import ipaddress
import re
from fnmatch import fnmatchcase
from functools import lru_cache
from hashlib import sha256
from hmac import compare_digest

from cmg.identity.models import ApiKey, Caller, Workspace
from cmg.identity.snapshot import KeySource
from cmg.kit.clock import Clock
from cmg.kit.errors import Forbidden, Unauthenticated
from cmg.kit.scopes import require
from cmg.telemetry.instruments import Instruments

KEY_FORM = re.compile(r"cmg_([A-Za-z0-9]{1,40})_([A-Za-z0-9_-]{8,128})")
_NOBODY = ((sha256(b"no key has this secret").digest(), None),)
_NO_KEY = "send an API key as `Authorization: Bearer cmg_…` or `x-api-key`"
_BAD_KEY = "this API key is not valid: it is unknown, was revoked, or was replaced by a rotation"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def secret_hash(secret: str) -> bytes:
    """What is kept of a secret. Plain SHA-256: 238 random bits need no slow hash (`docs/adr/0004-identity.md`)."""
    return sha256(secret.encode()).digest()


class Authenticator:
    """Turns request headers into a `Caller`."""

    def __init__(self, keys: KeySource, clock: Clock, instruments: Instruments | None = None) -> None:
        self._keys = keys
        self._clock = clock
        self._instruments = instruments

    async def authenticate(self, authorization: str | None, x_api_key: str | None, client: str) -> Caller:
        """The caller of a request from address `client`.

        Raises `Unauthenticated` (no key, unknown, revoked, expired), `Forbidden` (suspended, wrong address) and
        `Unavailable` (an id not in the snapshot while the database is away).
        """
        form = KEY_FORM.fullmatch(_presented(authorization, x_api_key))
        if form is None:
            self._refused("malformed")
            raise Unauthenticated(_NO_KEY)
        key_id, secret = form.groups()
        digest = sha256(secret.encode()).digest()
        snapshot = self._keys.current
        key = snapshot.keys.get(key_id) or await self._keys.find(key_id)
        now = self._clock.time()
        opens = _opens(_NOBODY if key is None else key.hashes, digest, now)
        if key is not None and not opens:
            key = await self._keys.look_again(key_id)
            opens = key is not None and _opens(key.hashes, digest, now)
        if key is None or not opens:
            self._refused("unknown")
            raise Unauthenticated(_BAD_KEY)
        workspace = self._keys.current.workspaces.get(key.workspace_id)
        return self._admitted(key, workspace, client, now)

    def _admitted(self, key: ApiKey, workspace: Workspace | None, client: str, now: float) -> Caller:
        """The caller, when the key's state and address list let it in."""
        if workspace is None or key.status == "revoked":
            self._refused("unknown")
            raise Unauthenticated(_BAD_KEY)
        if key.expires_at is not None and now >= key.expires_at:
            self._refused("expired")
            raise Unauthenticated("this API key has expired; ask for a new one or for a later `expires_at`")
        if key.status != "active":
            self._refused("suspended")
            reason = f": {key.suspended_reason}" if key.suspended_reason else ""
            raise Forbidden(f"this API key is suspended{reason}", code="key_suspended")
        if key.ip_allow is not None and not _address_allowed(key.ip_allow, client):
            self._refused("address")
            raise Forbidden("this API key may not be used from this address", code="address_not_allowed")
        return Caller(key, workspace, _scope_set(key.scopes), client)

    def require(self, caller: Caller, scope: str) -> None:
        """Raise `Forbidden` unless the caller holds `scope` (or `admin`, `admin:all`, which include it)."""
        require(caller.scopes, scope)

    def _refused(self, reason: str) -> None:
        if self._instruments is not None:
            self._instruments.series("cmg_authentication_refused_total", reason).inc()


def check_model(caller: Caller, model: str) -> None:
    """Raise `Forbidden` (param `model`) unless the key's lists allow the model; a block beats an allowance.

    Globs match the whole name; blocks ignore case, since some upstreams do. `model` is the name as asked for; the
    other names of what a request may reach (with and without its upstream) go through `check_not_blocked`.
    """
    key = caller.key
    if key.models_allow is None and not key.models_block:
        return
    if not _model_allowed(key.models_allow, key.models_block, model):
        raise Forbidden(f"this API key may not use the model `{model}`", param="model", code="model_not_allowed")


def check_not_blocked(caller: Caller, model: str) -> None:
    """Raise `Forbidden` when the key blocks this name: for the names that stand behind the one asked for."""
    if caller.key.models_block and not _model_allowed(None, caller.key.models_block, model):
        raise Forbidden(f"this API key may not use the model `{model}`", param="model", code="model_not_allowed")


def _presented(authorization: str | None, x_api_key: str | None) -> str:
    """The key that was sent; `Authorization: Bearer` or `Token` comes before `x-api-key`."""
    if authorization is not None:
        scheme, _, value = authorization.partition(" ")
        if scheme in {"Bearer", "Token"} or scheme.lower() in {"bearer", "token"}:
            return value.strip()
    return x_api_key.strip() if x_api_key is not None else ""


def _opens(hashes: tuple[tuple[bytes, float | None], ...], digest: bytes, now: float) -> bool:
    """True when the digest is one of the hashes that are still valid; the time it takes tells nothing."""
    opens = False
    for known, until in hashes:
        if compare_digest(known, digest) and (until is None or now < until):
            opens = True
    return opens


@lru_cache(maxsize=1024)
def _scope_set(scopes: tuple[str, ...]) -> frozenset[str]:
    return frozenset(scopes)


@lru_cache(maxsize=4096)
def _networks(ip_allow: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(network) for network in ip_allow)


@lru_cache(maxsize=16_384)
def _address_allowed(ip_allow: tuple[str, ...], client: str) -> bool:
    try:
        address = ipaddress.ip_address(client.partition("%")[0])
    except ValueError:
        return False  # no address (a unix socket): nothing a list of networks could name
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in _networks(ip_allow))


@lru_cache(maxsize=16_384)
def _model_allowed(allow: tuple[str, ...] | None, block: tuple[str, ...], model: str) -> bool:
    folded = model.lower()
    if any(fnmatchcase(folded, pattern.lower()) for pattern in block):
        return False
    return allow is None or any(fnmatchcase(model, pattern) for pattern in allow)
