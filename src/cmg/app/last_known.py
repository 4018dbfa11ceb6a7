"""What a process needs to serve calls, in a file: with it a process starts while the database cannot be reached.

It holds keys (their secrets as hashes), workspaces and the catalogue of models, as backstage last read them.
"""

import asyncio
import hashlib
import os
from pathlib import Path

import msgspec

from cmg.gateway.routing.catalogue import Catalogue
from cmg.gateway.routing.catalogue_store import KeptModel, SyncState
from cmg.identity.models import ApiKey, Workspace
from cmg.identity.snapshot import SnapshotFeed
from cmg.kit.clock import Clock
from cmg.telemetry.logs import get_logger

_FORM = b"CMGKNOWN\x00\x01"  # another layout of the structs within gets another number
_HEAD = len(_FORM) + 32
_PAUSE_S = 1.0
_SHARE = 20  # … and at least so many times as long as writing took: 100,000 keys are 51 MB
_log = get_logger("cmg.app.last_known")


class LastKnown(msgspec.Struct, frozen=True, array_like=True):
    """The file's content; `at` is when it was written, in epoch seconds."""

    at: float
    keys: list[ApiKey]
    workspaces: list[Workspace]
    models: list[KeptModel]
    syncs: list[SyncState]


_decode = msgspec.msgpack.Decoder(LastKnown).decode


class LastKnownFile:
    """Mode 0600, replaced whole, with a version and a hash: what is damaged or of another version is as if missing."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, payload: bytes) -> None:
        """Replace the file and bring it onto the disk. Raises `OSError`; the former file stays then."""
        fresh = self._path.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(_FORM + hashlib.sha256(payload).digest())
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)

    def read(self) -> LastKnown | None:
        """The content, or None with a line in the log that says why not."""
        try:
            return _opened(self._path.read_bytes())
        except (OSError, _Unusable) as error:
            _log.warning("the file of the last known keys is not used", path=str(self._path), reason=str(error))
            return None


class _Unusable(Exception):
    """The file's content is not what this release wrote."""


def _opened(data: bytes) -> LastKnown:
    form, digest, payload = data[: len(_FORM)], data[len(_FORM) : _HEAD], data[_HEAD:]
    if form != _FORM:
        raise _Unusable("it is of another version")
    if digest != hashlib.sha256(payload).digest():
        raise _Unusable("it is damaged")
    try:
        return _decode(payload)
    except msgspec.DecodeError as error:
        raise _Unusable(f"it is of another version: {error}") from error


class Keeper:
    """Writes the file whenever what it holds has changed in the database."""

    def __init__(self, file: LastKnownFile, feed: SnapshotFeed, catalogue: Catalogue, clock: Clock) -> None:
        self._file, self._feed, self._catalogue, self._clock = file, feed, catalogue, clock
        self._written = (0, 0)

    async def run(self) -> None:
        """Look once a second, until cancelled; large files are written more rarely."""
        while True:
            started = self._clock.monotonic()
            try:
                await self.keep()
            except OSError as error:
                _log.warning("the last known keys cannot be written", error=repr(error))
            await self._clock.sleep(max(_PAUSE_S, _SHARE * (self._clock.monotonic() - started)))

    async def keep(self) -> bool:
        """Write the file if something changed; false when nothing did, or nothing was read from the database yet."""
        version = (self._feed.version, self._catalogue.version)
        if version == self._written or not self._feed.version:
            return False
        current, (models, syncs) = self._feed.current, self._catalogue.stored
        keys, workspaces = list(current.keys.values()), list(current.workspaces.values())
        known = LastKnown(self._clock.time(), keys, workspaces, models, syncs)
        await asyncio.to_thread(self._file.write, msgspec.msgpack.encode(known))
        self._written = version
        return True


def take_last_known(file: LastKnownFile, feed: SnapshotFeed, catalogue: Catalogue) -> bool:
    """Begin with what the file says; false when there is no usable one."""
    known = file.read()
    if known is None:
        return False
    feed.take(known.keys, known.workspaces)
    catalogue.take(known.models, known.syncs)
    _log.warning("the database is away: begun with the keys last known", keys=len(known.keys), written_at=known.at)
    return True
