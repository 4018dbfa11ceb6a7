"""What the database server says of itself: connections, locks, sizes, replicas; asked for at an interval."""

import asyncpg

from cmg.kit.clock import Clock
from cmg.storage import named_sql
from cmg.storage.database import Database
from cmg.storage.errors import DatabaseAway
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.logs import get_logger
from cmg.telemetry.machine.totals import Totals

INTERVAL_S = 15.0
_SIZES_EVERY = 8  # looks: sizes ask the disk about every file of every table
_TABLES_MAX = 100
_SQL = named_sql.load("cmg.storage")
_log = get_logger("cmg.storage.figures")


class DatabaseFigures:
    """Runs in the processes that a cluster has once, and in monitors; where two tell the same, readers take one."""

    def __init__(self, database: Database, clock: Clock, instruments: Instruments) -> None:
        self._database, self._clock, self._instruments = database, clock, instruments
        self._totals = Totals(instruments)
        self._replicated = False

    async def run(self) -> None:
        """Look for ever. While the database is away the last figures stay."""
        look = 0
        while True:
            try:
                await self.look()
                if look % _SIZES_EVERY == 0:
                    await self.look_at_sizes()
                look += 1
            except DatabaseAway:
                look = 0
            except asyncpg.PostgresError as error:
                _log.warning("the database does not tell its figures", error=repr(error))
            await self._clock.sleep(INTERVAL_S)

    async def look(self) -> None:
        """Connections, locks, transactions, replicas. Raises `DatabaseAway`."""
        row = await self._database.fetchrow(_SQL["server_figures"], self._clock.now())
        self._set("cmg_database_server_connections", row["connections"])
        self._set("cmg_database_server_max_connections", row["max_connections"])
        self._set("cmg_database_locks_waiting", row["locks_waiting"])
        self._set("cmg_database_lock_wait_seconds", row["lock_wait_s"])
        self._set("cmg_database_transaction_age_seconds", row["transaction_age_s"])
        self._totals.reached(row["deadlocks"], "cmg_database_deadlocks_total")
        self._totals.reached(row["blocks_hit"], "cmg_database_blocks_total", "hit")
        self._totals.reached(row["blocks_read"], "cmg_database_blocks_total", "read")
        self._set("cmg_database_replicas", row["replicas"])
        if row["replicas"] or self._replicated:
            self._replicated = True  # a lag that nobody has any more must not stay as it was
            self._set("cmg_database_replication_lag_seconds", row["replica_lag_s"] or 0.0)

    async def look_at_sizes(self) -> None:
        """The size of everything, and of the largest tables. Raises `DatabaseAway`."""
        self._set("cmg_database_size_bytes", await self._database.fetchval(_SQL["database_size"], timeout_s=30))
        for row in await self._database.fetch(_SQL["table_sizes"], _TABLES_MAX, timeout_s=30):
            self._instruments.series("cmg_database_table_bytes", row["name"]).set(row["bytes"])
            self._instruments.series("cmg_database_table_rows", row["name"]).set(row["rows"])

    def _set(self, name: str, value: float) -> None:
        self._instruments.series(name).set(value)
