"""A webhook of anybody's, signed: `X-CMG-Signature` is `v1=` and HMAC-SHA256 over timestamp, a dot and the body.

`X-CMG-Delivery` is the message's reference: whoever has seen it may leave the message away.
"""

import hashlib
import hmac

import aiohttp
import msgspec

from cmg.alerting.channels.sending.http_call import Call, called
from cmg.alerting.channels.sending.message import Destination, Message


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """What a receiver compares with."""
    return "v1=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def payload(message: Message) -> bytes:
    """The message as JSON."""
    return msgspec.json.encode(
        {
            "version": "1",
            "reference": message.reference,
            "group": message.group,
            "occasion": message.occasion,
            "status": "resolved" if message.over else "firing",
            "severity": message.severity,
            "subject": message.subject,
            "text": message.body,
            "facts": message.facts,
        }
    )


async def send(message: Message, to: Destination, session: aiohttp.ClientSession) -> str:
    """POST it to the setting `url`, signed with the secret `secret`."""
    body, timestamp = payload(message), str(int(message.at))
    headers = {
        "content-type": "application/json",
        "x-cmg-delivery": message.reference,
        "x-cmg-timestamp": timestamp,
        "x-cmg-signature": signature(to.secret("secret"), timestamp, body),
    }
    await called(session, Call("POST", to.to("url"), body, headers))
    return message.reference


async def call_back(message: Message, to: Destination, session: aiohttp.ClientSession) -> str:
    """An API callback: the same body to `url`, where `{group}` and `{reference}` are filled in, with a bearer token."""
    url = to.to("url").replace("{group}", message.group).replace("{reference}", message.reference)
    headers = {"content-type": "application/json", "idempotency-key": message.reference}
    if "token" in to.secrets:
        headers["authorization"] = f"Bearer {to.secret('token')}"
    await called(session, Call(to.setting("method", "POST"), url, payload(message), headers))
    return message.reference
