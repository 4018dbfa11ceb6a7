"""What a command works with: the settings, and the use cases on the database itself."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Protocol, TypeVar

import click

from cmg import config
from cmg.app.wiring.basics import Basics, open_basics
from cmg.config import Settings
from cmg.identity.models import COMMAND_LINE
from cmg.identity.workspaces import Workspaces
from cmg.storage.errors import StorageError
from cmg.telemetry import logs

if TYPE_CHECKING:
    from cmg.app.wiring.services import Services


class _Named(Protocol):
    @property
    def workspaces(self) -> Workspaces: ...


T = TypeVar("T")
Opened_co = TypeVar("Opened_co", bound=_Named, covariant=True)


class _Opened(Protocol[Opened_co]):
    def __call__(self, settings: Settings, *, stored: bool) -> AbstractAsyncContextManager[Opened_co]: ...


def with_services(use: "Callable[[Services], Awaitable[T]]", *, first: bool = False) -> T:
    """Run `use` on the database that the settings name.

    The embedded one is joined when the service runs, else started for this command alone. A place where nothing ever
    was is refused, unless the command may be the `first` that is done there. Raises `SettingsError`, `StorageError`,
    `NotFound` when the command's `--workspace` is none, and what `use` raises.
    """
    from cmg.app.wiring.services import open_services  # noqa: PLC0415  the whole service: a second, and 90 MB

    return _with(open_services, use, first=first)


def with_basics(use: Callable[[Basics], Awaitable[T]], *, first: bool = False) -> T:
    """The same, for a command that needs little of it: it loads in a fifth of the time."""
    return _with(open_basics, use, first=first)


def _with(opened: _Opened[Opened_co], use: Callable[[Opened_co], Awaitable[T]], *, first: bool) -> T:
    settings = config.load()
    logs.configure("error", "cli")
    workspace = _workspace()
    if not first:
        _check_stored(settings)

    async def session() -> T:
        async with opened(settings, stored=not first) as services:
            if workspace is not None:
                await services.workspaces.get(COMMAND_LINE, workspace)
            return await use(services)

    return asyncio.run(session())


def _check_stored(settings: Settings) -> None:
    """A mistyped place would be made, and an empty list, or an erasure of nobody, look like success."""
    if settings.database_url is None and not (settings.data_dir / "postgres").exists():
        raise StorageError(f"nothing was ever stored in {settings.data_dir}: is CMG_DATA_DIR right?")


def _workspace() -> str | None:
    """The `--workspace` of the command that runs: a mistyped one would look like one where nothing is."""
    context = click.get_current_context(silent=True)
    return None if context is None else context.params.get("workspace")
