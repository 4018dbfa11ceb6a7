"""The real service for acceptance tests: `cmg serve` in its own data dir on a free port, as a user would start it."""

import asyncio
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from cmg.kit.paths import runtime_dir
from support.clusters import lend_cluster
from support.models import lend_models
from support.processes import alive, command_line, descendants, kill, wait_until

ROOT = Path(__file__).resolve().parents[2]
CMG = Path(sys.executable).with_name("cmg")
START_S = 60.0
# Where no test asks for what is near in meaning: a start takes half a second less of a core. Ends in `[memory]`.
WITHOUT_EMBEDDER = '[memory]\nembedder = "none"\n'


@dataclass
class ServiceOptions:
    """How to start it: `toml` is the text of the settings file, `environ` is laid over a clean environment."""

    toml: str = ""
    workers: int = 1
    environ: Mapping[str, str] = field(default_factory=dict)
    data_dir: Path | None = None
    role: str = "all"
    console: bool = False
    from_nothing: bool = False  # the database's files are made by the service itself, as at a user's first start


def free_port() -> int:
    """A free TCP port of loopback."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def upstream_toml(name: str, url: str, models: str = '["*"]', **settings: object) -> str:
    """One `[[upstreams]]` table; `settings` are further lines (numbers and strings)."""
    lines = [f'[[upstreams]]\nname = "{name}"\nbase_url = "{url}"\nmodels = {models}']
    defaults: dict[str, object] = {"api_key": "sk-upstream"}
    for key, value in {**defaults, **settings}.items():
        lines.append(f"{key} = {json.dumps(value)}")
    return "\n".join(lines) + "\n"


class Service:
    """One running `cmg serve` with its processes. `start` waits for `/readyz`; `stop` is SIGTERM, then SIGKILL."""

    def __init__(self, options: ServiceOptions) -> None:
        self.options = options
        self.port, self.console_port = free_port(), free_port()
        self._owns_data_dir = options.data_dir is None
        self.data_dir = options.data_dir or Path(tempfile.mkdtemp(prefix="cmg-test-", dir=_open_root()))
        self.data_dir.chmod(0o755)
        self.key = f"cmg_boot{secrets.token_hex(4)}_{secrets.token_hex(16)}"
        self.log = self.data_dir.with_suffix(".log")
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The base URL without a path."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def console_url(self) -> str:
        """The same of the console."""
        return f"http://127.0.0.1:{self.console_port}"

    def _environ(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        config = self.data_dir.with_suffix(".toml")
        config.write_text(self.options.toml)
        return {
            **kept,
            "CMG_DATA_DIR": str(self.data_dir),
            "CMG_PORT": str(self.port),
            "CMG_CONFIG": str(config),
            "CMG_BOOTSTRAP_KEY": self.key,
            "CMG_CONSOLE": str(self.options.console).lower(),
            **({"CMG_CONSOLE_PORT": str(self.console_port)} if self.options.console else {}),
            **self.options.environ,
        }

    def start(self, timeout_s: float = START_S) -> None:
        """Start the process and wait until it is ready; on failure the log is in the error."""
        lend_models(self.data_dir)
        if "CMG_DATABASE_URL" not in self.options.environ and not self.options.from_nothing:
            lend_cluster(self.data_dir, migrated=True)
        command = [str(CMG), "serve", "--workers", str(self.options.workers), "--role", self.options.role]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, env=self._environ(), cwd=self.data_dir
            )
        self.wait_ready(timeout_s)

    def wait_ready(self, timeout_s: float = START_S) -> float:
        """Wait until `/readyz` answers 200; returns the seconds it took."""
        started = time.monotonic()

        def ready() -> bool:
            assert self.process is not None
            if self.process.poll() is not None:
                raise AssertionError(f"cmg serve ended with {self.process.returncode}\n{self.tail()}")
            return self.get_status("/readyz") == 200

        try:
            wait_until(ready, timeout_s, "the service is ready")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.tail()}") from error
        return time.monotonic() - started

    def get_status(self, path: str) -> int:
        """Status of a GET without a key; 0 when nobody answers."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def call(self, method: str, path: str, body: Any = None, key: str | None = None) -> tuple[int, Any]:
        """One JSON request outside an event loop: (status, decoded body or text)."""
        headers = {"authorization": f"Bearer {key or self.key}", "content-type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                status, raw = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, raw = error.code, error.read()
        try:
            return status, json.loads(raw)
        except ValueError:
            return status, raw.decode(errors="replace")

    def new_key(self, **fields: Any) -> str:
        """Create an API key through the control plane; returns the secret."""
        return str(self.new_key_full(**fields)["key"])

    def new_key_full(self, **fields: Any) -> dict[str, Any]:
        """Create an API key; returns the whole answer (`id`, `key`, …)."""
        status, answer = self.call("POST", "/admin/v1/keys", {"name": f"test-{secrets.token_hex(3)}", **fields})
        assert status == 201, (status, answer)
        return dict(answer)

    def pids(self, kind: str) -> list[int]:
        """Processes of a kind (`gateway`, `backstage`) below the supervisor, by their command line."""
        assert self.process is not None
        return [pid for pid in descendants(self.process.pid) if kind in command_line(pid)]

    def postmaster(self) -> int:
        """The embedded PostgreSQL's first process."""
        for file in self.data_dir.rglob("postmaster.pid"):
            return int(file.read_text().split()[0])
        raise AssertionError("no postmaster.pid in the data dir")

    def database_url(self) -> str:
        """The DSN of the embedded database, read from its `postmaster.pid`."""
        lines = next(iter(self.data_dir.rglob("postmaster.pid"))).read_text().splitlines()
        return f"postgresql:///{self.database_name}?host={lines[4]}&port={lines[3]}&user={self.database_user}"

    database_name = "cmg"
    database_user = "cmg"

    def tail(self, characters: int = 6000) -> str:
        """The end of the log."""
        return self.log.read_text(errors="replace")[-characters:] if self.log.exists() else ""

    def terminate(self, timeout_s: float = 40.0) -> int:
        """SIGTERM to the supervisor and wait for its end; returns the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout_s)

    def close(self) -> None:
        """Stop everything that is left and remove the data."""
        family = [] if self.process is None else descendants(self.process.pid)
        if self.process is not None and self.process.poll() is None:
            try:
                self.terminate()
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        for pid in (*family, *self._left_database()):
            if alive(pid):
                kill(pid)
        if self._owns_data_dir:
            shutil.rmtree(self.data_dir, ignore_errors=True)
        for suffix in (".toml", ".log"):
            self.data_dir.with_suffix(suffix).unlink(missing_ok=True)
        shutil.rmtree(runtime_dir(self.data_dir), ignore_errors=True)  # of one that was killed

    def _left_database(self) -> list[int]:
        return [
            int(file.read_text().split()[0])
            for file in self.data_dir.rglob("postmaster.pid")
            if str(self.data_dir) in command_line(int(file.read_text().split()[0]))
        ]


def _open_root() -> Path:
    """A folder that an unprivileged user may enter (pytest's own has mode 0700)."""
    root = Path(tempfile.gettempdir()) / "cmg-acceptance"
    root.mkdir(exist_ok=True)
    root.chmod(0o755)
    return root


async def eventually(check: Any, timeout_s: float = 5.0, what: str = "the condition holds") -> Any:
    """Await `check()` (a coroutine function) until it gives something true; fail after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not (result := await check()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {what}")
        await asyncio.sleep(0.05)
    return result
