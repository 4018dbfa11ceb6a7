"""One HTTP call with a deadline, its failures sorted into what may be tried again and what may not."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec

from cmg.alerting.channels.sending.message import Refused, TryLater
from cmg.kit.clock import http_moment

_DEADLINE = aiohttp.ClientTimeout(total=10)
_SHOWN = 300
_BODY_MAX = 64 * 1024
_AGAIN = frozenset({408, 409, 423, 425, 429})


@dataclass(frozen=True)
class Call:
    """One request. `body` is sent as it is."""

    method: str
    url: str
    body: bytes = b""
    headers: Mapping[str, str] | None = None
    basic: tuple[str, str] | None = None


async def called(session: aiohttp.ClientSession, call: Call) -> tuple[int, bytes]:
    """Status and body of an answer of 2xx. Raises `TryLater`, `Refused`; what they say holds no secret of ours."""
    basic = {"authorization": aiohttp.encode_basic_auth(*call.basic)} if call.basic else {}
    try:
        async with session.request(
            call.method, call.url, data=call.body or None, headers={**basic, **(call.headers or {})},
            timeout=_DEADLINE, allow_redirects=False,
        ) as answer:  # fmt: skip
            body = await _whole(answer.content)
            if 200 <= answer.status < 300:
                return answer.status, body
            told = f"{answer.status} {body[:_SHOWN].decode('utf-8', 'replace')}".strip()
            if answer.status in _AGAIN or answer.status >= 500:
                raise TryLater(told, _seconds(answer.headers))
            raise Refused(told)
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
        raise Refused(f"the channel's URL is none that can be called: {type(error).__name__}") from error
    except TimeoutError as error:
        raise TryLater("no answer within 10 s") from error
    except (aiohttp.ClientError, OSError) as error:
        raise TryLater(f"no connection: {type(error).__name__}") from error


async def json_called(session: aiohttp.ClientSession, call: Call, value: Any) -> Any:
    """The same with JSON in both directions; an empty answer is None."""
    headers = {"content-type": "application/json", **(call.headers or {})}
    sent = Call(call.method, call.url, b"" if value is None else msgspec.json.encode(value), headers, call.basic)
    _, body = await called(session, sent)
    try:
        return msgspec.json.decode(body) if body.strip() else None
    except msgspec.DecodeError as error:
        raise TryLater(f"the answer is not JSON: {body[:100].decode('utf-8', 'replace')}") from error


async def _whole(content: aiohttp.StreamReader) -> bytes:
    """The answer, however it is cut: half of one would be taken for a failure, and the message sent again."""
    body = b""
    while len(body) < _BODY_MAX and (more := await content.read(_BODY_MAX - len(body))):
        body += more
    return body


def member(answer: Any, name: str) -> Any:
    """A field of an answer that should be an object; None when it is none, or has no such field."""
    return answer.get(name) if isinstance(answer, dict) else None


def _seconds(headers: Mapping[str, str]) -> float | None:
    """What `Retry-After` asks for: seconds, or a date, which counts from the answer's own."""
    text = headers.get("Retry-After", "")
    if text.isascii() and text.isdigit():
        return float(text[:9])
    until, now = http_moment(text), http_moment(headers.get("Date", ""))
    return None if until is None or now is None else max(0.0, until - now)
