"""W3C trace context: what a caller says of the trace that a request belongs to, and what is said to others.

Source: W3C Trace Context (traceparent, tracestate). What does not fit the form is as if it were not there.
"""

import re
from collections.abc import Collection, Mapping
from urllib.parse import unquote

import msgspec

# Versions above 00 may have more fields behind the flags; ff is no version.
_PARENT = re.compile(rb"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_LENGTH = 55
_STATE_MOST = 512
_BAGGAGE_MOST, _VALUE_MOST = 8192, 200
_NONE = (b"0" * 32, b"0" * 16)


class Context(msgspec.Struct, frozen=True, gc=False):
    """A caller's trace: its id, the span that asks (hex digits), whether it is recorded there, and `tracestate`."""

    trace_id: str
    span_id: str
    sampled: bool
    state: str = ""


def context_of(headers: Mapping[bytes, bytes]) -> Context | None:
    """The caller's trace; None without a valid `traceparent`."""
    given = headers.get(b"traceparent")
    if given is None:
        return None
    found = _PARENT.fullmatch(given.strip())
    if found is None or found[2] == _NONE[0] or found[3] == _NONE[1] or (found[1] == b"00" and len(given) != _LENGTH):
        return None
    return Context(
        found[2].decode(), found[3].decode(), bool(int(found[4], 16) & 1), _state(headers.get(b"tracestate"))
    )


def baggage_of(header: bytes | None, wanted: Collection[str]) -> dict[str, str]:
    """The values of wanted names in a W3C `baggage` header."""
    found: dict[str, str] = {}
    for member in (header or b"")[:_BAGGAGE_MOST].decode("latin-1").split(","):
        name, sign, value = member.partition(";")[0].partition("=")
        if sign and name.strip() in wanted:
            found[name.strip()] = unquote(value.strip())[:_VALUE_MOST]
    return found


def _state(given: bytes | None) -> str:
    """`tracestate` as it came; one that is too long or no header's text is left out, as the standard allows."""
    if given is None or len(given) > _STATE_MOST:
        return ""
    text = given.decode("latin-1").strip()
    return text if text.isascii() and text.isprintable() else ""


def traceparent(trace_id: str, span_id: int, *, sampled: bool) -> str:
    """The header that names a span as the parent of what follows."""
    return f"00-{trace_id}-{span_id:016x}-{'01' if sampled else '00'}"
