"""What a command works with: the settings, and the use cases on the database itself."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from cmg import config
from cmg.app.wiring.services import Services, open_services
from cmg.telemetry import logs

T = TypeVar("T")


def with_services(use: Callable[[Services], Awaitable[T]]) -> T:
    """Run `use` on the database that the settings name.

    The embedded one is joined when the service runs, else started for this command alone. Raises `SettingsError`,
    `StorageError` and what `use` raises.
    """
    settings = config.load()
    logs.configure("error", "cli")

    async def session() -> T:
        async with open_services(settings) as services:
            return await use(services)

    return asyncio.run(session())
