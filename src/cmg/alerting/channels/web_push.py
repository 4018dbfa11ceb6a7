"""Browser push: encrypted for the browser (RFC 8291), sent to its push service with a VAPID token (RFC 8292)."""

import base64
import json
import os
from urllib.parse import urlsplit

import aiohttp
import msgspec
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cmg.alerting.channels.sending.http_call import Call, called
from cmg.alerting.channels.sending.message import Destination, Message, Refused

_TOKEN_S = 12 * 3600
_TTL_S = "86400"
_RECORD = 4096
_PLAIN_MAX = 3900  # bytes: push services take 4,096 sealed ones, whatever the letters
_POINT = serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint


class Subscription(msgspec.Struct):
    """What a browser gives out (`PushSubscription.toJSON()`): where to, and its keys in base64url."""

    endpoint: str
    keys: dict[str, str]


async def send(message: Message, to: Destination, session: aiohttp.ClientSession) -> str:
    """The address is the browser's subscription as JSON; secret `vapid_private_key`; setting `subject` (a mailto:)."""
    try:
        browser = msgspec.json.decode(to.address.encode(), type=Subscription)
        public, auth = _bytes(browser.keys["p256dh"]), _bytes(browser.keys["auth"])
        key = ec.derive_private_key(int.from_bytes(_bytes(to.secret("vapid_private_key"))), ec.SECP256R1())
        once, salt = ec.generate_private_key(ec.SECP256R1()), os.urandom(16)
        sealed = encrypted(_payload(message), public, auth, once, salt)
    except (msgspec.DecodeError, ValueError, KeyError) as error:
        raise Refused(f"the subscription or the VAPID key cannot be read: {type(error).__name__}") from error
    claims = {"exp": int(message.at) + _TOKEN_S, "sub": to.setting("subject")}
    headers = {
        "content-type": "application/octet-stream",
        "content-encoding": "aes128gcm",
        "ttl": _TTL_S,
        "urgency": "high" if message.severity in {"P1", "P2"} else "normal",
        "topic": message.reference,  # a push service keeps one message of a topic: a repeat takes its place
        "authorization": _vapid(browser.endpoint, claims, key),
    }
    await called(session, Call("POST", browser.endpoint, sealed, headers))
    return message.reference


def _payload(message: Message) -> bytes:
    """The message as JSON, its text shortened until it fits."""
    left = len(message.body)
    while True:
        told = {"title": message.subject, "body": message.body[:left], "reference": message.reference}
        made = json.dumps(told, ensure_ascii=False).encode()
        if len(made) <= _PLAIN_MAX or not left:
            return made
        left = min(left - 1, left * _PLAIN_MAX // len(made))


def encrypted(text: bytes, public: bytes, auth: bytes, own: ec.EllipticCurvePrivateKey, salt: bytes) -> bytes:
    """One record of `aes128gcm` (RFC 8188) for a browser's public key and its secret."""
    browser = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
    mine = own.public_key().public_bytes(*_POINT)
    shared = own.exchange(ec.ECDH(), browser)
    secret = _derived(auth, shared, b"WebPush: info\x00" + public + mine, 32)
    key = _derived(salt, secret, b"Content-Encoding: aes128gcm\x00", 16)
    nonce = _derived(salt, secret, b"Content-Encoding: nonce\x00", 12)
    head = salt + _RECORD.to_bytes(4) + len(mine).to_bytes(1) + mine
    return head + AESGCM(key).encrypt(nonce, text + b"\x02", None)


def _derived(salt: bytes, material: bytes, info: bytes, length: int) -> bytes:
    return HKDF(hashes.SHA256(), length, salt, info).derive(material)


def _vapid(endpoint: str, claimed: dict[str, object], key: ec.EllipticCurvePrivateKey) -> str:
    place = urlsplit(endpoint)
    claims = {"aud": f"{place.scheme}://{place.netloc}", **claimed}
    head = _text(b'{"typ":"JWT","alg":"ES256"}') + "." + _text(json.dumps(claims).encode())
    one, other = decode_dss_signature(key.sign(head.encode(), ec.ECDSA(hashes.SHA256())))
    signed = _text(one.to_bytes(32) + other.to_bytes(32))
    return f"vapid t={head}.{signed}, k={_text(key.public_key().public_bytes(*_POINT))}"


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
