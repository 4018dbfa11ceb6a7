"""A chunk: the samples of one series within a span, compressed without loss (but for the sign of a zero).

Times as differences of differences; values as differences of whole numbers where all are whole once they are
multiplied by one of a few scales, else as the bits that changed, byte by byte. Then deflate.
"""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from cmg.timeseries.samples import Times, Values

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
WEEK_MS = 7 * DAY_MS

# Version, width of times, width of values, which scale; samples; the first time, step and value.
_HEAD = struct.Struct("<BBBBIqqq")
_VERSION = 1
_RAW = 0  # the width of values that are kept as bits
_LEVEL = 1  # higher ones take three times as long for 3 %
_WHOLE = 2.0**53
_SCALES = (1.0, 10.0, 100.0, 1e3, 1e6, 2.0**26)  # the last is the grid of our own sums over processes
_WIDTHS = (1, 2, 4, 8)


class DamagedChunk(ValueError):
    """Bytes that no release wrote as a chunk."""


def encode(times: Times, values: Values) -> bytes:
    """The chunk of at least one sample; times rise."""
    steps = np.diff(times)
    packed_times, time_width = _narrowed(np.diff(steps))
    whole = _whole(values)
    if whole is None:
        bits = np.ascontiguousarray(values).view(np.uint64)
        changed = np.concatenate((bits[:1], bits[1:] ^ bits[:-1]))
        packed, width, scale, first = changed.view(np.uint8).reshape(-1, 8).T.tobytes(), _RAW, 0, 0
    else:
        scale, numbers = whole
        packed, width = _narrowed(np.diff(numbers))
        first = int(numbers[0])
    step = int(steps[0]) if len(steps) else 0
    head = _HEAD.pack(_VERSION, time_width, width, scale, len(times), int(times[0]), step, first)
    return head + zlib.compress(packed_times + packed, _LEVEL)


def decode(data: bytes) -> tuple[Times, Values]:
    """Times and values of a chunk. Raises `DamagedChunk`."""
    try:
        version, time_width, width, scale, count, first_time, step, first = _HEAD.unpack_from(data)
        if version != _VERSION:
            raise DamagedChunk(f"version {version} is not known")
        body = zlib.decompress(data[_HEAD.size :])
        split = time_width * max(0, count - 2)
        times = _summed(first_time, _summed(step, np.frombuffer(body[:split], f"<i{time_width}")))[:count]
        if width == _RAW:
            changed = np.frombuffer(body[split:], np.uint8).reshape(8, count).T.copy().view(np.uint64).ravel()
            return times, np.bitwise_xor.accumulate(changed).view(np.float64)
        return times, _summed(first, np.frombuffer(body[split:], f"<i{width}")) / _SCALES[scale]
    except (struct.error, zlib.error, ValueError, TypeError, IndexError) as error:
        raise DamagedChunk(str(error)) from error


def _summed(first: int, differences: NDArray[np.signedinteger]) -> NDArray[np.int64]:
    """The numbers that begin with `first` and differ so."""
    return np.cumsum(np.concatenate((np.array([first], np.int64), differences)), dtype=np.int64)


def _narrowed(numbers: NDArray[np.int64]) -> tuple[bytes, int]:
    """The numbers in the fewest bytes that hold all of them, and how many that are for each."""
    low, high = (int(numbers.min()), int(numbers.max())) if len(numbers) else (0, 0)
    width = next(one for one in _WIDTHS if -(2 ** (8 * one - 1)) <= low and high < 2 ** (8 * one - 1))
    return numbers.astype(f"<i{width}").tobytes(), width


def _whole(values: Values) -> tuple[int, NDArray[np.int64]] | None:
    """The first scale that makes every value whole, and the whole numbers; None if no scale gives all values back."""
    if not np.isfinite(values).all():
        return None
    largest = float(np.abs(values).max())
    for number, scale in enumerate(_SCALES):
        if largest * scale < _WHOLE:
            whole = np.rint(values * scale).astype(np.int64)
            if np.array_equal(whole / scale, values):
                return number, whole
    return None
