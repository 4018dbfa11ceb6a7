"""Load for crash tests: clients at once, each call with a user and a thread of its own; what was acknowledged."""

import asyncio
import time
from dataclasses import dataclass, field

import aiohttp

from support.api import Api
from support.service import Service


@dataclass
class Told:
    """What the clients saw. A call is acknowledged when its answer came whole; `acknowledged` holds its request id."""

    acknowledged: dict[str, str] = field(default_factory=dict)  # request id → thread id
    refused: int = 0
    broken: int = 0
    longest_gap_s: float = 0.0
    last_good: float = field(default_factory=time.monotonic)

    def good(self, request_id: str, thread: str) -> None:
        """Count an acknowledged call and the time since the last one."""
        now = time.monotonic()
        self.longest_gap_s = max(self.longest_gap_s, now - self.last_good)
        self.last_good = now
        self.acknowledged[request_id] = thread

    def __str__(self) -> str:
        return (
            f"{len(self.acknowledged)} acknowledged, {self.refused} refused, {self.broken} broken, "
            f"longest gap {self.longest_gap_s:.2f} s"
        )


class Load:
    """`clients` loops of calls on one service. `start`, do the damage, `stop`, then compare `told` with the tables."""

    def __init__(self, service: Service, model: str, clients: int = 6) -> None:
        self.service, self.model, self.clients = service, model, clients
        self.told = Told()
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, calls: int = 20) -> None:
        """Begin, and return when `calls` calls were acknowledged."""
        self.told.last_good = time.monotonic()
        self._tasks = [asyncio.create_task(self._loop(number)) for number in range(self.clients)]
        await self.more(calls)

    async def more(self, calls: int, timeout_s: float = 30.0) -> float:
        """Wait until `calls` further calls were acknowledged; returns the seconds it took."""
        wanted, started = len(self.told.acknowledged) + calls, time.monotonic()
        while len(self.told.acknowledged) < wanted:
            if time.monotonic() - started > timeout_s:
                raise AssertionError(
                    f"no {calls} further calls within {timeout_s} s: {self.told}\n{self.service.tail()}"
                )
            await asyncio.sleep(0.02)
        return time.monotonic() - started

    async def stop(self) -> Told:
        """Let every client finish its call."""
        self._stopping = True
        await asyncio.gather(*self._tasks)
        return self.told

    async def _loop(self, number: int) -> None:
        async with Api(self.service.url, self.service.key) as api:
            turn = 0
            while not self._stopping:
                turn += 1
                try:
                    await self._call(api, f"load-{number}-{turn}", stream=turn % 3 == 0)
                except (aiohttp.ClientError, TimeoutError, OSError):
                    self.told.broken += 1
                    await asyncio.sleep(0.05)

    async def _call(self, api: Api, thread: str, *, stream: bool) -> None:
        fields = {"user": thread, "thread_id": thread}
        text = f"I said {thread} to the service"
        if stream:
            streamed = await api.stream(self.model, text, **fields)
            whole, headers, status = streamed.done and streamed.broken is None, streamed.headers, streamed.status
        else:
            answer = await api.chat(self.model, text, **fields)
            whole, headers, status = answer.status == 200, answer.headers, answer.status
        if whole:
            self.told.good(headers["x-cmg-request-id"], thread)
        elif status != 200:
            self.told.refused += 1
            await asyncio.sleep(0.05)
        else:
            self.told.broken += 1
