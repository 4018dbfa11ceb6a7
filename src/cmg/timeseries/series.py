"""One series with its samples on the way into the store, and the number that its labels give it."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
import numpy as np

from cmg.timeseries.labels import Labels
from cmg.timeseries.samples import Times, Values


@dataclass(frozen=True)
class Series:
    """Samples of one series, in the order of their times."""

    labels: Labels
    times: Times
    values: Values


def number_of(labels: Labels) -> int:
    """63 bits of a hash of the labels: the same on every machine, so that nobody has to hand numbers out."""
    digest = hashlib.blake2b(msgspec.json.encode(labels), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def in_order(times: Times, values: Values) -> tuple[Times, Values]:
    """Samples by time; of several at one time the one that was added last."""
    if len(times) < 2 or (times[1:] > times[:-1]).all():
        return times, values
    order = np.argsort(times, kind="stable")
    times, values = times[order], values[order]
    kept = np.append(times[1:] > times[:-1], True)
    return times[kept], values[kept]


def merged(parts: Iterable[tuple[Times, Values]]) -> tuple[Times, Values]:
    """Several runs of samples as one; later runs win where times are the same."""
    found = list(parts)
    return in_order(np.concatenate([times for times, _ in found]), np.concatenate([values for _, values in found]))
