"""All keys and workspaces in memory: one full load at start, then single rows as they change.

Staleness: a change is announced in its own transaction and arrives with the change feed, which looks at least every
two seconds; so a revoked key stops within 2 s in every process (`SnapshotFeed.age_s` says how old the last look is).
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol, TypeVar

from cmg.identity.models import ApiKey, Workspace
from cmg.identity.store import IdentityStore
from cmg.kit.clock import Clock
from cmg.kit.errors import Unavailable
from cmg.storage.changes import ChangeFeed
from cmg.storage.database import Database
from cmg.storage.errors import DatabaseAway
from cmg.telemetry.instruments import Instruments

_PAGE = 1000
_UNKNOWN_S = 10.0
_UNKNOWN_MAX = 20_000
_LOOKUPS_AT_ONCE = 4
_LOOKUPS_WAITING_MAX = 64
_LOOKUP_TIMEOUT_S = 2.0
_LOOK_AGAIN_S = 0.5  # wrong secrets of one key lead to a look at the database this seldom
_Row = TypeVar("_Row", ApiKey, Workspace)


class Snapshot:
    """What is known now. Values are immutable; a changed key is another object under the same id."""

    __slots__ = ("keys", "workspaces")

    def __init__(self, keys: dict[str, ApiKey], workspaces: dict[str, Workspace]) -> None:
        self.keys = keys
        self.workspaces = workspaces


class KeySource(Protocol):
    """Where an authenticator gets keys from."""

    @property
    def current(self) -> Snapshot:
        """The keys known without asking."""
        ...

    async def find(self, key_id: str) -> ApiKey | None:
        """A key that is not known, looked up. Raises `Unavailable` when nobody can say."""
        ...

    async def look_again(self, key_id: str) -> ApiKey | None:
        """A known key as it is now: it may have been rotated a moment ago. Never raises."""
        ...


class SnapshotFeed:
    """Keeps one process's `Snapshot` up to date. Call `load()` once; the change feed does the rest."""

    def __init__(
        self, database: Database, changes: ChangeFeed, clock: Clock, instruments: Instruments | None = None
    ) -> None:
        self._database = database
        self._changes = changes
        self._clock = clock
        self._instruments = instruments
        self._store = IdentityStore()
        self._unknown: OrderedDict[str, float] = OrderedDict()  # key id → monotonic time until which it is unknown
        self._looked: OrderedDict[str, tuple[float, asyncio.Task[None]]] = OrderedDict()
        self._generation = 0
        self._loading = asyncio.Lock()
        self._lookups = asyncio.Semaphore(_LOOKUPS_AT_ONCE)
        self._waiting = 0
        self.version = 0  # grows with every change that was read from the database; 0: nothing was read yet
        self.current = Snapshot({}, {})
        changes.subscribe("keys", self.keys_changed)
        changes.subscribe("workspaces", self.workspaces_changed)
        changes.on_reset(self.load)

    @property
    def age_s(self) -> float:
        """Seconds since the last successful look for changes: how stale the snapshot may be."""
        return float(self._changes.age_s)

    async def load(self) -> None:
        """Read everything anew, in pages, so that calls go on in between. Raises `DatabaseAway`."""
        async with self._loading:
            keys, workspaces = await self._all(self._store.keys_after), await self._all(self._store.workspaces_after)
            self._generation += 1
            self.version += 1
            self._unknown.clear()
            self.current = Snapshot(keys, workspaces)
            self._gauge()

    def take(self, keys: Iterable[ApiKey], workspaces: Iterable[Workspace]) -> None:
        """Begin with what was known some time ago, until the database can be asked."""
        self.current = Snapshot({key.id: key for key in keys}, {one.id: one for one in workspaces})
        self._gauge()

    async def keys_changed(self, ids: list[str]) -> None:
        """Reload these keys; those that are gone or revoked leave the snapshot."""
        async with self._loading:
            for start in range(0, len(ids), _PAGE):
                some = ids[start : start + _PAGE]
                found = {key.id: key for key in await self._store.keys_by_ids(self._database, some)}
                self._generation += 1
                for key_id in some:
                    self._unknown.pop(key_id, None)
                    if key_id not in found:
                        self.current.keys.pop(key_id, None)
                await self._know_workspaces(found)
                self.current.keys.update(found)
                self.version += 1
            self._gauge()

    async def workspaces_changed(self, ids: list[str]) -> None:
        """Reload these workspaces."""
        async with self._loading:
            found = {one.id: one for one in await self._store.workspaces_by_ids(self._database, ids)}
            self.current.workspaces.update(found)
            self.version += 1

    async def find(self, key_id: str) -> ApiKey | None:
        """A key that the snapshot does not hold, looked up in the database once.

        What does not exist is remembered as unknown for 10 s (until announced). Raises `Unavailable` when the
        database is away, or when too many unknown ids are asked for at once.
        """
        if self._unknown.get(key_id, 0.0) > self._clock.monotonic():
            return None
        if self._waiting >= _LOOKUPS_WAITING_MAX:
            self._count("refused")
            raise Unavailable("too many unknown API keys at once; try again", headers={"Retry-After": "1"})
        self._waiting += 1
        try:
            async with self._lookups:
                return self.current.keys.get(key_id) or await self._look_up(key_id)
        finally:
            self._waiting -= 1

    async def look_again(self, key_id: str) -> ApiKey | None:
        """A known key as it is in the database, looked at once for all who ask within half a second. Never raises.

        With this a rotated key's new secret works in every process when its answer has gone out.
        """
        now = self._clock.monotonic()
        since, looking = self._looked.get(key_id, (float("-inf"), None))
        if looking is None or now - since >= _LOOK_AGAIN_S:
            looking = asyncio.create_task(self._renew(key_id))
            self._looked[key_id] = (now, looking)
            self._looked.move_to_end(key_id)
            while len(self._looked) > _UNKNOWN_MAX:
                self._looked.popitem(last=False)
        await asyncio.wait((looking,))
        return self.current.keys.get(key_id)

    async def _renew(self, key_id: str) -> None:
        with contextlib.suppress(Unavailable, DatabaseAway):  # then what is known counts
            async with self._lookups:
                await self._look_up(key_id)

    async def _look_up(self, key_id: str) -> ApiKey | None:
        generation = self._generation
        found = (await self._fetch([key_id])).get(key_id)
        self._count("unknown" if found is None else "found")
        if generation == self._generation:  # else a change came meanwhile, and this answer may be older than it
            if found is None:
                self._remember_unknown(key_id)
            else:
                self.current.keys[key_id] = found
        return found

    async def _fetch(self, ids: list[str]) -> dict[str, ApiKey]:
        try:
            async with asyncio.timeout(_LOOKUP_TIMEOUT_S):
                found = {key.id: key for key in await self._store.keys_by_ids(self._database, ids)}
                await self._know_workspaces(found)
                return found
        except TimeoutError as error:
            raise Unavailable("the API key cannot be looked up now; try again", headers={"Retry-After": "1"}) from error

    async def _know_workspaces(self, keys: dict[str, ApiKey]) -> None:
        """A key's workspace is known before the key is: its own announcement may come later."""
        missing = {key.workspace_id for key in keys.values()} - self.current.workspaces.keys()
        if missing:
            found = await self._store.workspaces_by_ids(self._database, sorted(missing))
            self.current.workspaces.update({one.id: one for one in found})

    def _remember_unknown(self, key_id: str) -> None:
        self._unknown[key_id] = self._clock.monotonic() + _UNKNOWN_S
        self._unknown.move_to_end(key_id)
        while len(self._unknown) > _UNKNOWN_MAX:
            self._unknown.popitem(last=False)

    async def _all(self, after: Callable[[Database, str, int], Awaitable[list[_Row]]]) -> dict[str, _Row]:
        """Every row of a table by its id, read in pages."""
        found: dict[str, _Row] = {}
        last = ""
        while True:
            page = await after(self._database, last, _PAGE)
            found.update((one.id, one) for one in page)
            if len(page) < _PAGE:
                return found
            last = page[-1].id

    def _gauge(self) -> None:
        if self._instruments is not None:
            self._instruments.series("cmg_snapshot_keys").set(len(self.current.keys))

    def _count(self, outcome: str) -> None:
        if self._instruments is not None:
            series: Any = self._instruments.series("cmg_key_lookups_total", outcome)
            series.inc()
