"""The connection pool: short deadlines, one error for "away", and recovery without anybody's help."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from typing import Any, TypeAlias, cast

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from cmg.kit.clock import Clock
from cmg.storage.errors import DatabaseAway, DatabaseUnreachable, StorageError
from cmg.storage.named_sql import name_of
from cmg.telemetry.faults import DELAY_S, Faults
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.tracing import names
from cmg.telemetry.tracing.trace import current

__all__ = ["Connection", "Database", "DatabaseAway", "connect_once"]

Connection: TypeAlias = asyncpg.Connection | PoolConnectionProxy
"""What `connection()` and `transaction()` give: asyncpg's own methods, `$1` arguments, rows as `Record`."""

SLOW_S = 1.0
_SLOWLY = f"SELECT pg_sleep({DELAY_S})"
_CONNECT_S = 5.0
_COMMAND_CONNECT_S = 10.0
_CLOSE_S = 5.0
_LEAVE_S = 1.0  # past its deadline, to have a statement cancelled and a transaction ended
_ROOM_S = 0.25  # between two looks whether the server has room again
_SCARCE_S = 60.0  # after the server had none nobody takes two
# A kept plan may have been made when the tables were empty, so it goes by indexes whatever the planner thinks of them.
# Said by statement: pgbouncer refuses a connection that brings settings of its own along.
_KEEPS_PLANS = (
    "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off;"
    " SET enable_hashjoin = off; SET enable_mergejoin = off"
)
_NO_SESSIONS = (
    "the database is behind a pooler that gives each transaction another connection, which prepared statements and "
    "LISTEN cannot work with; in pgbouncer set pool_mode = session for it, or name the server in CMG_DATABASE_URL"
)
# The server says that it goes down, comes up, or has no room; the connection may still look open for a moment.
_AWAY = (
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.DiskFullError,
    asyncpg.OutOfMemoryError,
    asyncpg.PostgresConnectionError,
    # A migration ran beside us: the prepared statement is dropped, the next call prepares it anew.
    asyncpg.InvalidCachedStatementError,
    asyncpg.OutdatedSchemaCacheError,
)
_MAYBE_AWAY = (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


class Database:
    """Pools of at most `max_size` connections each to one PostgreSQL, opened as they are needed.

    Every use has a deadline of `timeout_s` seconds that covers the wait for a connection and everything done
    with it; past it, or when the server cannot be reached, `DatabaseAway` is raised and the statement cancelled.
    A server that does not even take that loses the connection a second later.
    A connection goes back without a reset: use only `SET LOCAL` and transaction-scoped advisory locks, and LISTEN
    on a connection from `dedicated()`.
    """

    def __init__(
        self, dsn: str, *, clock: Clock, instruments: Instruments, max_size: int = 10, faults: Faults | None = None
    ) -> None:
        self.dsn = dsn
        self._faults = faults
        self._clock = clock
        self._max_size = max_size
        self._pool: Any = None
        self._planned: Any = None
        self._instruments = instruments
        self._used = [0, 0]  # of each pool
        self._asked = [0, 0]  # those that wait for one too
        self._scarce_until = float("-inf")  # the server had no room for another one
        self._full: tuple[deque[asyncio.Future[None]], ...] = (deque(), deque())  # who waits while the server is full
        self._in_use = instruments.series("cmg_database_connections_in_use")
        self._waiting = instruments.series("cmg_database_connections_waiting")
        self._share = instruments.series("cmg_database_pool_use_ratio")
        self._away = instruments.series("cmg_database_away_total")

    async def open(self) -> None:
        """Make the pool. It connects when it is first used, so this works while the database is away."""
        if self._pool is None:
            self._pool, self._planned = await self._new_pool(self._watch), await self._new_pool(self._keep_plans)

    async def close(self) -> None:
        """Close every connection, waiting a few seconds for those in use."""
        pools = [pool for pool in (self._pool, self._planned) if pool is not None]
        self._pool = self._planned = None
        try:
            async with asyncio.timeout(_CLOSE_S):
                await asyncio.gather(*(pool.close() for pool in pools))
        except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            for pool in pools:
                pool.terminate()

    def pool_use(self) -> tuple[int, int]:
        """Connections of this process that are in use, and how many there may be."""
        pools = [pool for pool in (self._pool, self._planned) if pool is not None]
        return sum(pool.get_size() - pool.get_idle_size() for pool in pools), sum(pool.get_max_size() for pool in pools)

    def spare(self, *, keeps_plans: bool = False) -> bool:
        """Whether who holds a connection may ask for a second one: it is had without waiting for those in use.

        Else all could be held by those who wait for another, as could all that the server has room for.
        """
        return self._asked[keeps_plans] < self._max_size and self._clock.monotonic() >= self._scarce_until

    async def ping(self, timeout_s: float = 2) -> float:
        """Seconds that one round trip took; `DatabaseAway` when there is none."""
        started = self._clock.monotonic()
        await self.fetchval("SELECT 1", timeout_s=timeout_s)
        return self._clock.monotonic() - started

    @asynccontextmanager
    async def connection(self, timeout_s: float = 5, *, keeps_plans: bool = False) -> AsyncIterator[Connection]:
        """A connection without a transaction: each statement commits by itself.

        `keeps_plans`: one that plans a statement once, not for each use. That saves up to a millisecond, and is right
        where a few rows are looked up by indexes, whoever's they are.
        """
        pool = self._planned if keeps_plans else self._pool
        if self._faults is not None and self._faults.on("database_gone"):
            self._away.inc()
            raise DatabaseAway("the database is gone: this is a drill")
        if pool is None:
            raise DatabaseAway("the database is closed; the service is shutting down, try another instance")
        connection: Connection | None = None
        lost = True  # also while there is none yet
        with self._naming_away(lambda: lost):
            deadline = asyncio.timeout(timeout_s)
            try:
                async with deadline, self._acquired(pool, timeout_s) as connection:
                    lost = False
                    try:
                        if self._faults is not None and self._faults.on("database_slow"):
                            await connection.execute(_SLOWLY)
                        yield cast("Connection", connection)
                    except asyncpg.InternalClientError:
                        # The server said goodbye while nobody was looking; the driver only notices at the next use.
                        connection.terminate()
                        raise
                    finally:
                        lost = _is_lost(connection)
            except (TimeoutError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError) as error:
                if not deadline.expired() and not (connection is None and isinstance(error, TimeoutError)):
                    raise  # the caller's own limit, not ours, or a connection that was lost before
                self._away.inc()
                raise DatabaseAway(f"the database did not answer within {timeout_s:g} s; try again") from error

    @asynccontextmanager
    async def _acquired(self, pool: Any, timeout_s: float) -> AsyncIterator[Any]:
        """A connection of the pool, with who waits and who has one counted."""
        self._waiting.inc()
        self._asked[pool is self._planned] += 1
        try:
            try:
                connection = await self._acquire(pool, timeout_s)
            finally:
                self._waiting.inc(-1)
            self._hold(pool, 1)
            # Statements are cancelled and transactions ended without a limit of their own: a frozen server's never.
            silent = asyncio.get_running_loop().call_later(timeout_s + _LEAVE_S, _end, connection)
            back = self._give_back
            try:
                yield connection
            except BaseException:
                back = self._give_back_apart
                raise
            finally:
                self._hold(pool, -1)
                await back(pool, connection, silent)
        finally:
            self._asked[pool is self._planned] -= 1

    async def _give_back(self, pool: Any, connection: Any, silent: asyncio.TimerHandle) -> None:
        """Into the pool, or closed where the server does not answer; then who waits for one may have it."""
        try:
            await pool.release(connection, timeout=_LEAVE_S)
        finally:
            silent.cancel()
            self._wake(pool)

    async def _give_back_apart(self, pool: Any, connection: Any, silent: asyncio.TimerHandle) -> None:
        """The same where it may take a while: what goes wrong is told, also when the caller is cancelled."""
        back = asyncio.ensure_future(self._give_back(pool, connection, silent))
        back.add_done_callback(_seen)
        await asyncio.shield(back)

    async def _acquire(self, pool: Any, timeout_s: float) -> Any:
        """A connection; where the server has no room for another one, who has some waits for one of its own."""
        refused = False
        while True:
            try:
                return await pool.acquire(timeout=timeout_s)
            except asyncpg.TooManyConnectionsError:
                if refused and pool.get_size() == 0:
                    raise
                refused = True  # the first of ours may be opening just now
                self._scarce_until = self._clock.monotonic() + _SCARCE_S
            _open_ones_first(pool)
            if pool.get_idle_size():
                continue
            freed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._full[pool is self._planned].append(freed)
            await asyncio.wait((freed,), timeout=_ROOM_S)
            if not freed.done():
                freed.cancel()

    def _wake(self, pool: Any) -> None:
        """Let the first of those who wait for a connection of ours try again."""
        full = self._full[pool is self._planned]
        while full:
            freed = full.popleft()
            if not freed.done():
                freed.set_result(None)
                return

    def _hold(self, pool: Any, more: int) -> None:
        self._used[pool is self._planned] += more
        self._in_use.inc(more)
        self._share.set(max(self._used) / self._max_size)

    @asynccontextmanager
    async def transaction(self, timeout_s: float = 5) -> AsyncIterator[Connection]:
        """A connection inside a transaction (READ COMMITTED) that commits at the block's end, or rolls back."""
        async with self.connection(timeout_s) as connection, connection.transaction():
            yield connection

    async def fetch(self, sql: str, *args: Any, timeout_s: float = 5) -> list[Any]:
        """All rows of one statement."""
        async with self.connection(timeout_s) as connection:
            return list(await connection.fetch(sql, *args))

    async def fetchrow(self, sql: str, *args: Any, timeout_s: float = 5) -> Any:
        """The first row, or None."""
        async with self.connection(timeout_s) as connection:
            return await connection.fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: Any, timeout_s: float = 5) -> Any:
        """The first column of the first row, or None."""
        async with self.connection(timeout_s) as connection:
            return await connection.fetchval(sql, *args)

    async def execute(self, sql: str, *args: Any, timeout_s: float = 5) -> str:
        """Run one statement; returns its command tag, as `UPDATE 3`."""
        async with self.connection(timeout_s) as connection:
            return str(await connection.execute(sql, *args))

    async def dedicated(self) -> asyncpg.Connection:
        """A connection outside the pool, for LISTEN and the like; the caller closes it."""
        with self._naming_away(lambda: True):
            try:
                return await asyncpg.connect(self.dsn, timeout=_CONNECT_S)
            except TimeoutError as error:
                raise DatabaseAway(f"the database did not answer within {_CONNECT_S:g} s; try again") from error

    async def _new_pool(self, init: Any) -> Any:
        return await asyncpg.create_pool(
            self.dsn,
            min_size=0,
            max_size=self._max_size,
            timeout=_CONNECT_S,
            init=init,
            reset=_end_transaction,
        )

    async def _watch(self, connection: asyncpg.Connection) -> None:
        """Have the statements of a new connection counted, and told to the traces that they belong to."""
        connection.add_query_logger(self._told)

    async def _keep_plans(self, connection: asyncpg.Connection) -> None:
        await connection.execute(_KEEPS_PLANS)
        await self._watch(connection)

    def _told(self, query: Any) -> None:
        self._count(query)
        trace = current()
        if trace is not None:
            now = self._clock.monotonic()
            trace.add("database", now - query.elapsed, now, _named(query))

    def _count(self, query: Any) -> None:
        name, series = name_of(query.query), self._instruments.series
        room = name.split(".", 1)[0] if "." in name else "other"
        series("cmg_database_query_duration_seconds", room).observe(query.elapsed)
        series("cmg_database_queries_total", name).inc()
        series("cmg_database_query_seconds_total", name).inc(query.elapsed)
        if query.elapsed >= SLOW_S:
            series("cmg_database_slow_queries_total", name).inc()
        if query.exception is not None:
            series("cmg_database_query_failures_total", name).inc()

    @contextmanager
    def _naming_away(self, lost: Callable[[], bool]) -> Iterator[None]:
        """Turn driver errors into `DatabaseAway`: always those that say so, others only when the connection is lost."""
        try:
            yield
        except asyncpg.TooManyConnectionsError as error:
            self._away.inc()
            raise DatabaseAway("the database has no room for another connection now; try again in a moment") from error
        except asyncpg.ReadOnlySQLTransactionError as error:  # a standby that is not promoted yet
            self._away.inc()
            raise DatabaseAway("the database is read-only now; try again when it takes writes") from error
        except _AWAY as error:
            self._away.inc()
            raise DatabaseAway("the database is not available now; try again in a moment") from error
        except DatabaseAway:
            raise
        except _MAYBE_AWAY as error:
            if isinstance(error, TimeoutError) or not lost():
                raise
            self._away.inc()
            raise DatabaseAway("the database cannot be reached; try again in a moment") from error


async def connect_once(dsn: str, *, direct: bool = False) -> asyncpg.Connection:
    """A connection for a command, as a migration; `StorageError` says why there is none. The caller closes it.

    Unless `direct`, it is looked at whether a pooler stands between, and what it keeps.
    """
    try:
        sessions = direct or await _keeps_sessions(dsn)
        connection = await asyncpg.connect(dsn, timeout=_COMMAND_CONNECT_S) if sessions else None
    except TimeoutError as error:
        raise DatabaseUnreachable(
            f"the database did not answer within {_COMMAND_CONNECT_S:g} s: is CMG_DATABASE_URL right?"
        ) from error
    except asyncpg.TooManyConnectionsError as error:
        raise DatabaseUnreachable(
            f"the database has no room for another connection: {error}; raise its max_connections "
            "(docs/operations.md says how many there may be)"
        ) from error
    except (OSError, *_AWAY) as error:
        raise DatabaseUnreachable(f"no connection to the database: {error}; is CMG_DATABASE_URL right?") from error
    except (ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise StorageError(f"no connection to the database: {error}; is CMG_DATABASE_URL right?") from error
    if connection is None:
        raise StorageError(_NO_SESSIONS)
    return connection


async def _keeps_sessions(dsn: str) -> bool:
    """False when two connections at a time are seen to be one of the server's, as a pooler by transaction has them."""
    served = set()
    async with AsyncExitStack() as open_ones:
        for _ in range(2):
            try:
                one = await asyncpg.connect(dsn, timeout=_COMMAND_CONNECT_S, statement_cache_size=0)
                open_ones.callback(one.terminate)
                served.add(await one.fetchval("SELECT pg_backend_pid()"))
            except asyncpg.PostgresError as error:
                return "statement pooling" not in str(error)  # else no room for two, which says nothing
    return len(served) == 2


def _open_ones_first(pool: Any) -> None:
    """A place that could not be filled is the next to be tried; one whose connection came back meanwhile lies below."""
    queue = pool._queue  # noqa: SLF001 - the pool has no way of its own to prefer them
    places = sorted((queue.get_nowait() for _ in range(queue.qsize())), key=lambda place: place.is_connected())
    for place in places:
        queue.put_nowait(place)


def _end(connection: Any) -> None:
    with suppress(asyncpg.InterfaceError):  # the pool took it back when it broke
        connection.terminate()


def _seen(back: asyncio.Future[None]) -> None:
    if not back.cancelled():
        back.exception()


def _is_lost(connection: Connection) -> bool:
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:  # the pool took it back when it broke
        return True


def _named(query: Any) -> dict[str, Any]:
    told = {names.QUERY: name_of(query.query)}
    return told if query.exception is None else {**told, names.ERROR_TYPE: type(query.exception).__name__}


async def _end_transaction(connection: asyncpg.Connection) -> None:
    """A connection comes back clean by convention (28 µs, 189 with a full reset); only a cut transaction is ended."""
    if connection.is_in_transaction():
        await connection.execute("ROLLBACK")
