"""Where the database of a machine is: given by the settings, or started here."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from cmg.app.processes.orders import connections_most
from cmg.config import Settings
from cmg.kit.clock import SystemClock
from cmg.storage.embedded import EmbeddedPostgres

_COMMANDS = 20
_LEAST = 100


@dataclass(frozen=True)
class Place:
    """Where the database is, and the embedded server if it is ours."""

    dsn: str
    embedded: EmbeddedPostgres | None = None

    async def watch(self) -> None:
        """Keep the embedded database running; returns at once when there is none."""
        if self.embedded is not None:
            await self.embedded.watch()


@contextlib.asynccontextmanager
async def database_place(settings: Settings) -> AsyncIterator[Place]:
    """The database of the settings, which may be away, or the embedded one, started. Raises `StorageError`."""
    if settings.database_url:
        yield Place(settings.database_url)
        return
    room = max(_LEAST, connections_most(settings.workers) + _COMMANDS)
    embedded = EmbeddedPostgres(settings.data_dir, SystemClock(), settings={"max_connections": str(room)})
    dsn = await embedded.start()
    try:
        yield Place(dsn, embedded)
    finally:
        await embedded.stop()
