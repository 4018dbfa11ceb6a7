"""The tar file of a backup: written under another name until it is whole, every member hashed."""

import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

import msgspec

from cmg.storage.archive.manifest import FORMAT, NAME, Manifest
from cmg.storage.errors import StorageError

_PIECE = 2**20
_SEAL = "manifest.sha256"


class ArchiveWriter:
    """Adds files and remembers their hashes."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self.members: dict[str, str] = {}

    def add(self, member: str, path: Path) -> None:
        """Add a file as it is now; what is appended to it meanwhile stays out."""
        with path.open("rb") as file:
            entry = tarfile.TarInfo(member)
            entry.size, entry.mode = os.fstat(file.fileno()).st_size, 0o600
            hashing = _Hashing(file)
            self._tar.addfile(entry, hashing)
        self.members[member] = hashing.digest.hexdigest()

    def seal(self, manifest: Manifest) -> None:
        """Add the manifest and its hash as the last members."""
        text = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
        for name, data in ((NAME, text), (_SEAL, hashlib.sha256(text).hexdigest().encode())):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o600
            self._tar.addfile(entry, io.BytesIO(data))


class _Hashing:
    """A file that is hashed as it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.digest.update(data)
        return data


@contextmanager
def writing(target: Path, work: Path) -> Iterator[ArchiveWriter]:
    """A new archive, put together in the folder `work` beside it, mode 0600; it gets its name when all went well."""
    if target.exists():
        raise StorageError(f"{target} exists already: a backup never writes over another, choose a new name")
    unfinished = work / "unfinished.tar"
    try:
        handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                yield ArchiveWriter(tar)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(target)
    except OSError as error:
        raise StorageError(f"the backup {target} cannot be written: {error.strerror or error}") from error
    finally:
        unfinished.unlink(missing_ok=True)


class ArchiveReader:
    """Reads an archive whose manifest was checked."""

    def __init__(self, path: Path, tar: tarfile.TarFile) -> None:
        self._path = path
        self._tar = tar
        self.manifest = self._read_manifest()

    def _read_manifest(self) -> Manifest:
        try:
            text, seal = self.open(NAME).read(), self.open(_SEAL).read().decode(errors="replace")
            if hashlib.sha256(text).hexdigest() != seal:
                raise self.damaged("its manifest does not match its hash")
            head = msgspec.json.decode(text, type=dict)
            if head.get("format") != FORMAT:
                raise StorageError(
                    f"{self._path} has format {head.get('format')}, this release reads {FORMAT}: restore it with the "
                    f"release that wrote it ({head.get('release')})"
                )
            return msgspec.json.decode(text, type=Manifest)
        except (msgspec.DecodeError, tarfile.TarError) as error:
            raise self.damaged(str(error)) from error

    def damaged(self, reason: str) -> StorageError:
        """The error that says so."""
        return StorageError(f"{self._path} is damaged or no backup: {reason}. Nothing was restored; use another backup")

    def open(self, member: str) -> IO[bytes]:
        """A member's bytes."""
        try:
            file = self._tar.extractfile(member)
        except KeyError:
            file = None
        if file is None:
            raise self.damaged(f"{member} is missing")
        return file

    def verify(self) -> None:
        """Compare every member with its hash; `StorageError` names the first that differs."""
        for member, expected in self.manifest.members.items():
            digest, file = hashlib.sha256(), self.open(member)
            try:
                while piece := file.read(_PIECE):
                    digest.update(piece)
            except (OSError, tarfile.TarError) as error:
                raise self.damaged(f"{member} cannot be read: {error}") from error
            if digest.hexdigest() != expected:
                raise self.damaged(f"{member} does not match its hash")

    def extract(self, files: list[str], folder: Path) -> None:
        """Write members `data/<path>` to `folder/<path>`, mode 0600."""
        for name in files:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts:
                raise self.damaged(f"{name!r} is no path inside a data dir")
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self.open(f"data/{name}") as source, target.open("xb") as file:
                target.chmod(0o600)
                while piece := source.read(_PIECE):
                    file.write(piece)


@contextmanager
def reading(source: Path) -> Iterator[ArchiveReader]:
    """An archive to read; `StorageError` when it is none, cut short, or of another format."""
    try:
        tar = tarfile.open(source, mode="r:")  # noqa: SIM115 - closed below; only the opening is translated here
    except OSError as error:
        raise StorageError(f"{source} cannot be read: {error.strerror or error}") from error
    except tarfile.TarError as error:
        raise StorageError(f"{source} is damaged or no backup: {error}. Nothing was restored") from error
    with tar:
        yield ArchiveReader(source, tar)
