"""An identity provider for tests, on loopback: discovery, keys, authorization with PKCE, and tokens, good and bad."""

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlencode

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

CLIENT_ID, CLIENT_SECRET = "cmg", "s3cret of/the:client"


@dataclass
class Person:
    """Who signs in at the provider, as its claims say."""

    subject: str = "u-1"
    email: str = "ada@corp.example"
    name: str = "Ada Lovelace"
    groups: list[str] = field(default_factory=lambda: ["staff"])


@dataclass
class Lies:
    """What is wrong with the next tokens: claims to replace (None: left out), and how they are signed."""

    claims: dict[str, Any] = field(default_factory=dict)
    signed: str = "well"  # or: "by nobody", "by a stranger", "by the public key"


class OidcProvider:
    """Everybody who comes is `person`. `now` gives the time of tokens."""

    def __init__(self, now: Any) -> None:
        self.now = now
        self.person, self.lies = Person(), Lies()
        self.keys = [RSAKey.generate_key(2048, {"kid": "first"}, auto_kid=False)]
        self.asked: list[dict[str, str]] = []
        self.forms: list[dict[str, str]] = []
        self._codes: dict[str, dict[str, str]] = {}
        self._runner: web.AppRunner | None = None
        self.issuer = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", self._about)
        app.router.add_get("/keys", self._show_keys)
        app.router.add_get("/authorize", self._authorize)
        app.router.add_post("/token", self._token)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.issuer = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def rotate(self) -> None:
        """Sign with a new key from now on."""
        self.keys = [RSAKey.generate_key(2048, {"kid": secrets.token_hex(4)}, auto_kid=False)]

    async def _about(self, _request: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
            }
        )

    async def _show_keys(self, _request: web.Request) -> web.Response:
        return web.json_response(KeySet(self.keys).as_dict(private=False))

    async def _authorize(self, request: web.Request) -> web.Response:
        asked = dict(request.query)
        self.asked.append(asked)
        code = secrets.token_urlsafe()
        self._codes[code] = asked
        back = urlencode({"code": code, "state": asked["state"], "iss": self.issuer})
        raise web.HTTPFound(f"{asked['redirect_uri']}?{back}")

    async def _token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.forms.append(form)
        asked = self._codes.pop(form.get("code", ""), None)
        told = base64.b64decode(request.headers.get("authorization", "Basic ")[6:]).decode()
        good = told == "cmg:s3cret%20of%2Fthe%3Aclient" and asked is not None
        verifier = form.get("code_verifier", "").encode()
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier).digest()).rstrip(b"=").decode()
        if not good or asked is None or asked["code_challenge"] != challenge:
            return web.json_response({"error": "invalid_grant"}, status=400)
        if asked["redirect_uri"] != form.get("redirect_uri"):
            return web.json_response({"error": "invalid_grant"}, status=400)
        return web.json_response({"access_token": "x", "token_type": "Bearer", "id_token": self._id_token(asked)})

    def _id_token(self, asked: dict[str, str]) -> str:
        now = int(self.now())
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "sub": self.person.subject,
            "aud": CLIENT_ID,
            "exp": now + 300,
            "iat": now,
            "nonce": asked["nonce"],
            "email": self.person.email,
            "name": self.person.name,
            "groups": self.person.groups,
            **self.lies.claims,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        key: Any = self.keys[0]
        if self.lies.signed == "by nobody":
            return f"{_part(_json({'alg': 'none'}))}.{_part(_json(claims))}."
        if self.lies.signed == "by the public key":
            return _with_secret({"alg": "HS256", "kid": key.kid}, claims, key.as_pem(private=False))
        if self.lies.signed == "by a stranger":
            key = RSAKey.generate_key(2048, {"kid": key.kid}, auto_kid=False)
        return str(jwt.encode({"alg": "RS256", "kid": key.kid}, claims, key))


def _with_secret(header: dict[str, Any], claims: dict[str, Any], secret: bytes) -> str:
    """A token whose signature is an HMAC: with the public key as its secret, anybody could make it."""
    signed = f"{_part(_json(header))}.{_part(_json(claims))}"
    return f"{signed}.{_part(hmac.digest(secret, signed.encode(), 'sha256'))}"


def _part(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
