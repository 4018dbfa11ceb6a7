"""A small world of series for differential tests: counters, gauges, histograms, gaps, resets, oddities.

Samples lie off every multiple of a second, evaluations at seconds that no window's edge meets with a sample: 2.42's
windows are closed where those of Prometheus 3 are open, and there is nothing else that tells them apart.
"""

import random
from collections.abc import Iterator

START_S = 1_700_000_100
LENGTH_S = 3 * 3600
END_S = START_S + LENGTH_S
_PHASE_S = 3.217


def openmetrics() -> str:
    """The whole world as OpenMetrics text with timestamps."""
    chance = random.Random(20231114)
    lines: list[str] = []
    for name, kind, series in _families(chance):
        lines.append(f"# TYPE {name} {kind}")
        lines += series
    return "\n".join([*lines, "# EOF", ""])


def _families(chance: random.Random) -> Iterator[tuple[str, str, list[str]]]:
    yield "requests", "counter", list(_requests(chance))
    yield "temperature", "gauge", list(_temperatures(chance))
    yield "latency_seconds", "histogram", list(_latencies(chance))
    yield "quota", "gauge", list(_quotas(chance))
    yield "build_info", "gauge", list(_builds(chance))
    yield "sparse", "gauge", list(_sparse(chance))
    yield "odd", "gauge", list(_odd(chance))


def _times(chance: random.Random, every_s: float = 15, begin: float = 0, end: float = LENGTH_S, late: float = 0):
    at = begin
    while at < end:
        ms = round((START_S + at + _PHASE_S + chance.uniform(0, late)) * 1000)
        yield (ms + (ms % 1000 == 0)) / 1000
        at += every_s


def _line(name: str, labels: dict[str, str], value: object, at: float) -> str:
    inside = ",".join(f'{key}="{one}"' for key, one in labels.items())
    return f"{name}{{{inside}}} {value} {at:.3f}"


def _requests(chance: random.Random) -> Iterator[str]:
    for job in ("api", "web", "batch"):
        for instance in ("a:1", "b:1", "c:1"):
            for code in ("200", "404", "500"):
                labels = {"job": job, "instance": instance, "code": code}
                value, speed = chance.randrange(100_000, 9_000_000), chance.uniform(0.1, 50)
                gap = chance.uniform(2000, 8000) if instance == "b:1" else LENGTH_S
                for at in _times(chance, late=1.5 if instance == "c:1" else 0):
                    value += int(chance.expovariate(1 / (speed * 15)))
                    if chance.random() < (0.01 if code == "500" else 0.001):
                        value = chance.randrange(5)
                    if not gap < at - START_S < gap + 900:
                        yield _line("requests_total", labels, value, at)


def _temperatures(chance: random.Random) -> Iterator[str]:
    for floor in ("0", "1", "2"):
        for room in ("kitchen", "hall", "office", "lab"):
            value = chance.uniform(-10, 30)
            begin, end = (4000, 9000) if room == "lab" else (0, LENGTH_S)
            for at in _times(chance, 30, begin, end, late=4):
                value += chance.gauss(0, 0.7)
                told: object = round(value, 6)
                if room == "office" and chance.random() < 0.03:
                    told = chance.choice(["NaN", "+Inf", "-Inf"])
                yield _line("temperature", {"floor": floor, "room": room}, told, at)


def _latencies(chance: random.Random) -> Iterator[str]:
    bounds = (0.005, 0.05, 0.1, 0.5, 1, 2.5, 10)
    for job in ("api", "web"):
        for method in ("GET", "POST"):
            counts, total = [chance.randrange(1000) for _ in range(len(bounds) + 1)], 25_000.0
            for at in _times(chance):
                for _ in range(chance.randrange(12)):
                    took = chance.lognormvariate(-2, 1.6)
                    counts[next((n for n, bound in enumerate(bounds) if took <= bound), len(bounds))] += 1
                    total += took
                labels, summed = {"job": job, "method": method}, 0
                for bound, count in zip([*map(str, bounds), "+Inf"], counts, strict=True):
                    summed += count
                    yield _line("latency_seconds_bucket", {**labels, "le": bound}, summed, at)
                yield _line("latency_seconds_sum", labels, round(total, 6), at)
                yield _line("latency_seconds_count", labels, summed, at)


def _quotas(chance: random.Random) -> Iterator[str]:
    for job, value in (("api", 1000), ("web", 250.5), ("batch", 0), ("none", 7)):
        for at in _times(chance, 60):
            yield _line("quota", {"job": job}, value, at)


def _builds(chance: random.Random) -> Iterator[str]:
    for job, version in (("api", "1.2"), ("web", "1.3"), ("batch", "1.2")):
        change = 5000 if job == "web" else LENGTH_S
        for at in _times(chance, 60, 0, change):
            yield _line("build_info", {"job": job, "version": version, "revision": "abc"}, 1, at)
        for at in _times(chance, 60, change + 400, LENGTH_S):
            yield _line("build_info", {"job": job, "version": "2.0", "revision": "def"}, 1, at)


def _sparse(chance: random.Random) -> Iterator[str]:
    for every in (70, 170, 290, 310, 700):
        for at in _times(chance, every, late=30):
            yield _line("sparse", {"every": str(every)}, round(chance.uniform(0, 100), 3), at)


def _odd(chance: random.Random) -> Iterator[str]:
    values = {
        "huge": 1.7e300,
        "tiny": 3.5e-12,
        "zero": 0,
        "negative": -42.125,
        "day": 1_709_164_800,
        "big": 123456789012,
    }
    for kind, value in values.items():
        for at in _times(chance, 60):
            yield _line("odd", {"kind": kind, "note": "ä b"}, value, at)
    for at in _times(chance, 60):
        yield _line("odd", {"kind": "sine", "note": "x-y_z"}, chance.choice([1e16, 1, -1e16, 2.5]), at)
