"""Where a data dir keeps its sockets: a socket path may have 107 bytes, a data dir may be deep."""

import errno
import hashlib
import os
import tempfile
from pathlib import Path

EMBEDDER_SOCKET = "embedder.sock"
HEALTH_REPORT = "health.report"
ROOM_BYTES = 2**16  # the report on health, a lock file, and folders that grow
MORE_ROOM = "make room there, or set TMPDIR to another folder, with a short path"
_NAMED = ("TMPDIR", "TEMP", "TMP")
_USUAL = ("/tmp", "/var/tmp", "/usr/tmp")  # noqa: S108  a folder of our own is made in it, mode 0700
_LONGEST = 107 - len("/gateway-63.metrics")


def runtime_dir(data_dir: Path) -> Path:
    """The folder for unix sockets of one data dir, `<temporary folder>/cmg-<hash>`; not created here."""
    digest = hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:16]
    return temporary_folder() / f"cmg-{digest}"


def temporary_folder() -> Path:
    """The folder that TMPDIR names, else the first usual one that this user may write to; full ones count.

    So it is not what `tempfile` finds: that passes over a folder without room, and a process that is replaced while it
    is full, or a command, would look for the sockets of the others elsewhere.
    """
    named = [os.environ[name] for name in _NAMED if os.environ.get(name)]
    for folder in (*named, *_USUAL):
        if os.access(f"{folder}/.", os.W_OK | os.X_OK):
            return Path(folder).absolute()
    return Path(named[0] if named else _USUAL[0]).absolute()


def make_runtime_dir(folder: Path) -> None:
    """Make a folder for sockets where it is missing. Raises `OSError`, whose text says what to do, without room."""
    try:
        if too_long(folder):
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))  # noqa: TRY301  told as the others are
        folder.mkdir(mode=0o700, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(ROOM_BYTES))
    except OSError as error:
        raise OSError(f"the folder for sockets, {folder}, cannot be used: {error.strerror}; {MORE_ROOM}") from error


def too_long(folder: Path) -> bool:
    """Whether a socket in the folder would have a longer path than the system allows."""
    return len(os.fsencode(folder)) > _LONGEST


def faults_file(data_dir: Path) -> Path:
    """What a drill makes fail."""
    return runtime_dir(data_dir) / "faults.json"
