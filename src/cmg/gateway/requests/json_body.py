"""A JSON object whose values stay the bytes they came in, and the bounds on it."""

import re

import msgspec

from cmg.kit.asgi import decode
from cmg.kit.errors import InvalidRequest

Fields = dict[str, msgspec.Raw]
# Possessive: a string of megabytes takes no memory for turning back, and one without an end is looked at once.
_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_SQUARE = bytes.maketrans(b"{}", b"[]")
_fields = msgspec.json.Decoder(Fields)
_encode = msgspec.json.Encoder().encode
_ESCAPED = b"\\u006"  # how every letter of `model` looks when it is escaped


def read_fields(body: bytes, depth_max: int) -> Fields:
    """The top level of the object. Raises `InvalidRequest` for bad JSON, bad UTF-8 or too deep nesting."""
    fields = decode(_fields, body)  # first: what follows counts on valid JSON
    if body.count(b"[") + body.count(b"{") > depth_max:
        _check_depth(body, depth_max)
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"the body is not UTF-8: {error.reason} at byte {error.start}") from error
    return fields


def is_model_ambiguous(body: bytes) -> bool:
    """Whether `model` may stand there twice: upstreams differ in which they take, and only the last is checked."""
    return body.count(b'"model"') > 1 or _ESCAPED in body


def write_fields(fields: Fields) -> bytes:
    """The object again, each value byte for byte as it came."""
    return _encode(fields)


def raw(value: object) -> msgspec.Raw:
    """A value of ours for `Fields`."""
    return msgspec.Raw(_encode(value))


def _check_depth(body: bytes, depth_max: int) -> None:
    """Take away the innermost pairs of brackets, level by level: what is left after `depth_max` times is too deep."""
    left = _STRINGS.sub(b"", body).translate(_SQUARE, _NO_BRACKETS)
    for _ in range(depth_max):
        if not left:
            return
        left = left.replace(b"[]", b"")
    if left:
        raise InvalidRequest(f"the body is nested deeper than {depth_max} levels", code="too_deep")
