"""The mark of a restore that is not through: its database looks as if nothing had ever been stored."""

import hashlib
from pathlib import Path

import msgspec

from cmg.storage.archive.manifest import Manifest
from cmg.storage.errors import StorageError

_FILE = "restore.unfinished"


class Unfinished:
    """A file in the data dir, from before a restore changes anything until all is in its place; it outlives a kill."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir, self._path = data_dir, data_dir / _FILE

    def is_there(self) -> bool:
        """Whether a restore is under way, or was killed."""
        return self._path.exists()

    def is_of(self, manifest: Manifest) -> bool:
        """Whether it was one of this backup."""
        return self.is_there() and self._path.read_text() == _digest(manifest)

    def begin(self, manifest: Manifest) -> None:
        """From now on nothing may be served."""
        self._data_dir.mkdir(parents=True, exist_ok=True)
        self._path.write_text(_digest(manifest))

    def end(self) -> None:
        """Everything is in its place, or nothing is."""
        self._path.unlink(missing_ok=True)

    def refuse(self) -> None:
        """Raise `StorageError` when the data dir is half restored."""
        if self.is_there():
            raise StorageError(
                f"a restore into {self._data_dir} is under way or was cut off ({self._path} is there): nothing may be "
                "served before it is through. When none is running, give `cmg restore` the backup again"
            )


def _digest(manifest: Manifest) -> str:
    return hashlib.sha256(msgspec.json.encode(manifest)).hexdigest()
