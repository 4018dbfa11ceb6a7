"""Files below the data dir: one copy of each workspace's world, one spool of changes that the database has not seen."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, unquote

import msgspec

from cmg.alerting.models import Alert, Decision, Group, Notification, Timer
from cmg.alerting.setup.compiled import Setup, compiled
from cmg.alerting.world import Changes, World

_COPY, _SPOOL, _LEADER = ".world", ".spool", "leader"


class Copied(msgspec.Struct, kw_only=True):
    """A world as it is written; documents as (kind, id, JSON), their secrets sealed."""

    generation: int
    documents: list[tuple[str, str, str]]
    alerts: list[Alert]
    groups: list[Group]
    timers: list[Timer]
    outbox: list[Notification]


class Spooled(msgspec.Struct, kw_only=True):
    """Changes that wait for the database; `now`: when the last of them was decided."""

    now: float = 0
    alerts: dict[str, Alert] = {}
    groups: dict[str, Group] = {}
    timers: dict[str, Timer] = {}
    fired: set[str] = set()
    notifications: dict[str, Notification] = {}
    decisions: list[Decision] = []

    def add(self, more: "Spooled") -> None:
        """Lay later changes over these; a timer that was set and fired meanwhile never was."""
        self.now = more.now
        self.alerts = self.alerts | more.alerts
        self.groups = self.groups | more.groups
        fired = more.fired - self.timers.keys()
        self.timers = {name: one for name, one in (self.timers | more.timers).items() if name not in more.fired}
        self.fired = self.fired | fired
        self.notifications = self.notifications | more.notifications
        self.decisions = self.decisions + more.decisions

    def changes(self, world: World) -> Changes:
        """The same on a world."""
        return Changes(
            world, self.now, dict(self.alerts), dict(self.groups), dict(self.timers), set(self.fired),
            dict(self.notifications), list(self.decisions),
        )  # fmt: skip


_copied, _spooled = msgspec.json.Decoder(Copied), msgspec.json.Decoder(Spooled)


class LocalCopy:
    """Written by the process that pages alone. `leads`: whether this machine's process was the one that pages, last."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def leads(self) -> bool:
        """Whether this machine may go on paging while nobody can ask the database who does."""
        return (self._folder / _LEADER).exists()

    def lead(self, leads: bool) -> None:  # noqa: FBT001  it is what the method sets
        """Remember who pages. Raises `OSError`."""
        if leads and not self.leads:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self._folder / _LEADER).touch(mode=0o600)
        elif not leads:
            (self._folder / _LEADER).unlink(missing_ok=True)

    def save(self, world: World) -> None:
        """Write a world in the place of its last copy. Raises `OSError`."""
        documents = [
            (kind, name, one.model_dump_json())
            for kind, named in world.setup.documents.items()
            for name, one in named.items()
        ]
        copied = Copied(
            generation=world.generation,
            documents=documents,
            alerts=list(world.alerts.values()),
            groups=list(world.groups.values()),
            timers=list(world.timers.values()),
            outbox=list(world.outbox.values()),
        )
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = self._file(world.workspace_id, _COPY)
        fresh = file.with_suffix(".new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as opened:
            opened.write(msgspec.json.encode(copied))
            opened.flush()
            os.fsync(opened.fileno())
        fresh.replace(file)

    def world(self, workspace_id: str) -> World | None:
        """The copy, with what was spooled since; None when there is none. Raises `OSError`."""
        try:
            copied = _copied.decode(self._file(workspace_id, _COPY).read_bytes())
        except FileNotFoundError:
            return None
        world = World(workspace_id, Setup(), copied.generation)
        world.take(copied.alerts, copied.groups)
        world.timers = {one.id: one for one in copied.timers}
        world.take_notifications(copied.outbox)
        spooled = self.spooled(workspace_id)
        world.take(spooled.alerts.values(), spooled.groups.values())
        world.timers = {name: one for name, one in (world.timers | spooled.timers).items() if name not in spooled.fired}
        world.take_notifications(spooled.notifications.values())
        world.configure(compiled(copied.documents))
        return world

    def workspaces(self) -> Iterator[str]:
        """Every workspace that has a copy."""
        for file in sorted(self._folder.glob(f"*{_COPY}")):
            yield unquote(file.name.removesuffix(_COPY))

    def append(self, workspace_id: str, changes: Changes) -> None:
        """Spool changes; on disk when this returns. Raises `OSError`."""
        line = Spooled(
            now=changes.now,
            alerts=changes.alerts,
            groups=changes.groups,
            timers=changes.timers,
            fired=changes.fired,
            notifications=changes.notifications,
            decisions=changes.decisions,
        )
        file = self._file(workspace_id, _SPOOL)
        with os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as opened:
            _to_the_end(opened)
            opened.write(msgspec.json.encode(line) + b"\n")
            opened.flush()
            os.fsync(opened.fileno())

    def spooled(self, workspace_id: str) -> Spooled:
        """Everything that waits; a line that a kill cut was never acted on, and is the end."""
        whole = Spooled()
        with contextlib.suppress(FileNotFoundError):
            for line in self._file(workspace_id, _SPOOL).read_bytes().split(b"\n"):
                if not line:
                    continue
                try:
                    whole.add(_spooled.decode(line))
                except msgspec.DecodeError:
                    break
        return whole

    def waits(self, workspace_id: str) -> bool:
        """Whether anything is spooled."""
        return self._file(workspace_id, _SPOOL).exists()

    def clear(self, workspace_id: str) -> None:
        """The database has it."""
        self._file(workspace_id, _SPOOL).unlink(missing_ok=True)

    def _file(self, workspace_id: str, suffix: str) -> Path:
        return self._folder / f"{quote(workspace_id, safe='')}{suffix}"


def _to_the_end(spool: BinaryIO) -> None:
    """Behind the last whole line: what a kill or a full disk cut is dropped, else what follows is lost."""
    if spool.seek(0, os.SEEK_END) == 0:
        return
    spool.seek(-1, os.SEEK_END)
    if spool.read(1) != b"\n":
        spool.seek(0)
        spool.truncate(spool.read().rfind(b"\n") + 1)
        spool.seek(0, os.SEEK_END)
