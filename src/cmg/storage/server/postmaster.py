"""The server's first process: finding it, starting it over whatever an earlier one left behind, ending it."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cmg.storage.errors import StorageError
from cmg.storage.server.account import Account

# Where a statement needs more than 128 KB, glibc gives them back to the system after each one, and the next one pays a
# page fault for every 4 KB: 250 of them are 0.3 ms. So a connection keeps up to 4 MB.
_KEEPS_MEMORY = {
    "MALLOC_TRIM_THRESHOLD_": str(4 * 2**20),
    "MALLOC_MMAP_THRESHOLD_": str(2**20),
    "MALLOC_TOP_PAD_": str(256 * 2**10),
}
_NO_PROCESS = 2**22 + 1  # above Linux' highest possible process id
_STEP_S = 0.02
_SOCKET = ".s.PGSQL.5432"


@dataclass(frozen=True)
class Postmaster:
    """What starts a server: its programs, its files, the folder of its socket, and under which account."""

    programs: Path
    data: Path
    sockets: Path
    log: Path
    account: Account

    def pid(self) -> int | None:
        """The process id of the running server of these files, else None."""
        pid = _first_number(self.data / "postmaster.pid")
        return pid if pid is not None and _is_server(pid) else None

    def running_sockets(self) -> Path | None:
        """The folder where a running server has its socket: it may have been started with another TMPDIR."""
        lines = _lines(self.data / "postmaster.pid")
        return Path(lines[4]) if len(lines) > 4 and self.pid() is not None else None

    def cut_off(self) -> bool:
        """Whether a running server has lost its socket, as to a cleaner of temporary files: nobody can reach it."""
        return self._says_ready() and not (self.sockets / _SOCKET).exists()

    def accepts(self) -> bool:
        """Whether somebody listens on the socket."""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1)
            try:
                probe.connect(str(self.sockets / _SOCKET))
            except OSError:
                return False
            return True

    def ready(self) -> bool:
        """Whether the running server says that it takes connections."""
        return self._says_ready() and self.accepts()

    def _says_ready(self) -> bool:
        lines = _lines(self.data / "postmaster.pid")
        return len(lines) > 7 and lines[7].strip() == "ready"

    def launch(self, settings: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start the process, in a session of its own: a Ctrl-C in the terminal is not meant for it."""
        self._clear_stale()
        command = [str(self.programs / "postgres"), "-D", str(self.data)]
        for name, value in {**settings, "unix_socket_directories": str(self.sockets), "listen_addresses": ""}.items():
            command += ["-c", f"{name}={value}"]
        arguments = self.account.popen_arguments()
        arguments["env"] |= _KEEPS_MEMORY
        with self.log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - our own command, no shell
                command, stdout=log, stderr=log, start_new_session=True, **arguments
            )

    def _clear_stale(self) -> None:
        """Make a killed server's leavings harmless when its process id now belongs to somebody else.

        PostgreSQL takes any living process of that id for itself. The pid file stays, with an id that cannot be:
        its line on shared memory still keeps a second server away while children of the first one live.
        """
        self.remove_sockets()
        pid_file = self.data / "postmaster.pid"
        pid = _first_number(pid_file)
        if pid is not None and not _is_server(pid):
            lines = pid_file.read_text().splitlines()
            pid_file.write_text("\n".join([str(_NO_PROCESS), *lines[1:]]) + "\n")

    def remove_sockets(self) -> None:
        """Remove the socket and its lock file of a server that is gone."""
        for left in self.sockets.glob(f"{_SOCKET}*"):
            left.unlink(missing_ok=True)

    def end(self, timeout_s: float) -> None:
        """Stop the running server: open transactions are rolled back; past the limit it is cut off and recovers."""
        pid = self.pid()
        if pid is None:
            return
        for number, limit_s in ((signal.SIGINT, timeout_s), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                return
            deadline = time.monotonic() + limit_s
            while time.monotonic() < deadline:
                if not _is_server(pid):
                    return
                time.sleep(_STEP_S)
        raise StorageError(f"the database server (process {pid}) does not end: see {self.log}")


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []


def _first_number(pid_file: Path) -> int | None:
    try:
        return abs(int(_lines(pid_file)[0]))
    except (IndexError, ValueError):
        return None


def _is_server(pid: int) -> bool:
    """Whether a process lives, is no zombie, and (where the system tells) is called postgres."""
    try:
        name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")
        return name == "postgres" and rest.split()[0] != "Z"
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return False
    except (OSError, IndexError):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
