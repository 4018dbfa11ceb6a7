"""What keys have spent: in their budget's current period, and up to a moment for the shared limits."""

from collections.abc import Iterable

from cmg.identity.models import ApiKey, Period, Workspace
from cmg.kit.clock import Clock
from cmg.ledger import store
from cmg.ledger.quota.periods import Starts, period_start
from cmg.storage.database import Database


class Spending:
    """Sums of committed usage; what still waits in a journal is not in them. Raises `DatabaseAway`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    async def spent_nano(self, key: ApiKey, workspace: Workspace, period: Period, at: float | None = None) -> int:
        """Nano-USD since the period around `at` (epoch seconds, default now) began in the workspace's time zone."""
        moment = self._clock.time() if at is None else at
        since = {key.id: period_start(period, workspace.timezone, moment)}
        return (await store.spent(self._database, since))[key.id]

    async def in_period(self, keys: Iterable[tuple[ApiKey, Workspace]], at: float | None = None) -> dict[str, int]:
        """Key id → nano-USD in its budget's current period, for all given keys that have a budget; one query."""
        moment = self._clock.time() if at is None else at
        since = {
            key.id: period_start(key.budget.period, workspace.timezone, moment) for key, workspace in keys if key.budget
        }
        return await store.spent(self._database, since)

    async def before(self, key: ApiKey, starts: Starts, until: float) -> tuple[int, int, int, int]:
        """Nano-USD of the key's records with start <= at < until, for day, week, month, and ever.

        Has the shape of the quota's `Seeder`.
        """
        return await store.spent_before(self._database, key.workspace_id, key.id, starts[:3], until)
