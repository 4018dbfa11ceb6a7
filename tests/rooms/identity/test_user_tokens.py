"""Signed user tokens: what is believed, and what is not."""

import base64
import hashlib
import hmac
import json

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cmg.identity.models import ApiKey, Caller, MemoryPolicy, Workspace
from cmg.identity.speaking.rules import Speaking
from cmg.identity.speaking.tokens import public_key
from cmg.kit.errors import Forbidden
from cmg.telemetry.instruments import Instruments
from support.manual_clock import START, ManualClock

ED, P256 = Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)
CLAIMS = {"sub": "ana", "exp": START + 60}


def pem_of(private) -> str:
    return private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def caller(*scopes: str, prefix: str | None = None, **policy) -> Caller:
    known = {"user_token_key": pem_of(ED), "user_token_required": True, **policy}
    key = ApiKey(id="k", workspace_id="default", name="k", user_prefix=prefix)
    return Caller(
        key, Workspace(id="default", name="Default", memory=MemoryPolicy(**known)), frozenset(scopes), "127.0.0.1"
    )


@pytest.fixture
def speaking(clock: ManualClock) -> Speaking:
    return Speaking(clock, Instruments())


def code(speaking: Speaking, who: Caller, user: str, token: str | None) -> str | None:
    """The refusal's code; None: the caller may speak."""
    try:
        speaking.check(who, user, token)
    except Forbidden as error:
        return error.code
    return None


@pytest.mark.parametrize(("private", "algorithm"), [(ED, "EdDSA"), (P256, "ES256"), (RSA, "RS256")])
def test_a_token_of_each_kind_of_key_speaks_for_its_user_alone(speaking: Speaking, private, algorithm: str) -> None:
    who, token = caller(user_token_key=pem_of(private)), jwt.encode(CLAIMS, private, algorithm)
    for _ in range(2):  # the second time it is known
        assert code(speaking, who, "ana", token) is None
        assert code(speaking, who, "ben", token) == "user_not_of_token"


def test_the_memory_of_a_key_is_named_by_that_key_alone(speaking: Speaking) -> None:
    """Another one that stored something there first would own it."""
    own, other = "key:abcdefgh2345", "key:abcdefgh2346"
    free = {"user_token_key": None, "user_token_required": False}
    who = caller(**free)
    who = msgspec.structs.replace(who, key=msgspec.structs.replace(who.key, id="abcdefgh2345"))
    assert (code(speaking, who, own, None), code(speaking, who, "key:mine", None)) == (None, None)
    assert code(speaking, who, other, None) == "user_of_another_key"
    assert code(speaking, caller("admin", **free), other, None) is None
    assert code(speaking, caller(shared=True, **free), other, None) is None


def test_a_token_ends_by_our_clock_and_not_before_it_begins(speaking: Speaking, clock: ManualClock) -> None:
    early = jwt.encode({**CLAIMS, "nbf": START + 40, "exp": START + 100}, ED, "EdDSA")
    assert code(speaking, caller(), "ana", early) == "user_token_invalid"
    clock.advance(20)
    assert code(speaking, caller(), "ana", early) is None
    clock.advance(120)
    assert code(speaking, caller(), "ana", early) == "user_token_invalid"


def _by_hand(header: dict, claims: dict, secret: bytes) -> str:
    """A token signed with HMAC, whatever its header says."""
    parts = [base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=") for one in (header, claims)]
    signature = hmac.digest(secret, b".".join(parts), hashlib.sha256)
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x.y.z",
        "x" * 5000,
        "\ud800.\ud800.x",
        jwt.encode(CLAIMS, Ed25519PrivateKey.generate(), "EdDSA"),
        jwt.encode(CLAIMS, P256, "ES256"),
        _by_hand({"alg": "none"}, CLAIMS, b""),
        _by_hand({"alg": "HS256"}, CLAIMS, pem_of(ED).encode()),  # the public key taken for a shared secret
        jwt.encode({"sub": "ana"}, ED, "EdDSA"),
        jwt.encode({"exp": START + 60}, ED, "EdDSA"),
        jwt.encode({**CLAIMS, "exp": "later"}, ED, "EdDSA"),
    ],
)
def test_what_is_no_good_token_is_refused(speaking: Speaking, token: str) -> None:
    assert code(speaking, caller(), "ana", token) == "user_token_invalid"


def test_an_audience_must_fit_where_the_workspace_names_one(speaking: Speaking) -> None:
    who = caller(user_token_audience="app")
    for audience, expected in (("app", None), (["other", "app"], None), ("other", "user_token_invalid")):
        assert code(speaking, who, "ana", jwt.encode({**CLAIMS, "aud": audience}, ED, "EdDSA")) == expected
    assert code(speaking, who, "ana", jwt.encode(CLAIMS, ED, "EdDSA")) == "user_token_invalid"


def test_a_token_is_wanted_only_where_it_is_required_and_never_of_administrators(speaking: Speaking) -> None:
    assert code(speaking, caller(), "ana", None) == "user_token_missing"
    assert code(speaking, caller(user_token_required=False), "ana", None) is None
    assert code(speaking, caller(user_token_required=False), "ana", "x.y.z") == "user_token_invalid"
    assert code(speaking, caller("admin"), "ana", None) is None
    assert code(speaking, caller(user_token_key=None), "ana", "x.y.z") is None


def test_who_speaks_for_some_users_only_names_one(speaking: Speaking) -> None:
    assert code(speaking, caller(prefix="app-"), "ana", jwt.encode(CLAIMS, ED, "EdDSA")) == "user_not_allowed"
    for who in (caller(), caller(prefix="app-", user_token_required=False)):
        with pytest.raises(Forbidden) as caught:
            speaking.check_everybody(who)
        assert caught.value.code == "user_not_allowed"
    for who in (caller("admin"), caller(user_token_required=False)):
        speaking.check_everybody(who)


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "no key",
        pem_of(ec.generate_private_key(ec.SECP384R1())),
        pem_of(rsa.generate_private_key(65537, 1024)),
    ],
)
def test_a_key_that_tokens_may_not_be_signed_for_is_no_key(pem: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        public_key(pem)
