"""The server's settings: safe ones for a small machine that also runs the gateway."""

import os
import shutil
from pathlib import Path

from cmg.telemetry.machine import cgroup

_SMALL_SHM_BYTES = 256 * 2**20


def server_settings() -> dict[str, str]:
    """Name → value for the command line; memory by the machine's, parallelism by its shared memory."""
    shared_mb = int(min(max(_memory_bytes() // 8 // 2**20, 32), 8192))
    settings = {
        "shared_buffers": f"{shared_mb}MB",
        "max_connections": "100",
        "max_wal_size": "512MB",
        "wal_compression": "pglz",
        "plan_cache_mode": "force_custom_plan",  # tenants differ in size by 1:100,000; a plan for all is wrong for most
        "jit": "off",
        "random_page_cost": "1.1",
        "client_connection_check_interval": "5s",  # a killed client's long statement ends too
        "idle_in_transaction_session_timeout": "60s",
        "log_min_messages": "warning",
        # Statements, failing rows and lines of COPY hold what users wrote: none of that goes into a log.
        "log_min_error_statement": "panic",
        "log_error_verbosity": "terse",
        "log_checkpoints": "off",
        "log_timezone": "UTC",
        "timezone": "UTC",
        "log_line_prefix": "%m [%p] ",
        "max_wal_senders": "0",
        # With `minimal` a sequence that is used in the transaction that made it counts on unlogged: killed before its
        # first checkpoint, the server would give the same numbers out once more.
        "wal_level": "replica",
    }
    if _small_shared_memory():
        settings |= {"max_parallel_maintenance_workers": "0", "max_parallel_workers_per_gather": "0"}
    return settings


def _memory_bytes() -> float:
    """What this machine, or the container that we run in, has."""
    physical = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return min(physical, cgroup.read().memory_limit_bytes or physical)


def _small_shared_memory() -> bool:
    """Containers often have 64 MB of it, too little for parallel index builds."""
    folder = Path("/dev/shm")  # noqa: S108 - looked at, not written to
    return not folder.exists() or shutil.disk_usage(folder).total < _SMALL_SHM_BYTES
