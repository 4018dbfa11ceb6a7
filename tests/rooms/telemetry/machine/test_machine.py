"""Figures of processes and machines: real ones of this machine, and control groups out of files."""

import asyncio
import contextlib
import gc
import time
from pathlib import Path

import psutil
import pytest

from cmg.telemetry.instruments import Instruments
from cmg.telemetry.machine import cgroup, host
from cmg.telemetry.machine.host import HostFigures
from cmg.telemetry.machine.process import ProcessFigures
from cmg.telemetry.machine.sampling import sample
from cmg.telemetry.machine.totals import Totals


def value(instruments: Instruments, name: str, **labels: str) -> float | None:
    """What the registry shows."""
    return instruments.registry.get_sample_value(name, labels)


def cpu(instruments: Instruments) -> list[float]:
    """User and system time of the process."""
    name = "cmg_process_cpu_seconds_total"
    return [value(instruments, name, process="gateway", mode=mode) or 0 for mode in ("user", "system")]


def test_a_process_tells_its_cpu_memory_and_files(instruments: Instruments):
    figures = ProcessFigures("gateway", instruments)
    try:
        figures.look()
        before = sum(cpu(instruments))
        files = value(instruments, "cmg_process_files_open", process="gateway")
        until = time.process_time() + 0.1
        while time.process_time() < until:
            pass
        with Path("/dev/null").open():
            figures.look()
        assert sum(cpu(instruments)) - before >= 0.05
        assert value(instruments, "cmg_process_files_open", process="gateway") == (files or 0) + 1
        assert (value(instruments, "cmg_process_resident_bytes", process="gateway") or 0) > 10e6
        gc.collect()
        assert (value(instruments, "cmg_process_gc_pause_seconds_total", process="gateway") or 0) > 0
    finally:
        figures.close()


def test_who_is_closed_hears_of_no_collection(instruments: Instruments):
    known = len(gc.callbacks)
    ProcessFigures("gateway", instruments).close()
    assert len(gc.callbacks) == known


def test_a_machine_tells_its_cpu_memory_disks_and_network(instruments: Instruments, tmp_path: Path):
    figures = HostFigures(instruments, {"data": tmp_path, "gone": tmp_path / "gone"}, link_mbit=1000)
    figures.look()
    figures.look()
    total = value(instruments, "cmg_disk_space_bytes", volume="data", state="total") or 0
    free = value(instruments, "cmg_disk_space_bytes", volume="data", state="free") or 0
    assert 0 < free < total
    assert value(instruments, "cmg_disk_space_bytes", volume="gone", state="free") is None
    assert (value(instruments, "cmg_host_memory_bytes", state="available") or 0) > 1e6
    assert (value(instruments, "cmg_host_cpus") or 0) >= 1
    assert value(instruments, "cmg_host_load_ratio", window="15m") is not None
    assert value(instruments, "cmg_host_cpu_seconds_total", mode="idle") is not None
    assert value(instruments, "cmg_network_bytes_total", direction="sent") is not None
    assert value(instruments, "cmg_network_link_bytes") == 125e6


SECOND = {
    "cgroup.controllers": "cpu memory",
    "cpu.stat": "usage_usec 5000000\nnr_periods 100\nnr_throttled 7\nthrottled_usec 2500000\n",
    "cpu.max": "150000 100000\n",
    "memory.current": "900\n",
    "memory.max": "2000\n",
    "memory.stat": "anon 500\ninactive_file 300\n",
    "memory.events": "low 0\noom 3\noom_kill 2\n",
}
FIRST = {
    "cpu/cpu.stat": "nr_periods 100\nnr_throttled 7\nthrottled_time 2500000000\n",
    "cpu/cpu.cfs_quota_us": "150000\n",
    "cpu/cpu.cfs_period_us": "100000\n",
    "cpuacct/cpuacct.usage": "5000000000\n",
    "memory/memory.usage_in_bytes": "900\n",
    "memory/memory.limit_in_bytes": "2000\n",
    "memory/memory.stat": "total_inactive_file 300\n",
    "memory/memory.oom_control": "oom_kill_disable 0\noom_kill 2\n",
}


def _files(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


@pytest.mark.parametrize("files", [SECOND, FIRST])
def test_both_kinds_of_control_groups_are_read(files: dict[str, str], tmp_path: Path):
    expected = cgroup.Usage(1.5, 5.0, 100, 7, 2.5, 600, 2000, 2)
    assert cgroup.read(_files(tmp_path, files), tmp_path / "nothing") == expected


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (SECOND, "0::/system.slice/cmg.service\n"),
        (FIRST, "9:name=systemd:/x\n4:memory:/system.slice/cmg.service\n2:cpu,cpuacct:/system.slice/cmg.service\n"),
    ],
)
def test_a_service_of_systemd_reads_its_own_group_and_a_container_the_root(files, told: str, tmp_path: Path):
    (tmp_path / "cgroup").write_text(told)
    expected = cgroup.Usage(1.5, 5.0, 100, 7, 2.5, 600, 2000, 2)
    own = "system.slice/cmg.service"
    inside = {
        name if name == "cgroup.controllers" else f"{name.split('/')[0]}/{own}/{name.split('/')[1]}"
        if "/" in name else f"{own}/{name}": text
        for name, text in files.items()
    }  # fmt: skip
    assert cgroup.read(_files(tmp_path / "host", inside), tmp_path / "cgroup") == expected
    assert cgroup.read(_files(tmp_path / "container", files), tmp_path / "cgroup") == expected


class _Counters:
    """What psutil tells, twice."""

    def __init__(self, **told: float) -> None:
        vars(self).update(told)


def test_errors_drops_operations_and_connections_are_counted_from_the_first_look_on(
    instruments: Instruments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    names = ("bytes", "packets")
    net = {f"{name}_{way}": 100 for name in names for way in ("recv", "sent")} | {
        "errin": 1, "errout": 2, "dropin": 3, "dropout": 4,
    }  # fmt: skip
    disk = {"read_count": 10, "write_count": 20, "read_bytes": 1, "write_bytes": 2, "read_time": 100, "write_time": 200}
    (tmp_path / "sockstat").write_text("sockets: used 9\nTCP: inuse 14 orphan 0 tw 703 alloc 16 mem 142\n")
    (tmp_path / "sockstat6").write_text("TCP6: inuse 5\nUDP6: inuse 1\n")
    monkeypatch.setattr(host, "_SOCKETS", tmp_path)
    figures = HostFigures(instruments, {}, groups=tmp_path)
    for more in (0, 7):
        eth = _Counters(**{name: count + more for name, count in net.items()})
        lo = _Counters(**{name: count + 1000 * more for name, count in net.items()})
        monkeypatch.setattr(psutil, "net_io_counters", lambda eth=eth, lo=lo, **_: {"eth0": eth, "lo": lo})
        moved = _Counters(**{name: count + more for name, count in disk.items()})
        monkeypatch.setattr(psutil, "disk_io_counters", lambda moved=moved: moved)
        figures.look()
    for name in ("errors", "drops", "packets", "bytes"):
        for direction in ("received", "sent"):
            assert value(instruments, f"cmg_network_{name}_total", direction=direction) == 7, name
    for operation in ("read", "write"):
        assert value(instruments, "cmg_disk_operations_total", operation=operation) == 7
        assert value(instruments, "cmg_disk_operation_seconds_total", operation=operation) == pytest.approx(0.007)
    assert value(instruments, "cmg_network_connections", state="in_use") == 14 + 5
    assert value(instruments, "cmg_network_connections", state="time_wait") == 703


def test_no_limit_is_no_figure(tmp_path: Path):
    told = {**SECOND, "cpu.max": "max 100000", "memory.max": "max"}
    found = cgroup.read(_files(tmp_path / "second", told), tmp_path / "nothing")
    assert (found.cpus, found.memory_limit_bytes) == (None, None)
    told = {**FIRST, "cpu/cpu.cfs_quota_us": "-1", "memory/memory.limit_in_bytes": "9223372036854771712"}
    found = cgroup.read(_files(tmp_path / "first", told), tmp_path / "nothing")
    assert (found.cpus, found.memory_limit_bytes) == (None, None)
    assert cgroup.read(tmp_path / "none") == cgroup.Usage()


def test_a_container_tells_what_it_was_held_back_and_killed(instruments: Instruments, tmp_path: Path):
    root = _files(tmp_path, SECOND)
    figures = HostFigures(instruments, {}, groups=root)
    figures.look()
    _files(tmp_path, {"memory.events": "oom_kill 3", "cpu.stat": "nr_periods 120\nnr_throttled 9\nthrottled_usec 3e6"})
    figures.look()
    assert value(instruments, "cmg_container_oom_kills_total") == 1
    assert value(instruments, "cmg_container_throttled_periods_total") == 2
    assert value(instruments, "cmg_container_throttled_seconds_total") == 0.5
    assert value(instruments, "cmg_container_memory_bytes") == 600


def test_a_total_that_falls_has_begun_anew(instruments: Instruments):
    totals = Totals(instruments)
    for total in (100, 130, 10, 15):
        totals.reached(total, "cmg_database_deadlocks_total")
    assert value(instruments, "cmg_database_deadlocks_total") == 30 + 10 + 5


async def test_figures_that_cannot_be_read_keep_no_others_back(clock):
    class Broken:
        def look(self) -> None:
            raise RuntimeError("no")

    class Good:
        looks = 0

        def look(self) -> None:
            self.looks += 1

    good = Good()
    task = asyncio.create_task(sample([Broken(), good], clock, 10))
    for _ in range(100):
        await asyncio.sleep(0.01)
        clock.advance(10)
        if good.looks >= 2:
            break
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert good.looks >= 2
