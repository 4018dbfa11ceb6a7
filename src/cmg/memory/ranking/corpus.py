"""One user's passages as columns: what the search statement sends in binary arrays, read without a loop."""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
_HEADER = 20  # PostgreSQL's array_send: dimensions, flags, element type, length, first index; four bytes each
_SIZE = 4  # of the length before each value


class Corpus(NamedTuple):
    """Passages in the order of thread and place, one entry each; distances are None without vectors.

    `thread` tells neighbours apart (facts have threads of their own, so they are nobody's neighbours). `person` is an
    index into the people's names, -1 without a name. `standing`: the user says by `always`, `never` … what holds in
    general. `fits` marks what the filters let through. Of a corpus of
    candidates and a sample, `stands_for` says how many of the user's passages each stands for. `cosine`,
    `window_cosine` are NaN where there is no vector yet. A posting says how often (`repeats`) an asked term (`term`,
    an index) stands in a passage (`row`).
    """

    seq: Ints
    thread: Ints
    said_at: Floats
    length: Ints
    by_user: Flags
    person: Ints
    asks: Flags
    standing: Flags
    salience: Floats
    tokens: Ints
    fits: Flags
    cosine: Floats | None
    window_cosine: Floats | None
    row: Ints
    term: Ints
    repeats: Floats
    stands_for: Floats | None = None


def column(sent: bytes | None, kind: str) -> NDArray[Any]:
    """A one-dimensional array without NULLs as `array_send` wrote it; `kind` is numpy's, big-endian, as `>i8`."""
    foreign, own = _kinds(kind)
    if sent is None or len(sent) <= _HEADER:
        return np.empty(0, own)
    cell = _SIZE + foreign.itemsize
    count = (len(sent) - _HEADER) // cell
    return np.ndarray((count,), foreign, sent, _HEADER + _SIZE, (cell,)).astype(own)


@lru_cache(maxsize=16)
def _kinds(kind: str) -> tuple[np.dtype[Any], np.dtype[Any]]:
    """As it was sent, and as this machine counts."""
    return np.dtype(kind), np.dtype(kind).newbyteorder("=")


def rows_of(seq: Ints, wanted: Ints) -> Ints:
    """The places of these numbers in `seq`; -1 where one is not there."""
    order = np.argsort(seq, kind="stable")
    at = np.searchsorted(seq, wanted, sorter=order)
    at = np.minimum(at, max(len(seq) - 1, 0))
    found = order[at] if len(seq) else np.full(len(wanted), -1)
    return np.where(seq[found] == wanted, found, -1) if len(seq) else found
