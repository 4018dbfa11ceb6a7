"""The limits and the use of the container that we run in, from the kernel's files: control groups 2, or the older 1."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
_OURS = Path("/proc/self/cgroup")
_UNLIMITED = 2**60


@dataclass(frozen=True)
class Usage:
    """What the files say now; None is what they do not say, and a limit that there is not."""

    cpus: float | None = None
    cpu_s: float | None = None
    periods: float | None = None
    throttled_periods: float | None = None
    throttled_s: float | None = None
    memory_bytes: float | None = None
    memory_limit_bytes: float | None = None
    oom_kills: float | None = None


def read(root: Path = ROOT, ours: Path = _OURS) -> Usage:
    """The use of our own control group; nothing of it where there is none.

    `ours` says which it is: a service of systemd has one below the root, a container sees its own as the root.
    """
    places = {name: path for line in _text(ours).splitlines() for name, path in _named(line)}
    if (root / "cgroup.controllers").exists():
        return _second(_below(root, places.get("")))
    return _first(root, places) if (root / "cpu").is_dir() else Usage()


def _named(line: str) -> list[tuple[str, str]]:
    """The controllers of a line `4:cpu,cpuacct:/path`; the second kind of groups has one line without any."""
    _, _, rest = line.partition(":")
    controllers, _, path = rest.partition(":")
    return [(name, path) for name in controllers.split(",")]


def _below(folder: Path, path: str | None) -> Path:
    found = folder / path.strip("/") if path else folder
    return found if found.is_dir() and ".." not in found.parts else folder


def _second(root: Path) -> Usage:
    cpu, events = _table(root / "cpu.stat"), _table(root / "memory.events")
    quota, _, period = _text(root / "cpu.max").partition(" ")
    return Usage(
        cpus=_ratio(_number(quota), _number(period)),
        cpu_s=_scaled(cpu.get("usage_usec"), 1e-6),
        periods=cpu.get("nr_periods"),
        throttled_periods=cpu.get("nr_throttled"),
        throttled_s=_scaled(cpu.get("throttled_usec"), 1e-6),
        memory_bytes=_used(_number(_text(root / "memory.current")), _table(root / "memory.stat").get("inactive_file")),
        memory_limit_bytes=_limit(_number(_text(root / "memory.max"))),
        oom_kills=events.get("oom_kill"),
    )


def _first(root: Path, places: Mapping[str, str]) -> Usage:
    cpu, spent, memory = (_below(root / name, places.get(name)) for name in ("cpu", "cpuacct", "memory"))
    told, stat = _table(cpu / "cpu.stat"), _table(memory / "memory.stat")
    quota, period = _number(_text(cpu / "cpu.cfs_quota_us")), _number(_text(cpu / "cpu.cfs_period_us"))
    return Usage(
        cpus=_ratio(quota if quota is not None and quota > 0 else None, period),
        cpu_s=_scaled(_number(_text(spent / "cpuacct.usage")), 1e-9),
        periods=told.get("nr_periods"),
        throttled_periods=told.get("nr_throttled"),
        throttled_s=_scaled(told.get("throttled_time"), 1e-9),
        memory_bytes=_used(_number(_text(memory / "memory.usage_in_bytes")), stat.get("total_inactive_file")),
        memory_limit_bytes=_limit(_number(_text(memory / "memory.limit_in_bytes"))),
        oom_kills=_table(memory / "memory.oom_control").get("oom_kill"),
    )


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _table(file: Path) -> dict[str, float]:
    """`name value` lines."""
    pairs = (line.partition(" ") for line in _text(file).splitlines())
    return {name: value for name, _, text in pairs if (value := _number(text)) is not None}


def _ratio(one: float | None, other: float | None) -> float | None:
    return one / other if one is not None and other else None


def _scaled(value: float | None, by: float) -> float | None:
    return None if value is None else value * by


def _used(current: float | None, reclaimable: float | None) -> float | None:
    """What cannot be given back at once: the kernel drops cached files before it kills."""
    return None if current is None else max(0.0, current - (reclaimable or 0.0))


def _limit(value: float | None) -> float | None:
    return value if value is not None and value < _UNLIMITED else None
