"""What a command works with: the settings, and the use cases on the database itself."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click

from cmg import config
from cmg.app.wiring.services import Services, open_services
from cmg.identity.models import COMMAND_LINE
from cmg.telemetry import logs

T = TypeVar("T")


def with_services(use: Callable[[Services], Awaitable[T]]) -> T:
    """Run `use` on the database that the settings name.

    The embedded one is joined when the service runs, else started for this command alone. Raises `SettingsError`,
    `StorageError`, `NotFound` when the command's `--workspace` is none, and what `use` raises.
    """
    settings = config.load()
    logs.configure("error", "cli")
    workspace = _workspace()

    async def session() -> T:
        async with open_services(settings) as services:
            if workspace is not None:
                await services.workspaces.get(COMMAND_LINE, workspace)
            return await use(services)

    return asyncio.run(session())


def _workspace() -> str | None:
    """The `--workspace` of the command that runs: a mistyped one would look like one where nothing is."""
    context = click.get_current_context(silent=True)
    return None if context is None else context.params.get("workspace")
