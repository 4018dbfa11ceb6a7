"""The room's SQL: beats of machines, transitions, and what the server says of itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from cmg.health.models import Transition
from cmg.kit.clock import at
from cmg.storage import named_sql
from cmg.storage.database import Database
from cmg.storage.retention import purge_batch

_SQL = named_sql.load("cmg.health")
_TIMEOUT_S = 2.0
_MOST = 100_000


@dataclass(frozen=True)
class Activity:
    """Connections of the server, how many it takes, and statements that run, or wait for a lock, for too long."""

    connections: int
    most: int
    slow: int
    blocked: int


class HealthStore:
    """Raises `DatabaseAway`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ping(self) -> float:
        """Seconds of one round trip."""
        return await self._database.ping(_TIMEOUT_S)

    async def beat(self, machine: str, moment: datetime) -> None:
        """Write that the machine lives."""
        await self._database.execute(_SQL["keep_beat"], machine, moment, timeout_s=_TIMEOUT_S)

    async def activity(self, slow_s: float) -> Activity:
        """What the server is busy with."""
        row = await self._database.fetchrow(_SQL["activity"], timedelta(seconds=slow_s), timeout_s=_TIMEOUT_S)
        return Activity(row["connections"], row["most"], row["slow"], row["blocked"])

    def pool_use(self) -> tuple[int, int]:
        """Connections of this process in use, and how many it may have."""
        return self._database.pool_use()

    async def add(self, transitions: Sequence[Transition]) -> None:
        """Keep transitions; each once, however often it is added."""
        columns: tuple[list[Any], ...] = (
            [UUID(one.id) for one in transitions],
            [at(one.at) for one in transitions],
            [one.machine for one in transitions],
            [one.component for one in transitions],
            [one.before for one in transitions],
            [one.after for one in transitions],
            [one.output for one in transitions],
        )
        await self._database.execute(_SQL["add_transitions"], *columns)

    async def newest(self, limit: int) -> list[Transition]:
        """The newest of all machines, newest first."""
        return [_transition(row) for row in await self._database.fetch(_SQL["newest_transitions"], limit)]

    async def older(self, component: str | None, than: tuple[datetime, UUID], limit: int) -> list[Transition]:
        """Those behind a moment and id, newest first; of all components, or of one."""
        rows = await self._database.fetch(_SQL["older_transitions"], component, *than, limit, timeout_s=_TIMEOUT_S)
        return [_transition(row) for row in rows]

    async def moment(self, transition: UUID) -> datetime | None:
        """When a transition was; None: it is not known (any more)."""
        found: datetime | None = await self._database.fetchval(_SQL["transition"], transition, timeout_s=_TIMEOUT_S)
        return found

    async def of(self, component: str, since: datetime) -> list[Transition]:
        """A component's since then, and each machine's last one before, oldest first."""
        return [_transition(row) for row in await self._database.fetch(_SQL["transitions_of"], component, since)]

    async def families(self, families: Sequence[str], since: datetime) -> list[Transition]:
        """Those of every component of some families since then, and the last ones before; 100,000, oldest first."""
        rows = await self._database.fetch(_SQL["transitions_of_families"], list(families), since, _MOST, timeout_s=60)
        return [_transition(row) for row in rows]

    async def beats(self) -> dict[str, float]:
        """Machine → when it was last heard of, epoch seconds."""
        return {row["machine"]: row["beat_at"].timestamp() for row in await self._database.fetch(_SQL["beats"])}

    async def purge(self, before: datetime) -> int:
        """Delete what is older, in batches; returns the number of rows."""
        gone = await purge_batch(self._database, _SQL["purge_transitions"], before)
        return gone + await purge_batch(self._database, _SQL["purge_beats"], before)


def _transition(row: Any) -> Transition:
    return Transition(
        id=row["transition_id"].hex,
        at=row["at"].timestamp(),
        machine=row["machine"],
        component=row["component"],
        before=row["level_before"],
        after=row["level_after"],
        output=row["output"],
    )
