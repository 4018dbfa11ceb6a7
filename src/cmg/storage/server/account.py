"""Under which account PostgreSQL runs: it refuses root, so root hands it to an unprivileged user that exists."""

import os
import pwd
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmg.storage.errors import StorageError

_CANDIDATES = ("cmg", "postgres", "nobody")
_COMMAND_S = 120.0


@dataclass(frozen=True)
class Account:
    """A user and group id; `drops` when the commands must leave root behind."""

    uid: int
    gid: int
    drops: bool

    def popen_arguments(self) -> dict[str, Any]:
        """Arguments of `subprocess.Popen` that run a command under this account with a clean environment."""
        identity = {"user": self.uid, "group": self.gid, "extra_groups": []} if self.drops else {}
        environ = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
        return {**identity, "env": environ, "cwd": "/", "stdin": subprocess.DEVNULL}

    def run(self, command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; output is captured, a failure is the caller's to judge."""
        try:
            return subprocess.run(  # noqa: S603 - our own commands, no shell
                [str(word) for word in command],
                capture_output=True,
                text=True,
                check=False,
                timeout=_COMMAND_S,
                **self.popen_arguments(),
            )
        except OSError as error:
            return subprocess.CompletedProcess(list(command), 126, "", str(error))

    def can_enter(self, folder: Path) -> bool:
        """Whether a process of this account may change into the folder."""
        return self.run(["/bin/sh", "-c", 'cd "$1"', "sh", folder]).returncode == 0

    def own(self, path: Path, mode: int) -> None:
        """Give a file or folder of ours to this account."""
        path.chmod(mode)
        if self.drops:
            os.chown(path, self.uid, self.gid)


def choose_account(data: Path) -> Account:
    """The account for a server whose files are (or will be) in `data`.

    Without root: ourselves. As root: the owner of the existing files, else the first of the users `cmg`, `postgres`
    and `nobody` that exists. Nobody is created.
    """
    if os.geteuid() != 0:
        if data.exists() and data.stat().st_uid != os.geteuid():
            raise StorageError(
                f"{data} belongs to user id {data.stat().st_uid}: run the service as that user (or as root), or set "
                "CMG_DATA_DIR to a folder of your own"
            )
        return Account(os.geteuid(), os.getegid(), drops=False)
    if data.exists() and data.stat().st_uid != 0:
        found = data.stat()
        return Account(found.st_uid, found.st_gid, drops=True)
    for name in _CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(entry.pw_uid, entry.pw_gid, drops=True)
    raise StorageError(
        f"PostgreSQL does not run as root, and none of the users {', '.join(_CANDIDATES)} exists to run it under: "
        "start the service as an ordinary user, or set CMG_DATABASE_URL"
    )
