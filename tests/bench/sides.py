"""What is loaded and how it is measured: the mock upstream, nginx beside it, and the CPU and memory of one process."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from support.processes import descendants, wait_until
from support.service import free_port

HERE = Path(__file__).resolve().parent
GATEWAY_CORE, LOAD_CORE = 0, 1
_PRIORITY = -10  # as `nice` counts
NGINX = """
worker_processes 1; daemon off; error_log stderr error; pid {folder}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  keepalive_requests 1000000;
  upstream fast {{ server 127.0.0.1:{fast}; keepalive 256; keepalive_requests 1000000; }}
  upstream slow {{ server 127.0.0.1:{slow}; keepalive 512; keepalive_requests 1000000; }}
  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://fast; proxy_http_version 1.1;
    proxy_set_header Connection ""; proxy_buffering off; }} }}
  server {{ listen 127.0.0.1:{slow_port}; location / {{ proxy_pass http://slow; proxy_http_version 1.1;
    proxy_set_header Connection ""; proxy_buffering off; }} }}
}}
"""


@dataclass
class Side:
    """One thing to load. `pid` is the process whose CPU counts (None: nobody's); `users` > 0 varies user and query.

    `notes_pid` is the process that makes its notes, whose CPU is shown beside.
    """

    name: str
    url: str
    key: str = "x"
    model: str = "bench"
    pid: int | None = None
    notes_pid: int | None = None
    users: int = 0
    words: Path | None = None
    slow_url: str | None = None
    slow_model: str = "bench"
    rounds: list[dict[str, float]] = field(default_factory=list)


def pin(pid: int, *cores: int) -> None:
    """Keep every thread of a process on these cores, and let it go before other work there where we may (as root)."""
    _prefer(pid, _PRIORITY)
    for task in Path(f"/proc/{pid}/task").glob("*"):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(int(task.name), cores)
            os.setpriority(os.PRIO_PROCESS, int(task.name), _PRIORITY)


def _prefer(pid: int, priority: int) -> None:
    """Set the priority of a process's session: Linux shares a core among sessions first, then within each."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(priority))


@contextlib.contextmanager
def preferred() -> Iterator[None]:
    """Let the load (our own session) go before other sessions for a while, where we may."""
    _prefer(os.getpid(), _PRIORITY)
    try:
        yield
    finally:
        _prefer(os.getpid(), 0)


def cpu_s(pid: int) -> float:
    """CPU seconds of one process so far, over all its threads, to the nanosecond."""
    total = 0
    for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):
            total += int(task.read_text().split()[0])
    return total / 1e9


def rss_mib(pid: int) -> float:
    """Resident memory of one process in MiB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def _pinned(command: list[str]) -> list[str]:
    first = ["nice", "-n", str(_PRIORITY)] if os.geteuid() == 0 else []
    return [*first, "taskset", "-c", str(LOAD_CORE), *command]


def wrk(side: Side, connections: int, seconds: int, pace_ms: int = 0) -> dict[str, float]:
    """One wrk run: calls, calls per second, p50 and p99 in ms, errors; with a pid its CPU µs per call.

    With `pace_ms` each connection waits so long before each call.
    """
    environ = {**os.environ, "BENCH_KEY": side.key, "BENCH_MODEL": side.model, "BENCH_USERS": str(side.users)}
    environ["BENCH_PACE_MS"] = str(pace_ms)
    environ["BENCH_SEED"] = str(time.monotonic_ns() % 1_000_000)
    if side.words:
        environ["BENCH_WORDS"] = str(side.words)
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s", "-s", str(HERE / "chat.lua")]
    pids = (side.pid, side.notes_pid)
    before = [cpu_s(pid) if pid else 0.0 for pid in pids]
    run = subprocess.run(_pinned([*command, side.url]), env=environ, capture_output=True, text=True, check=True)
    used = [cpu_s(pid) - since if pid else 0.0 for pid, since in zip(pids, before, strict=True)]
    result = dict(json.loads(run.stdout.rsplit("JSON ", 1)[1]))
    result["rps"] = result["calls"] / result["seconds"]
    result["cpu_us"], result["notes_us"] = (one * 1e6 / max(1, result["calls"]) for one in used)
    return result


def streams(side: Side, concurrency: int, total: int, *, slow: bool = False) -> dict[str, float]:
    """One run of streams: times in ms, errors; with a pid its CPU µs per stream."""
    url = side.slow_url if slow else side.url
    command = [sys.executable, str(HERE / "streams.py"), "--url", str(url), "--key", side.key]
    command += ["--model", side.slow_model if slow else side.model]
    command += ["--concurrency", str(concurrency), "--total", str(total), "--ramp-s", "0.6" if slow else "0"]
    before = cpu_s(side.pid) if side.pid else 0.0
    run = subprocess.run(_pinned(command), capture_output=True, text=True, check=False)
    used = cpu_s(side.pid) - before if side.pid else 0.0
    if run.returncode or "first error" in run.stdout:
        print(run.stdout[-600:], run.stderr[-1200:], file=sys.stderr)
    result = dict(json.loads(run.stdout.rsplit("JSON ", 1)[1]))
    result["cpu_us"] = used * 1e6 / max(1, result["streams"])
    return result


def _listening(port: int) -> bool:
    import socket

    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def mock_upstream(chunk_delay_ms: float = 0) -> Iterator[int]:
    """The mock on a free port of loopback, pinned beside the load."""
    port = free_port()
    command = [sys.executable, str(HERE / "mock_upstream.py"), "--port", str(port)]
    process = subprocess.Popen(_pinned([*command, "--chunk-delay-ms", str(chunk_delay_ms)]))
    try:
        wait_until(lambda: _listening(port), 10, "the mock upstream listens")
        yield port
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def nginx(fast: int, slow: int) -> Iterator[Side]:
    """Nginx as a plain reverse proxy of both mocks, its worker pinned to the gateway's core."""
    port, slow_port, folder = free_port(), free_port(), Path(tempfile.mkdtemp(prefix="cmg-bench-nginx-"))
    folder.chmod(0o755)
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, fast=fast, slow=slow, port=port, slow_port=slow_port))
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    process = subprocess.Popen([program, "-c", str(config), "-p", str(folder)], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _listening(port) and descendants(process.pid), 10, "nginx listens")
        (worker,) = descendants(process.pid)
        pin(worker, GATEWAY_CORE)
        yield Side("nginx", f"http://127.0.0.1:{port}", pid=worker, slow_url=f"http://127.0.0.1:{slow_port}")
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder, ignore_errors=True)
