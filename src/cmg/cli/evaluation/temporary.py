"""A service for one evaluation: an empty place of its own, this installation's defaults, gone afterwards."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from cmg.storage.errors import StorageError

_START_S = 180.0  # the embedder's model is made at its first start
_STOP_S = 40.0
_LOOK_S = 0.3


@contextlib.contextmanager
def temporary_service(data_dir: Path | None = None) -> Iterator[tuple[str, str]]:
    """(URL, key) of a service that runs within. Raises `StorageError` when it does not come up."""
    with contextlib.ExitStack() as stack:
        folder = data_dir or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cmg-eval-")))
        folder.chmod(0o755)  # the embedded database may run as another user
        key = f"cmg_eval{secrets.token_hex(4)}_{secrets.token_hex(16)}"
        port = _free_port()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CMG_")}
        own = {"CMG_DATA_DIR": str(folder), "CMG_PORT": str(port), "CMG_BOOTSTRAP_KEY": key}
        log = stack.enter_context((folder / "eval.log").open("wb"))
        command = [sys.executable, "-m", "cmg", "serve"]
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**kept, **own}, cwd=folder)  # noqa: S603  this program, no words of anybody
        stack.callback(_stop, process)
        url = f"http://127.0.0.1:{port}"
        _wait(process, url, folder / "eval.log")
        yield url, key


def _wait(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    until = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/readyz", timeout=5):  # noqa: S310  http, ours
            return
        time.sleep(_LOOK_S)
    end = log.read_bytes()[-1000:].decode("utf-8", "replace")
    raise StorageError(f"the temporary service did not come up; its log ends: {end}")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
