"""The connection to Redis: scripts with a short deadline, and a breaker in front so that its absence costs nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError

from cmg.kit.clock import Clock
from cmg.ledger.quota.cluster import scripts

TIMEOUT_S = 0.25
SLICES = 5  # the loop must have come round so often within the deadline
CONNECT_TIMEOUT_S = 5.0  # the client library's own; it knows nothing of a loop that was held up
RETRY_AFTER_S = 1.0
CONNECTIONS = 128

Command = tuple[str, Sequence[str], Sequence[str | int]]  # script, keys, arguments


class RedisAway(Exception):
    """Redis did not answer in time, or with an error, or the breaker is open.

    `sent`: what was asked may have been done all the same. `refused`: Redis did answer, with an error.
    """

    def __init__(self, message: str, *, sent: bool = True, refused: bool = False) -> None:
        super().__init__(message)
        self.sent, self.refused = sent, refused


@contextlib.asynccontextmanager
async def running_timeout(seconds: float) -> AsyncIterator[None]:
    """Raise `TimeoutError` when the body takes longer, counting only time in which this event loop was running.

    A loop that was held up finds an answer and the deadline at once, and would blame Redis for its own delay. So the
    deadline has slices: a delay of any length uses up one, and after it the answer gets the others.
    """
    loop = asyncio.get_running_loop()
    timers: list[asyncio.TimerHandle] = []

    def tick(left: int) -> None:
        if left:
            timers[0] = loop.call_later(seconds / SLICES, tick, left - 1)
        else:
            limit.reschedule(loop.time())

    timers.append(loop.call_later(seconds / SLICES, tick, SLICES - 1))
    try:
        async with asyncio.timeout(None) as limit:
            yield
    finally:
        timers[0].cancel()


class RedisLink:
    """Runs scripts. After a failure nothing is asked for a second; then one request at a time probes."""

    def __init__(self, url: str, clock: Clock) -> None:
        self._pool: Any = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=CONNECT_TIMEOUT_S,
            # With one, each send is a `wait_for`, which in Python 3.11 may swallow the cancellation of our deadline.
            socket_timeout=None,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )
        self._redis: Any = Redis(connection_pool=self._pool)
        self._clock = clock
        self._shas: dict[str, str] = {}
        self._retry_at = 0.0
        self.losses = 0  # how often it was lost

    @property
    def away(self) -> bool:
        """True from a failure until a request has succeeded again."""
        return self._retry_at > 0

    async def run(self, script: str, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        """Run one script. Raises `RedisAway`."""
        return (await self.run_all([(script, keys, args)]))[0]

    async def run_all(self, commands: Sequence[Command]) -> list[Any]:
        """Run scripts in one round trip, in order; all of them may have run when `RedisAway` is raised."""
        now = self._clock.monotonic()
        if self._retry_at:
            if now < self._retry_at:
                raise RedisAway("the breaker is open", sent=False)
            self._retry_at = now + RETRY_AFTER_S  # this request is the probe
        try:
            async with running_timeout(TIMEOUT_S):
                answers = await self._send(commands)
        except (RedisError, OSError, TimeoutError) as error:
            self._retry_at = self._clock.monotonic() + RETRY_AFTER_S
            self.losses += 1
            # The idle connections are most likely dead too; each would fail a call when Redis is back.
            with contextlib.suppress(RedisError, OSError):
                await self._pool.disconnect(inuse_connections=False)
            raise RedisAway(repr(error), refused=isinstance(error, ResponseError)) from error
        self._retry_at = 0.0
        return answers

    async def close(self) -> None:
        """Close every connection."""
        await self._redis.aclose(close_connection_pool=True)

    async def _send(self, commands: Sequence[Command]) -> list[Any]:
        if len(self._shas) < len(_ALL):
            await self._load()
        try:
            return await self._evaluate(commands)
        except NoScriptError:  # Redis was started anew; the first command of the batch failed, so none has run
            await self._load()
            return await self._evaluate(commands)

    async def _evaluate(self, commands: Sequence[Command]) -> list[Any]:
        if len(commands) == 1:
            script, keys, args = commands[0]
            return [await self._redis.evalsha(self._shas[script], len(keys), *keys, *args)]
        pipe = self._redis.pipeline(transaction=False)
        for script, keys, args in commands:
            pipe.evalsha(self._shas[script], len(keys), *keys, *args)
        answers: list[Any] = await pipe.execute()
        return answers

    async def _load(self) -> None:
        pipe = self._redis.pipeline(transaction=False)
        for script in _ALL:
            pipe.script_load(script)
        self._shas = dict(zip(_ALL, await pipe.execute(), strict=True))


_ALL = (
    scripts.ACQUIRE,
    scripts.ADOPT,
    scripts.SETTLE,
    scripts.GIVE_BACK,
    scripts.WANTED,
    scripts.BEGIN_SEEDING,
    scripts.ADD_SEED,
    scripts.UNSEED,
    scripts.RENEW,
    scripts.ALIVE,
)
