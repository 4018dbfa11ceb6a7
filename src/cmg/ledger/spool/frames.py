"""The bytes of a journal segment: frames one after another, each the records of one `append`.

Frame: length of the body and CRC-32 of the body (both little-endian 32 bits), then the body: a MessagePack array
of [kind, payload] pairs. A segment's name is the position of its first byte; a position counts the bytes a worker
has written since it started. A frame is whole or it is nothing: there is no state between.
"""

from collections.abc import Iterator, Sequence
from struct import Struct
from zlib import crc32

import msgspec

HEAD = Struct("<II")
MAX_BODY = 256 * 2**20
SUFFIX = ".jnl"

Record = tuple[str, bytes]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Record]).decode
_head = HEAD.pack


def segment_name(base: int) -> str:
    """The file that begins at position `base`; names sort like positions."""
    return f"{base:016d}{SUFFIX}"


def frame(records: Sequence[Record]) -> bytes:
    """One frame around the records. Raises `ValueError` when they are too large for one."""
    body = _encode(records)
    if len(body) > MAX_BODY:
        raise ValueError(f"records of {len(body)} bytes do not fit into the journal; the limit is {MAX_BODY}")
    return _head(len(body), crc32(body)) + body


def frames(data: bytes) -> Iterator[tuple[int, list[Record]]]:
    """The whole frames at the start of `data`, each with the offset behind it; ends before what is no whole frame."""
    offset = 0
    while True:
        size = wanted(data, offset)
        if not size or len(data) - offset < size:
            return
        body = memoryview(data)[offset + HEAD.size : offset + size]
        if crc32(body) != HEAD.unpack_from(data, offset)[1]:
            return
        try:
            records = _decode(body)
        except msgspec.DecodeError:  # ValidationError too: bytes that pass the checksum by chance or by another version
            return
        offset += size
        yield offset, records


def wanted(data: bytes, offset: int = 0) -> int:
    """How many bytes the frame at `offset` has, its head included; 0 when there is no possible head."""
    if len(data) - offset < HEAD.size:
        return 0
    length = int(HEAD.unpack_from(data, offset)[0])
    return HEAD.size + length if 0 < length <= MAX_BODY else 0
