"""One hierarchy of errors, mapped once to the HTTP error body that OpenAI's clients understand."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec


class CmgError(Exception):
    """An error with an answer for the caller.

    `message` says what to do next, `param` names the field, `code` is stable for programs. `always`: headers of every
    such answer, unless it is given others.
    """

    status = 500
    type = "server_error"
    code: str | None = None
    always: Mapping[str, str] = MappingProxyType({})

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code or self.code
        self.headers = {**self.always, **(headers or {})}

    def body(self) -> dict[str, Any]:
        """`{"error": {"message", "type", "param", "code"}}`."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

    def json(self) -> bytes:
        """The body as JSON bytes."""
        return msgspec.json.encode(self.body())


class InvalidRequest(CmgError):
    """400: the request itself is wrong; `param` names the field."""

    status, type, code = 400, "invalid_request_error", "invalid_value"


class Unauthenticated(CmgError):
    """401: no key, or none that we know. It says how to authenticate (RFC 9110, 11.6.1)."""

    status, type, code = 401, "authentication_error", "invalid_api_key"
    always = MappingProxyType({"WWW-Authenticate": "Bearer"})


class BudgetExceeded(CmgError):
    """429 `budget_exceeded`: the key's budget is used up, or promised to calls in flight."""

    status, type, code = 429, "budget_exceeded", "budget_exceeded"


class Forbidden(CmgError):
    """403: a known key that may not do this (scope, model, address)."""

    status, type, code = 403, "permission_error", "forbidden"


class NotFound(CmgError):
    """404: no such thing in the caller's workspace."""

    status, type, code = 404, "invalid_request_error", "not_found"


class ModelNotFound(NotFound):
    """404: no configured upstream serves the model."""

    code = "model_not_found"


class Conflict(CmgError):
    """409: the same id with other content, or a state that forbids the change."""

    status, type, code = 409, "invalid_request_error", "conflict"


class TooLarge(CmgError):
    """413: a body over the limit."""

    status, type, code = 413, "invalid_request_error", "request_too_large"


class Encoded(CmgError):
    """415: a body that is compressed; it says how bodies may be sent (RFC 9110, 12.5.3)."""

    status, type, code = 415, "invalid_request_error", "unsupported_encoding"
    always = MappingProxyType({"Accept-Encoding": "identity"})


class RateLimited(CmgError):
    """429: a limit of the key; carries `Retry-After`."""

    status, type, code = 429, "rate_limit_error", "rate_limit_exceeded"


class UpstreamFailed(CmgError):
    """502: the upstream answered wrongly or not at all, and no candidate is left."""

    status, type, code = 502, "upstream_error", "upstream_failed"


class UpstreamTimeout(UpstreamFailed):
    """504: the upstream did not answer within its limit."""

    status, code = 504, "upstream_timeout"


class Unavailable(CmgError):
    """503: we cannot take the call now (journal full, shutting down, no database)."""

    status, type, code = 503, "server_error", "unavailable"
