"""One exposition out of several processes: counters and histograms summed, gauges by their declared mode.

prometheus_client's own multiprocess mode loses exemplars, Info and process metrics; here each process hands
out a snapshot of its registry and one process merges them. A process that died is still counted: its last
known totals are carried on, so that a sum never falls and `rate()` never sees a reset that was none.
"""

from collections.abc import Iterable
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from cmg.catalogue.metrics import BY_NAME
from cmg.telemetry.logs import get_logger

_log = get_logger("cmg.telemetry.merging")
_GRID = 2**26  # parts of a dollar or a second; sums are exact up to 134 million of them
_ADDED = frozenset({"counter", "histogram", "summary"})
_Exemplar = tuple[dict[str, str], float, float | None] | None


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """One series: suffix-complete name, labels, value, and the exemplar (labels, value, timestamp) if any."""

    name: str
    labels: tuple[tuple[str, str], ...]
    value: float
    exemplar: _Exemplar = None


class FamilySnapshot(msgspec.Struct, frozen=True, array_like=True):
    """One metric family of one process."""

    name: str
    kind: str
    help: str
    samples: list[Sample]


Snapshot = list[FamilySnapshot]
_decode = msgspec.msgpack.Decoder(Snapshot).decode


def snapshot(registry: CollectorRegistry) -> bytes:
    """The registry's present values as bytes for another process."""
    families = [
        FamilySnapshot(
            family.name,
            family.type,
            family.documentation,
            [
                Sample(s.name, tuple(sorted(s.labels.items())), _summable(s.value, family.type), _exemplar(s.exemplar))
                for s in family.samples
                if not s.name.endswith("_created")
            ],
        )
        for family in registry.collect()
    ]
    return msgspec.msgpack.encode(families)


def _summable(value: float, kind: str) -> float:
    """What adds up, on a grid where sums are exact: one that differs by the order of its parts would seem to fall."""
    return round(value * _GRID) / _GRID if kind in _ADDED else value


def _exemplar(exemplar: Exemplar | None) -> _Exemplar:
    if exemplar is None:
        return None
    timestamp = None if exemplar.timestamp is None else float(exemplar.timestamp)
    return dict(exemplar.labels), exemplar.value, timestamp


def merge(snapshots: Iterable[Snapshot]) -> Snapshot:
    """Sum what adds up, and join gauges as the catalogue says (`sum`, `max`, `min`, `latest`)."""
    families: dict[str, tuple[FamilySnapshot, dict[tuple[str, tuple[tuple[str, str], ...]], Sample]]] = {}
    for one in snapshots:
        for family in one:
            _, samples = families.setdefault(family.name, (family, {}))
            for sample in family.samples:
                key = (sample.name, sample.labels)
                before = samples.get(key)
                samples[key] = sample if before is None else _joined(family, before, sample)
    return [FamilySnapshot(f.name, f.kind, f.help, list(samples.values())) for f, samples in families.values()]


def _joined(family: FamilySnapshot, one: Sample, other: Sample) -> Sample:
    declared = BY_NAME.get(family.name)
    mode = "sum" if family.kind in _ADDED or declared is None else declared.merge
    values = (one.value, other.value)
    value = {"sum": sum(values), "max": max(values), "min": min(values), "latest": other.value}[mode]
    return Sample(one.name, one.labels, value, _newer(one.exemplar, other.exemplar))


def _newer(one: _Exemplar, other: _Exemplar) -> _Exemplar:
    if one is None or other is None:
        return other or one
    return max(one, other, key=lambda exemplar: exemplar[2] or 0.0)


class Kept(msgspec.Struct, array_like=True):
    """The file: `gone`, summed over processes that have ended, and the last of each place: (incarnation, snapshot)."""

    gone: Snapshot = []
    last: dict[str, tuple[str, Snapshot]] = {}


_decode_kept = msgspec.msgpack.Decoder(Kept).decode


class Departed:
    """The last totals of every process, kept in a file so that they outlive it and the merging process too.

    A place (`gateway-0`) is held by one incarnation of a process after the other. What was merged is in the file before
    anybody sees it, so no counter that was shown ever falls, whoever is killed; what a process counted after it was
    last asked dies with it, once.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._kept = _read(file)

    def merged(self, answers: dict[str, tuple[str, bytes] | None]) -> Snapshot:
        """Merge the places that are held now: (incarnation, snapshot), or None for one that is counted as last seen.

        A file that cannot be written is logged: metrics are needed most when the disk is full.
        """
        last = self._kept.last
        told = {place: (answer[0], _decode(answer[1])) for place, answer in answers.items() if answer is not None}
        ended = [
            snapshot
            for place, (incarnation, snapshot) in last.items()
            if place not in answers or (place in told and told[place][0] != incarnation)
        ]
        gone = merge([self._kept.gone, *map(_counting, ended)]) if ended else self._kept.gone
        present = {place: last[place] for place in answers if place in last} | told
        self._kept = Kept(gone, present)
        self._write()
        return merge([gone, *(snapshot for _, snapshot in present.values())])

    def _write(self) -> None:
        last = {place: (incarnation, _counting(one)) for place, (incarnation, one) in self._kept.last.items()}
        new = self._file.with_suffix(".new")
        try:
            new.write_bytes(msgspec.msgpack.encode(Kept(self._kept.gone, last)))
            new.replace(self._file)
        except OSError as error:
            _log.warning("the totals of the metrics cannot be written; a crash would lose them", error=repr(error))


def _read(file: Path) -> Kept:
    try:
        return _decode_kept(file.read_bytes())
    except FileNotFoundError:
        return Kept()
    except msgspec.DecodeError as error:
        _log.warning("the totals of former processes cannot be read; counters begin anew", error=str(error))
        return Kept()


def _counting(families: Snapshot) -> Snapshot:
    return [family for family in families if family.kind in _ADDED]


class _Fixed(Collector):
    def __init__(self, families: Snapshot) -> None:
        self._families = families

    def collect(self) -> Iterable[Family]:
        for one in self._families:
            family = Family(one.name, one.help, one.kind)
            for sample in one.samples:
                exemplar = None if sample.exemplar is None else Exemplar(*sample.exemplar)
                family.add_sample(sample.name, dict(sample.labels), sample.value, exemplar=exemplar)
            yield family


def expose(families: Snapshot, accept: str) -> tuple[bytes, str]:
    """Exposition text and its content type, Prometheus or OpenMetrics as the `Accept` header asks."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Fixed(families))
    encoder, content_type = choose_encoder(accept)
    text: bytes = encoder(registry) if encoder is not generate_latest else generate_latest(registry)
    return text, content_type
