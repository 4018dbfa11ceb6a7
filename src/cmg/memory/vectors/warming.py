"""After a start of the database's server: what will probably be asked for is read before it is."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from cmg.kit.clock import Clock
from cmg.memory.vectors.store import Expected, VectorStore
from cmg.storage.errors import DatabaseAway
from cmg.telemetry.logs import get_logger

_JUST = timedelta(minutes=10)  # a server that started before has what it is asked for
_SHARE = 0.5  # of its memory: the rest is for what is written, and for those whom nobody expects
_STEP_TURNS = 5000  # some 30 ms where the files are in the system's memory
_IN_ALL_S = 300.0
_log = get_logger("cmg.memory.vectors")


class Warming:
    """Reads turns and vectors of the users who said something last: a user's first question else does, page by page.

    In a workspace of a million turns, the server just started, a call with the local embedder took 14 ms longer than
    one without memory; after this, which takes half a core for up to 15 s, 10.
    """

    def __init__(self, store: VectorStore, clock: Clock) -> None:
        self._store, self._clock = store, clock

    async def run(self) -> None:
        """Read once; then there is nothing more to be done, and this waits."""
        try:
            async with asyncio.timeout(_IN_ALL_S):
                await self.read()
        except (DatabaseAway, TimeoutError) as error:
            _log.info("not all was read before it is asked for", error=str(error) or "it took too long")
        await asyncio.Event().wait()

    async def read(self) -> int:
        """How many users were read: none where the server did not start just now. Raises `DatabaseAway`."""
        done = 0
        for users in steps(await self._store.expected(self._clock.now() - _JUST, _SHARE)):
            started = self._clock.monotonic()
            await self._store.read(users)
            done += len(users)
            await asyncio.sleep(self._clock.monotonic() - started)  # others want the server too
        if done:
            _log.info("what was said last was read before it is asked for", users=done)
        return done


def steps(users: Sequence[Expected]) -> list[list[int]]:
    """The users' numbers in their order, of so many turns together that reading them is short."""
    found: list[list[int]] = []
    held = _STEP_TURNS
    for user in users:
        if held >= _STEP_TURNS:
            found.append([])
            held = 0
        found[-1].append(user.user_no)
        held += user.turns
    return found
