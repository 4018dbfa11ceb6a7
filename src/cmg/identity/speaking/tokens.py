"""Signed user tokens: JWTs (RFC 7519) whose `sub` is the user, signed by whom the workspace trusts.

Only public keys are known here (Ed25519: EdDSA; P-256: ES256; RSA: RS256), so whoever reads our database can sign
nothing, and an API key alone does not name a user.
"""

from collections import OrderedDict
from hashlib import sha256
from typing import Any

import msgspec

from cmg.identity.models import MemoryPolicy
from cmg.kit.clock import Clock
from cmg.kit.errors import Forbidden

TOKEN_CHARACTERS = 4096
RSA_BITS_MIN = 2048
_KEPT = 4096  # tokens whose signature was checked
_LEEWAY_S = 30.0  # between the clock of whoever signs and ours
# Times and audience are checked here, by our clock and the policy.
_OPTIONS: Any = {
    "require": ["exp", "sub"],
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
}


class _Claims(msgspec.Struct, frozen=True):
    """What a token says; times in epoch seconds."""

    sub: str
    exp: float
    nbf: float = 0.0
    aud: str | list[str] = ""


class UserTokens:
    """Remembers the claims of checked tokens, bounded; a signature takes some 100 µs, a known token 2."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._checked: OrderedDict[bytes, _Claims] = OrderedDict()

    def check(self, policy: MemoryPolicy, token: str | None, user_id: str, param: str) -> None:
        """Raise `Forbidden` unless there is a token that is whole, valid now, and this user's."""
        if token is None:
            raise Forbidden(
                "this workspace wants the user's signed token in the header `x-cmg-user-token`",
                param=param,
                code="user_token_missing",
            )
        claims = self._claims(policy.user_token_key or "", token)
        now = self._clock.time()
        if not claims.nbf - _LEEWAY_S <= now < claims.exp + _LEEWAY_S:
            raise _refused("it has expired, or is not valid yet")
        audience = policy.user_token_audience
        if audience is not None and audience not in ([claims.aud] if isinstance(claims.aud, str) else claims.aud):
            raise _refused(f"its `aud` is not `{audience}`")
        if claims.sub != user_id:
            raise Forbidden(
                "the header `x-cmg-user-token` belongs to another user", param=param, code="user_not_of_token"
            )

    def _claims(self, key: str, token: str) -> _Claims:
        if len(token) > TOKEN_CHARACTERS:
            raise _refused(f"it has more than {TOKEN_CHARACTERS} characters")
        name = sha256(f"{key}\0{token}".encode("utf-8", "replace")).digest()
        found = self._checked.get(name)
        if found is None:
            found = self._checked[name] = _verified(key, token)
            if len(self._checked) > _KEPT:
                self._checked.popitem(last=False)
        return found


def public_key(pem: str) -> tuple[Any, str]:
    """A public key and the algorithm it checks. Raises `ValueError` for what is none that tokens may be signed for."""
    # Loaded where a workspace uses tokens: 12 MB that other processes need not hold.
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415  as said
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: PLC0415  as said
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415  as said

    try:
        key = load_pem_public_key(pem.encode())
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from error
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key, "EdDSA"
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return key, "ES256"
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= RSA_BITS_MIN:
        return key, "RS256"
    raise ValueError("no Ed25519, P-256 or RSA key of enough bits")


def _verified(pem: str, token: str) -> _Claims:
    import jwt  # noqa: PLC0415  as above

    key, algorithm = public_key(pem)
    try:
        claims = jwt.decode(token, key, algorithms=[algorithm], options=_OPTIONS)
        return msgspec.convert(claims, _Claims)
    except (jwt.InvalidTokenError, msgspec.ValidationError, ValueError) as error:
        raise _refused(f"it is no JWT with `sub` and `exp`, signed by this workspace's key for {algorithm}") from error


def _refused(reason: str) -> Forbidden:
    return Forbidden(
        f"the header `x-cmg-user-token` is refused: {reason}", param="x-cmg-user-token", code="user_token_invalid"
    )
