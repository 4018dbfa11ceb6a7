"""A pgbouncer in front of a test's database, in the pooling mode that a test asks for."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from support.clusters import open_folder
from support.processes import wait_until
from support.service import free_port

_CONFIG = """[databases]
* = host={host} port={server_port} user=cmg
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
"""


@contextlib.contextmanager
def pooler(dsn: str, mode: str) -> Iterator[str]:
    """The DSN through a pgbouncer as its package sets it up, but for `pool_mode`."""
    parts = urlsplit(dsn)
    query = parse_qs(parts.query)
    port, host = free_port(), query["host"][0]
    folder = open_folder(f"pooler-{uuid.uuid4().hex[:8]}")
    config = folder / "pgbouncer.ini"
    config.write_text(_CONFIG.format(host=host, server_port=query["port"][0], port=port, mode=mode))
    config.chmod(0o644)
    command = ["pgbouncer", "-q", str(config)]
    if os.geteuid() == 0:  # it refuses root, and the server's socket is its user's
        command[1:1] = ["-u", pwd.getpwuid(Path(host).stat().st_uid).pw_name]
    running = subprocess.Popen(command, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _listens(port), 20, "pgbouncer listens")
        yield f"postgresql://cmg@127.0.0.1:{port}{parts.path}"
    finally:
        running.kill()
        running.wait(10)
        shutil.rmtree(folder)


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0
