"""Where files of lines are kept: a local folder, or a store that speaks S3 or its like, by one interface.

Written in pieces as they come and read by ranges, so that no file is ever in memory as a whole.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
from obstore.store import LocalStore, ObjectStore, from_url

_TIMEOUT = timedelta(seconds=60)
_CONNECT = timedelta(seconds=5)
_PART_BYTES = 8 * 2**20
_PIECE_BYTES = 4 * 2**20


class Shelf:
    """One place for files. Raises `OSError` and obstore's errors, which are none of ours to recover from."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    @asynccontextmanager
    async def writing(self, name: str) -> AsyncIterator[Any]:
        """Something with `await write(bytes)`; the file is there when the block ends without an error."""
        async with obstore.open_writer_async(self._store, name, buffer_size=_PART_BYTES) as file:
            yield file

    async def put(self, name: str, data: bytes) -> None:
        """Store a small file whole."""
        await obstore.put_async(self._store, name, data)

    async def get(self, name: str) -> bytes:
        """A small file whole. Raises `FileNotFoundError`."""
        return bytes(await (await obstore.get_async(self._store, name)).bytes_async())

    async def part(self, name: str, offset: int, size: int) -> bytes:
        """A range of a file. Raises `FileNotFoundError`."""
        return bytes(await obstore.get_range_async(self._store, name, start=offset, length=size))

    async def pieces(self, name: str) -> AsyncIterator[bytes]:
        """A file piece by piece. Raises `FileNotFoundError`."""
        found = await obstore.get_async(self._store, name)
        async for piece in found.stream(min_chunk_size=_PIECE_BYTES):
            yield bytes(piece)

    async def delete(self, name: str) -> None:
        """Delete a file; one that is not there is fine."""
        try:
            await obstore.delete_async(self._store, name)
        except FileNotFoundError:
            return


class Shelves:
    """The place of each tier, opened when it is first used. `places`: tier → URL (None: the folder) and folder."""

    def __init__(self, places: Mapping[str, tuple[str | None, Path]]) -> None:
        self._places = places
        self._open: dict[str | Path, Shelf] = {}

    def __getitem__(self, tier: str) -> Shelf:
        url, folder = self._places[tier]
        place = url or folder
        if place not in self._open:
            self._open[place] = open_shelf(url, folder)
        return self._open[place]


def open_shelf(url: str | None, folder: Path) -> Shelf:
    """The place of a URL (`s3://bucket/prefix`, `gs://`, `az://`, `file:///…`, `memory:///`), else the folder.

    Credentials come from the variables that the store's own tools read, as `AWS_ACCESS_KEY_ID`. Raises `ValueError`.
    """
    if url is None or url.startswith("file://"):
        where = folder if url is None else Path(url.removeprefix("file://"))
        where.mkdir(parents=True, exist_ok=True, mode=0o700)
        return Shelf(LocalStore(where))
    options: Any = {"timeout": _TIMEOUT, "connect_timeout": _CONNECT}
    try:
        return Shelf(from_url(url) if url.startswith("memory://") else from_url(url, client_options=options))
    except obstore.exceptions.BaseError as error:
        raise ValueError(f"logs.store: {error}") from error
