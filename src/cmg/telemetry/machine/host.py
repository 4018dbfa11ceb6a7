"""The machine: CPU, load, memory, disks, network, and the container's limits when we run in one."""

from collections.abc import Mapping
from pathlib import Path

import psutil

from cmg.telemetry.faults import Faults
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.machine import cgroup
from cmg.telemetry.machine.totals import Totals

_MODES = ("user", "system", "nice", "idle", "iowait", "irq", "softirq", "steal")
_SOCKETS = Path("/proc/net")
_MBIT = 125_000


class HostFigures:
    """Reads the machine; `volumes` names the folders whose disks are looked at.

    `link_mbit`: the speed of the network's link; 0: what the system says of it, which virtual machines often do not.
    """

    def __init__(
        self,
        instruments: Instruments,
        volumes: Mapping[str, Path],
        *,
        link_mbit: int = 0,
        groups: Path = cgroup.ROOT,
        faults: Faults | None = None,
    ) -> None:
        self._faults = faults
        self._instruments, self._volumes = instruments, volumes
        self._link_mbit, self._groups = link_mbit, groups
        self._totals = Totals(instruments)

    def look(self) -> None:
        """Read everything once."""
        self._cpu()
        self._memory()
        self._disks()
        self._network()
        self._container(cgroup.read(self._groups))

    def _cpu(self) -> None:
        spent, cpus = psutil.cpu_times(), psutil.cpu_count() or 1
        for mode in _MODES:
            if hasattr(spent, mode):
                self._totals.reached(getattr(spent, mode), "cmg_host_cpu_seconds_total", mode)
        self._set("cmg_host_cpus", cpus)
        for window, load in zip(("1m", "5m", "15m"), psutil.getloadavg(), strict=True):
            self._set("cmg_host_load_ratio", load / cpus, window)

    def _memory(self) -> None:
        memory, swap = psutil.virtual_memory(), psutil.swap_memory()
        self._set("cmg_host_memory_bytes", memory.total, "total")
        self._set("cmg_host_memory_bytes", memory.available, "available")
        self._set("cmg_host_memory_bytes", swap.used, "swapped")

    def _disks(self) -> None:
        for volume, folder in self._volumes.items():
            try:
                found = psutil.disk_usage(str(folder))
            except OSError:
                continue  # a folder that is not there yet
            # What an ordinary user may still write counts as free, so full is when we are refused.
            full = self._faults is not None and self._faults.on("disk_full")
            self._set("cmg_disk_space_bytes", found.used + found.free, volume, "total")
            self._set("cmg_disk_space_bytes", 0 if full else found.free, volume, "free")
        done = psutil.disk_io_counters()
        if done is None:
            return
        for operation in ("read", "write"):
            self._totals.reached(getattr(done, f"{operation}_count"), "cmg_disk_operations_total", operation)
            self._totals.reached(getattr(done, f"{operation}_bytes"), "cmg_disk_bytes_total", operation)
            took_s = getattr(done, f"{operation}_time") / 1000
            self._totals.reached(took_s, "cmg_disk_operation_seconds_total", operation)

    def _network(self) -> None:
        links = {name: one for name, one in psutil.net_io_counters(pernic=True).items() if not name.startswith("lo")}
        for direction, suffix, short in (("received", "recv", "in"), ("sent", "sent", "out")):
            totals = {
                "cmg_network_bytes_total": f"bytes_{suffix}",
                "cmg_network_packets_total": f"packets_{suffix}",
                "cmg_network_errors_total": f"err{short}",
                "cmg_network_drops_total": f"drop{short}",
            }
            for name, field in totals.items():
                self._totals.reached(sum(getattr(one, field) for one in links.values()), name, direction)
        speeds = [one.speed for name, one in psutil.net_if_stats().items() if name in links and one.isup]
        speed = self._link_mbit or max(speeds, default=0)
        if speed > 0:
            self._set("cmg_network_link_bytes", speed * _MBIT)
        for state, count in _connections().items():
            self._set("cmg_network_connections", count, state)

    def _container(self, usage: cgroup.Usage) -> None:
        gauges = {
            "cmg_container_cpus": usage.cpus,
            "cmg_container_memory_bytes": usage.memory_bytes,
            "cmg_container_memory_limit_bytes": usage.memory_limit_bytes,
        }
        totals = {
            "cmg_container_cpu_seconds_total": usage.cpu_s,
            "cmg_container_periods_total": usage.periods,
            "cmg_container_throttled_periods_total": usage.throttled_periods,
            "cmg_container_throttled_seconds_total": usage.throttled_s,
            "cmg_container_oom_kills_total": usage.oom_kills,
        }
        for name, value in gauges.items():
            if value is not None:
                self._set(name, value)
        for name, value in totals.items():
            if value is not None:
                self._totals.reached(value, name)

    def _set(self, name: str, value: float, *labels: str) -> None:
        self._instruments.series(name, *labels).set(value)


def _connections() -> dict[str, int]:
    """TCP sockets by state, from the kernel's summary: listing them all would take long on a busy machine."""
    told: dict[str, int] = {}
    for file, name in (("sockstat", "TCP:"), ("sockstat6", "TCP6:")):
        try:
            lines = (_SOCKETS / file).read_text().splitlines()
        except OSError:
            continue
        words = next((line.split() for line in lines if line.startswith(name)), [])
        for word, count in zip(words[1::2], words[2::2], strict=False):
            told[word] = told.get(word, 0) + int(count)
    return {state: told[word] for state, word in (("in_use", "inuse"), ("time_wait", "tw")) if word in told}
