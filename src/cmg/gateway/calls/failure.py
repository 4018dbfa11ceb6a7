"""What went wrong with one attempt, and what follows from it."""

import re
from collections.abc import Mapping
from typing import Literal

import msgspec

from cmg.gateway.upstreams.transport import (
    ConnectFailed,
    FirstByteTimeout,
    Stalled,
    TotalTimeout,
    TransportError,
)
from cmg.kit.clock import http_moment
from cmg.kit.errors import CmgError, RateLimited, Unavailable, UpstreamFailed, UpstreamTimeout

# again: the same candidate may answer another time; next: only another one may; larger: only one that takes a longer
# context; stop: nobody would answer otherwise.
Verdict = Literal["again", "next", "larger", "stop"]

NULL = msgspec.Raw(b"null")  # what a field of any shape holds when it is missing: msgspec decodes no `Raw | None`
_MESSAGE_MAX = 1000
_FILTER_LOOKS_AT = 4096  # bytes: the reasons of a moderation stand in the body's metadata
_CONTEXT = re.compile(
    r"context.{0,12}length|context.window|maximum.context|too many tokens|prompt is too long", re.IGNORECASE
)
_FILTER = re.compile(r"content.?filter|content.?policy|moderation|safety", re.IGNORECASE)
_WAIT_MAX_S = 86400.0
# The words that stand where others write an HTTP status, in an answer with HTTP 200 or within a stream.
_WORDS = {
    "authentication_error": 401,
    "content_filter": 400,
    "content_policy_violation": 400,
    "context_length_exceeded": 400,
    "insufficient_quota": 429,
    "invalid_api_key": 401,
    "invalid_request_error": 400,
    "model_not_found": 404,
    "not_found_error": 404,
    "overloaded_error": 529,
    "permission_error": 403,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "request_too_large": 413,
}


class UpstreamRefused(CmgError):
    """A 4xx of the upstream that is about the request: passed on with its own status and words."""

    type = "invalid_request_error"

    def __init__(self, status: int, message: str, *, param: str | None, code: str | None) -> None:
        super().__init__(message, param=param, code=code)
        self.status = status


class Failure(msgspec.Struct, frozen=True):
    """One failed attempt. `kind` goes into the ledger; `sick`: it speaks against the upstream (circuit breaker).

    `retry_at`: the moment (epoch seconds) until which it wants to be left alone, where it names no span of time.
    `silent`: the upstream said nothing in its time; it is not asked again while another candidate is left.
    """

    kind: str
    verdict: Verdict
    error: CmgError
    retry_after_s: float | None = None
    retry_at: float | None = None
    sick: bool = False
    silent: bool = False


class ErrorBody(msgspec.Struct):
    """The inside of `error`, as OpenAI, OpenRouter and many others write it."""

    message: msgspec.Raw = NULL
    type: msgspec.Raw = NULL
    param: msgspec.Raw = NULL
    code: msgspec.Raw = NULL


class _Envelope(msgspec.Struct):
    error: msgspec.Raw = NULL
    message: msgspec.Raw = NULL
    detail: msgspec.Raw = NULL


def from_transport(error: TransportError, name: str) -> Failure:
    """What a transport error means."""
    if isinstance(error, FirstByteTimeout | Stalled | TotalTimeout):
        told = UpstreamTimeout(f"the upstream `{name}` did not answer in time: {error}")
        verdict: Verdict = "next" if isinstance(error, TotalTimeout) else "again"
        return Failure(error.kind, verdict, told, sick=True, silent=True)
    told_failed = UpstreamFailed(f"the upstream `{name}` failed: {error}")
    if isinstance(error, ConnectFailed):
        told_failed = UpstreamFailed(f"the upstream `{name}` cannot be reached: {error}")
    return Failure(error.kind, "again", told_failed, sick=True)


def from_body(what: str, name: str) -> Failure:
    """An answer with a good status that is no answer."""
    return Failure("bad_response", "again", UpstreamFailed(f"the upstream `{name}` answered badly: {what}"), sick=True)


def from_status(status: int, body: bytes, headers: Mapping[str, str], name: str) -> Failure:
    """What an error answer means; `status` may come from the body of an answer with HTTP 200."""
    message, param, code = read_error(body)
    said = f"the upstream `{name}` answered {status}: {message}"
    if status in {401, 403} and not _FILTER.search(body[:_FILTER_LOOKS_AT].decode(errors="replace")):
        wrong_key = UpstreamFailed(f"the upstream `{name}` refused our credentials ({status}); check its api_key")
        return Failure(f"http_{status}", "next", wrong_key)
    if status == 402:
        return Failure("http_402", "next", UpstreamFailed(f"{said}; its account needs credit", code="upstream_credit"))
    if _is_context_length(code, message) and status in {400, 413, 422}:
        refused = UpstreamRefused(400, message, param=param, code="context_length_exceeded")
        return Failure("context_length", "larger", refused)
    if status == 404:  # the model may have left this upstream and not the next
        return Failure("http_404", "next", UpstreamRefused(404, said, param=param, code=code))
    if 400 <= status < 500 and status not in {408, 425, 429}:
        return Failure(f"http_{status}", "stop", UpstreamRefused(status, message, param=param, code=code))
    wait_s, until = retry_after(headers)
    told = _told(wait_s) if until is None else {"retry-after": headers["retry-after"]}
    if status == 429:
        limited = RateLimited(said, code="upstream_rate_limited", headers=told)
        return Failure("http_429", "again", limited, wait_s, until)
    return Failure(f"http_{status}", "again", _server_error(status, said, told), wait_s, until, sick=True)


def refuses_field(failure: Failure, field: str) -> bool:
    """Whether the upstream said that it does not take this field of the request."""
    error = failure.error
    return failure.kind in {"http_400", "http_422"} and (field in error.message or field in (error.param or ""))


def _server_error(status: int, said: str, told: dict[str, str]) -> CmgError:
    if status in {408, 504, 524}:
        return UpstreamTimeout(said)
    if status in {503, 529}:
        return Unavailable(said, code="upstream_unavailable", headers=told)
    return UpstreamFailed(said)


def retry_after(headers: Mapping[str, str]) -> tuple[float | None, float | None]:
    """(seconds, moment in epoch seconds) of `Retry-After`, one of them or none. Source: RFC 9110, 10.2.3.

    A date is read by the clock of its sender, the answer's own `Date`; only without one it is a moment.
    """
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,300}(\.[0-9]{1,30})?", text):
        return min(float(text), _WAIT_MAX_S), None
    until, sent = http_moment(text), http_moment(headers.get("date", ""))
    if until is None or sent is None:
        return None, until
    return min(max(0.0, until - sent), _WAIT_MAX_S), None


def read_error(body: bytes) -> tuple[str, str | None, str | None]:
    """(message, param, code) of an error body in any of the usual shapes; the body's text when it is none."""
    try:
        envelope = msgspec.json.decode(body, type=_Envelope)
        if is_null(envelope.error):
            said = _plain(envelope.message) or _plain(envelope.detail)
            return said or "no message", None, None
        text = _string(envelope.error)
        if text is not None:
            return text[:_MESSAGE_MAX], None, None
        inner = msgspec.json.decode(envelope.error, type=ErrorBody)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return body[:200].decode(errors="replace").strip() or "an empty answer", None, None
    return _plain(inner.message) or "no message", _plain(inner.param), _plain(inner.code)


def status_in(error: msgspec.Raw) -> int:
    """The HTTP status that an error with HTTP 200, or one within a stream, names by its code or type; else 502."""
    try:
        body = msgspec.json.decode(error, type=ErrorBody)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return 502
    code = _plain(body.code) or ""
    if re.fullmatch(r"[45][0-9]{2}", code):
        return int(code)
    return _WORDS.get(code) or _WORDS.get(_plain(body.type) or "") or 502


def error_within(data: bytes) -> msgspec.Raw:
    """The `error` of an event that tells one; the whole of it when it has no such field."""
    try:
        error = msgspec.json.decode(data, type=_Envelope).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return msgspec.Raw(data)
    return msgspec.Raw(data) if is_null(error) else error


def is_null(value: msgspec.Raw) -> bool:
    """Whether a field is missing or null."""
    return bytes(value) == b"null"


def _plain(value: msgspec.Raw) -> str | None:
    """A string as it is, null as None, anything else as its JSON."""
    if is_null(value):
        return None
    text = _string(value)
    return (text if text is not None else bytes(value).decode(errors="replace"))[:_MESSAGE_MAX]


def _string(value: msgspec.Raw) -> str | None:
    try:
        return msgspec.json.decode(value, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _is_context_length(code: str | None, message: str) -> bool:
    return code == "context_length_exceeded" or _CONTEXT.search(message) is not None


def _told(wait_s: float | None) -> dict[str, str]:
    return {} if wait_s is None else {"retry-after": str(max(1, round(wait_s)))}
