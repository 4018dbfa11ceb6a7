"""A JSON object whose values stay the bytes they came in, and the bounds on it."""

import re

import msgspec

from cmg.kit.asgi import decode
from cmg.kit.errors import InvalidRequest

Fields = dict[str, msgspec.Raw]
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKETS = re.compile(rb"[\[\]{}]")
_fields = msgspec.json.Decoder(Fields)
_encode = msgspec.json.Encoder().encode


def read_fields(body: bytes, depth_max: int) -> Fields:
    """The top level of the object. Raises `InvalidRequest` for bad JSON, bad UTF-8 or too deep nesting."""
    if body.count(b"[") + body.count(b"{") > depth_max:
        _check_depth(body, depth_max)
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"the body is not UTF-8: {error.reason} at byte {error.start}") from error
    return decode(_fields, body)


def write_fields(fields: Fields) -> bytes:
    """The object again, each value byte for byte as it came."""
    return _encode(fields)


def raw(value: object) -> msgspec.Raw:
    """A value of ours for `Fields`."""
    return msgspec.Raw(_encode(value))


def _check_depth(body: bytes, depth_max: int) -> None:
    depth = 0
    for bracket in _BRACKETS.finditer(_STRINGS.sub(b"", body)):
        depth += 1 if bracket[0] in b"[{" else -1
        if depth > depth_max:
            raise InvalidRequest(f"the body is nested deeper than {depth_max} levels", code="too_deep")
