"""What backstage tells the supervisor about the first things of a start.

They stand on the control plane, which the supervisor does not load.
"""

import asyncio
import contextlib
import os
from typing import Self

import msgspec

from cmg.app.processes.machine import CannotStart
from cmg.kit.errors import InvalidRequest


class FirstSecrets(msgspec.Struct, frozen=True, kw_only=True):
    """Secrets made at the first start and shown once."""

    administrator: str | None = None  # an address
    password: str | None = None
    admin_key: str | None = None
    first_key: str | None = None

    def __repr__(self) -> str:
        return f"FirstSecrets({self.administrator})"


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """How far it came.

    `refusal` says why there can be no service (`invalid`: a setting is wrong). `away`: there is one without the
    database, and another report follows. `embedder`: a model of this machine is asked for vectors.
    """

    refusal: str | None = None
    invalid: bool = False
    away: bool = False
    secrets: FirstSecrets = FirstSecrets()
    embedder: bool = False


class Preparation:
    """The pipe of the reports. It outlives a backstage, so a replaced one goes on telling."""

    def __init__(self) -> None:
        self._reading, self.writing = os.pipe()
        self._reports: asyncio.Queue[Prepared | None] = asyncio.Queue()
        self._told = b""

    def __enter__(self) -> Self:
        asyncio.get_running_loop().add_reader(self._reading, self._read)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._reading)
        os.close(self._reading)
        os.close(self.writing)

    def _read(self) -> None:
        self._told += os.read(self._reading, 2**16)
        *lines, self._told = self._told.split(b"\n")
        for line in lines:
            self._reports.put_nowait(msgspec.json.decode(line, type=Prepared))

    def ended(self) -> None:
        """Backstage ended: whoever still waits for its first report learns it."""
        self._reports.put_nowait(None)

    async def first(self) -> Prepared:
        """The first report. Raises `CannotStart`, `InvalidRequest`."""
        report = await self._reports.get()
        if report is None:
            raise CannotStart("the process that prepares the start ended; the log says why")
        if report.refusal is not None:
            raise InvalidRequest(report.refusal) if report.invalid else CannotStart(report.refusal)
        return report

    async def later(self) -> Prepared:
        """The report that follows one of `away`, from whichever backstage."""
        while (report := await self._reports.get()) is None or report.away:
            continue
        return report


def tell(writing: int, report: Prepared) -> None:
    """Backstage's side: one line, whole. Nobody reads it when the supervisor is gone."""
    with contextlib.suppress(BrokenPipeError):
        os.write(writing, msgspec.json.encode(report) + b"\n")
