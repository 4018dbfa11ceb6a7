"""The identity provider: what it says about itself, its keys, and the exchange of a code for a token."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from cmg.config import OidcSettings
from cmg.identity.oidc.models import Pending, refused
from cmg.kit.clock import Clock
from cmg.kit.errors import Unavailable

_TOTAL_S, _CONNECT_S = 10.0, 3.0
_BYTES_MAX = 2**20
_KEPT_S, _AGAIN_S = 3600.0, 30.0
_LEEWAY_S = 60
# Signatures by a key of the provider alone: with a symmetric algorithm the public key would be the secret.
_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


class Metadata(msgspec.Struct, frozen=True):
    """What a provider says about itself (OpenID Connect Discovery 1.0), as far as we need it."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)


class Provider:
    """One client session, made when it is first needed; every call has a deadline. What it learns is kept an hour."""

    def __init__(self, settings: OidcSettings, redirect_uri: str, clock: Clock) -> None:
        self._settings = settings
        self._redirect_uri = redirect_uri
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._metadata: tuple[float, Metadata] | None = None
        self._keys: tuple[float, KeySet] | None = None

    @property
    def settings(self) -> OidcSettings:
        """What the settings say about it."""
        return self._settings

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def begin_url(self, state: str, pending: Pending) -> str:
        """Where the browser goes to sign in."""
        metadata = await self._about()
        uri: str = prepare_grant_uri(
            metadata.authorization_endpoint,
            self._settings.client_id,
            "code",
            redirect_uri=self._redirect_uri,
            scope=" ".join(self._settings.scopes),
            state=state,
            nonce=pending.nonce,
            code_challenge=create_s256_code_challenge(pending.verifier),
            code_challenge_method="S256",
        )
        return uri

    async def claims(self, code: str, pending: Pending) -> Mapping[str, Any]:
        """What the provider says about who signed in. Raises `Unauthenticated` for whatever does not fit."""
        token = await self._exchange(code, pending.verifier)
        now = self._clock.time()
        keys = await self._present_keys()
        try:
            try:
                decoded = jwt.decode(token, keys, algorithms=_ALGORITHMS)
            except (JoseError, ValueError):
                # Signed with a key that is new, perhaps: the provider's keys change now and then.
                decoded = jwt.decode(token, await self._present_keys(than=keys), algorithms=_ALGORITHMS)
            settings = self._settings
            options = {
                "iss": {"essential": True, "value": settings.issuer},
                "aud": {"essential": True, "value": settings.client_id},
            }
            asked = {"nonce": pending.nonce, "client_id": settings.client_id}
            claims = CodeIDToken(decoded.claims, decoded.header, options, asked)
            claims.validate(now=int(now), leeway=_LEEWAY_S)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise refused(f"the ID token is not good: {type(error).__name__}") from error
        return dict(claims)

    async def _exchange(self, code: str, verifier: str) -> str:
        metadata, settings = await self._about(), self._settings
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "client_id": settings.client_id,
            "code_verifier": verifier,
        }
        headers = {}
        if settings.client_secret:
            if "client_secret_basic" in metadata.token_endpoint_auth_methods_supported:
                words = quote(settings.client_id, safe=""), quote(settings.client_secret, safe="")
                headers["authorization"] = aiohttp.encode_basic_auth(*words)
            else:
                form["client_secret"] = settings.client_secret
        status, answer = await self._json("POST", metadata.token_endpoint, data=form, headers=headers)
        token = answer.get("id_token") if isinstance(answer, dict) else None
        if status != 200 or not isinstance(token, str):
            raise refused("the provider did not take the code")
        return token

    async def _about(self) -> Metadata:
        now = self._clock.time()
        if self._metadata is None or now - self._metadata[0] > _KEPT_S:
            issuer = self._settings.issuer or ""
            url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
            status, answer = await self._json("GET", url)
            try:
                found = msgspec.convert(answer, Metadata)
            except msgspec.ValidationError as error:
                raise Unavailable("the identity provider's configuration cannot be read") from error
            if status != 200 or found.issuer != issuer:
                raise Unavailable("the identity provider does not know itself by the `oidc.issuer` of the settings")
            self._metadata = now, found
        return self._metadata[1]

    async def _present_keys(self, than: KeySet | None = None) -> KeySet:
        """The provider's keys; other ones `than` these, if it has such and was not asked a moment ago."""
        now = self._clock.time()
        age = None if self._keys is None else now - self._keys[0]
        if self._keys is None or age is None or age > (_KEPT_S if than is None else _AGAIN_S):
            status, answer = await self._json("GET", (await self._about()).jwks_uri)
            if status != 200:
                raise Unavailable("the identity provider does not show its keys", code="oidc_away")
            try:
                self._keys = now, KeySet.import_key_set(answer)
            except (JoseError, ValueError, TypeError, KeyError) as error:
                raise Unavailable("the identity provider's keys cannot be read") from error
        return self._keys[1]

    async def _json(self, method: str, url: str, **given: Any) -> tuple[int, Any]:
        """Status and JSON of a call. Raises `Unavailable`."""
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=_TOTAL_S, sock_connect=_CONNECT_S)
            self._session = aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())
        try:
            async with self._session.request(method, url, allow_redirects=False, **given) as answer:
                body = await answer.content.read(_BYTES_MAX + 1)
                while len(body) <= _BYTES_MAX and (more := await answer.content.read(_BYTES_MAX + 1)):
                    body += more
                if len(body) > _BYTES_MAX:
                    raise Unavailable("the identity provider's answer is too large")
                return answer.status, msgspec.json.decode(body)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable("the identity provider cannot be reached; try again", code="oidc_away") from error
        except msgspec.DecodeError as error:
            raise Unavailable("the identity provider did not answer in JSON", code="oidc_away") from error
