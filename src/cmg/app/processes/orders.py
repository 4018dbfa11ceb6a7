"""What a supervisor tells its children, once, as the first line of their standard input."""

from pathlib import Path
from typing import Any, Literal

import msgspec

from cmg.app.roles import DUTIES, Duties, Role
from cmg.config import Origin, Settings
from cmg.kit.paths import EMBEDDER_SOCKET, HEALTH_REPORT, faults_file, runtime_dir

POOL = 8  # connections to the database in each of the two pools of a process
_BEYOND_POOLS = 8  # of backstage: jobs, locks, changes
_GATEWAYS_A_NOTE_MAKER = 2


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a child needs. `dsn` is where the database was found; `role` as in `cmg serve --role`."""

    settings: Settings
    origins: dict[str, Origin] = {}
    dsn: str
    role: Role = "all"
    worker: int = 0
    listening: int = -1  # file descriptor of the listening socket
    port: int = 0  # that it listens on
    console: int = -1  # the same of the console's socket; below 0: there is no console
    console_port: int = 0
    first: Literal["now", "late", "done"] = "done"  # what a start has to do once: before the first worker, beside them
    report: int = -1  # file descriptor where backstage tells how that went
    beat: int = -1  # the same where a process says that its loop comes round

    @property
    def duties(self) -> Duties:
        """What this machine runs."""
        return DUTIES[self.role]

    @property
    def runtime(self) -> Path:
        """The folder of the sockets that the processes of this machine share."""
        return runtime_dir(self.settings.data_dir)

    @property
    def spool(self) -> Path:
        """The folder of the workers' journals."""
        return self.settings.data_dir / "spool"

    @property
    def log_spool(self) -> Path:
        """The folder where the processes of this machine leave their log lines."""
        return self.settings.data_dir / "logs" / "spool"

    @property
    def log_levels(self) -> Path:
        """The file that says which loggers have a level of their own."""
        return self.settings.data_dir / "logs" / "levels.json"

    @property
    def quota_file(self) -> Path:
        """The memory-mapped state of limits and budgets."""
        return self.settings.data_dir / "quota.shm"

    @property
    def embedder_socket(self) -> Path:
        """Where the embedder answers."""
        return self.runtime / EMBEDDER_SOCKET

    @property
    def note_makers(self) -> int:
        """How many processes make notes for the calls of this machine."""
        return note_makers(self.settings.workers) if self.duties.gateways else 0

    def notes_socket(self, number: int) -> Path:
        """Where one of them answers."""
        return self.runtime / f"notes-{number}.sock"

    @property
    def models(self) -> Path:
        """The folder of converted models."""
        return self.settings.data_dir / "models"

    @property
    def last_known(self) -> Path:
        """The keys and models with which a process starts while the database is away."""
        return self.settings.data_dir / "known.bin"

    @property
    def traces_socket(self) -> Path:
        """Where backstage takes the traces that processes keep."""
        return self.runtime / "traces.sock"

    @property
    def health_report(self) -> Path:
        """What the prober of this machine found last, for whoever is asked."""
        return self.runtime / HEALTH_REPORT

    @property
    def faults_file(self) -> Path:
        """What a drill makes fail."""
        return faults_file(self.settings.data_dir)

    @property
    def health_history(self) -> Path:
        """The newest changes of levels, and those that wait for the database."""
        return self.settings.data_dir / "health.history"

    @property
    def backstage_socket(self) -> Path:
        """Where backstage answers."""
        return self.runtime / "backstage.sock"


def note_makers(gateways: int) -> int:
    """How many processes make notes for so many gateways."""
    return -(-gateways // _GATEWAYS_A_NOTE_MAKER)


def connections_most(gateways: int) -> int:
    """How many connections to the database a machine with so many gateways has when all are in use."""
    pools, listening = 1 + gateways + note_makers(gateways), gateways
    return 2 * POOL * pools + listening + _BEYOND_POOLS


def _encode(value: Any) -> str:
    return str(value)


def encode(orders: Orders) -> bytes:
    """One line of JSON; it holds secrets and goes through a pipe, never through the environment or arguments."""
    return msgspec.json.encode(orders, enc_hook=_encode) + b"\n"


def decode(line: bytes) -> Orders:
    """The orders of a line. Raises `msgspec.DecodeError` when the supervisor died while writing it."""
    return msgspec.json.decode(line, type=Orders, dec_hook=lambda kind, value: kind(value))
