"""Blocks: some thousand lines compressed together, and what is known of them without reading them."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import orjson
import zstandard

from cmg.logbook.cold.bloom import bloom_of
from cmg.logbook.cold.words import words_of_line
from cmg.logbook.models import Line, from_record, record_of

BLOCK_BYTES = 1024 * 1024  # of lines, before they are compressed
_LEVEL = 6
_MOST_BYTES = 64 * 2**20  # of one block when it is read: what is larger was not written here
_NUMBER, _PATTERN = "cmg.line_no", "cmg.pattern"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Damaged(Exception):
    """A file's bytes are not what its index says."""


class Block(msgspec.Struct, frozen=True, array_like=True):
    """One block of a file: where it is, and what its lines have. Times in µs since 1970, both included."""

    offset: int
    size: int
    lines: int
    first_us: int
    last_us: int
    severity: int  # the highest
    bloom: bytes


class Index(msgspec.Struct, frozen=True, array_like=True):
    """The file beside a file: its blocks in the order of their lines."""

    version: int
    blocks: list[Block]


_encode_index = msgspec.msgpack.Encoder().encode
_decode_index = msgspec.msgpack.Decoder(Index).decode


def encode_index(blocks: list[Block]) -> bytes:
    """The index as it is stored."""
    return zstandard.ZstdCompressor(level=_LEVEL).compress(_encode_index(Index(1, blocks)))


def decode_index(data: bytes) -> Index:
    """An index that was stored. Raises `Damaged`."""
    try:
        return _decode_index(zstandard.ZstdDecompressor().decompress(data, max_output_size=_MOST_BYTES))
    except (zstandard.ZstdError, msgspec.DecodeError) as error:
        raise Damaged(f"an index of log files cannot be read: {error}") from error


def micros(moment: datetime) -> int:
    """Microseconds since 1970."""
    return (moment - EPOCH) // _MICROSECOND


def pack(lines: Sequence[Line], offset: int) -> tuple[bytes, Block]:
    """Lines in their order as a block that stands at `offset`: a zstd frame of JSON lines."""
    data = b"".join(_dumped(line) for line in lines)
    frame = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compress(data)
    words = {word for line in lines for word in marks(line)}
    for line in lines:
        words.update(words_of_line(line))
    times = (micros(lines[0].at), micros(lines[-1].at))
    severity = max(line.severity for line in lines)
    return frame, Block(offset, len(frame), len(lines), *times, severity, bloom_of(words))


def unpack(frame: bytes) -> Iterator[Line]:
    """The lines of a block in their order. Raises `Damaged`."""
    try:
        data = zstandard.ZstdDecompressor().decompress(frame, max_output_size=_MOST_BYTES)
        for line in data.splitlines():
            record = orjson.loads(line)
            found = from_record(record, EPOCH)
            found.line_no = found.fields.pop(_NUMBER)
            found.pattern_no = found.fields.pop(_PATTERN, None)
            yield found
    except (zstandard.ZstdError, orjson.JSONDecodeError, KeyError) as error:
        raise Damaged(f"a block of a log file cannot be read: {error!r}") from error


def marks(line: Line) -> Iterator[str]:
    """What a filter can ask of a line beside its words, in a form that no word has."""
    for kind, value in (("w", line.workspace_id), ("r", line.request_id), ("t", line.trace_id), ("u", line.user_hash)):
        if value is not None:
            yield f"{kind}={value}"
    yield f"s={line.service}"
    if line.pattern_no is not None:
        yield f"p={line.pattern_no}"
    parts = line.logger.split(".")
    for count in range(1, len(parts) + 1):
        yield f"l={'.'.join(parts[:count])}"


def _dumped(line: Line) -> bytes:
    record = record_of(line) | {_NUMBER: line.line_no}
    if line.pattern_no is not None:
        record[_PATTERN] = line.pattern_no
    return orjson.dumps(record, default=str) + b"\n"
