"""A command that is told to end, as by a timer's deadline or a terminal that closes, cleans up as by Ctrl-C."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.clusters import lend_cluster
from support.processes import alive, kill, wait_until
from support.service import CMG


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A place of its own whose database runs for commands alone; an unprivileged user may enter it."""
    made = Path(tempfile.mkdtemp(prefix="cmg-told-"))
    made.chmod(0o755)
    lend_cluster(made, migrated=True)
    yield made
    if (left := postmaster(made)) and alive(left):
        kill(left)
    shutil.rmtree(made, ignore_errors=True)


def postmaster(data_dir: Path) -> int:
    """The first process of the database that is ready; 0 when it is not."""
    file = data_dir / "postgres/postmaster.pid"
    lines = file.read_text().splitlines() if file.exists() else []
    return int(lines[0]) if len(lines) > 7 and lines[7].strip() == "ready" else 0


@pytest.fixture
def as_in_a_terminal() -> Iterator[None]:
    """What is started heeds SIGHUP, also where these tests run under `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("as_in_a_terminal")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_a_command_that_is_told_to_end_stops_the_database_that_it_started(
    data_dir: Path, number: signal.Signals, code: int
) -> None:
    known = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    environ = {**known, "CMG_DATA_DIR": str(data_dir), "CMG_PORT": "0"}
    with subprocess.Popen([str(CMG), "logs", "tail"], env=environ, stderr=subprocess.PIPE, cwd=data_dir) as command:
        wait_until(lambda: postmaster(data_dir) > 0, 30, "the database is there")
        pid = postmaster(data_dir)
        command.send_signal(number)
        try:
            _, told = command.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            command.kill()  # else its end would be waited for
            raise
    assert command.returncode == code, told
    assert b"Traceback" not in told
    assert not alive(pid), "nobody would stop it"


def test_a_signal_that_is_ignored_stays_so(tmp_path: Path) -> None:
    """As by `nohup`."""
    script = (
        "import signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); sys.argv = ['cmg', '--version']\n"
        "import atexit; atexit.register(lambda: print(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN))\n"
        "from cmg.cli import main; main()"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert ran.stdout.splitlines()[-1] == "True"
