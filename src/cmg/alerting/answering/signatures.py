"""How others sign what they send, as their documents say."""

import base64
import hashlib
import hmac
from collections.abc import Mapping

_SLACK_S = 300.0


def by_slack(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """`X-Slack-Signature`, version v0, over the time and the body; not older than five minutes."""
    at, told = headers.get("x-slack-request-timestamp", ""), headers.get("x-slack-signature", "")
    if not (at.isascii() and at.isdigit()) or len(at) > 12 or abs(now - int(at)) > _SLACK_S:
        return False
    made = hmac.new(secret.encode(), b"v0:" + at.encode() + b":" + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(f"v0={made}".encode(), told.encode())


def by_pagerduty(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """`X-PagerDuty-Signature`: one or several of version v1, while a secret is changed."""
    made = "v1=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    told = headers.get("x-pagerduty-signature", "").split(",")
    return any(hmac.compare_digest(made.encode(), one.strip().encode()) for one in told)


def by_twilio(secret: str, headers: Mapping[str, str], url: str, fields: Mapping[str, str]) -> bool:
    """`X-Twilio-Signature`: SHA-1 over the URL as it was given, and every field with its value, sorted by name."""
    said = url + "".join(name + fields[name] for name in sorted(fields))
    made = base64.b64encode(hmac.new(secret.encode(), said.encode(), hashlib.sha1).digest())
    return hmac.compare_digest(made, headers.get("x-twilio-signature", "").encode())
