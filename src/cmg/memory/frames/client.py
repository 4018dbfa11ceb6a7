"""The asking end: one connection for everything, made when needed, again after it broke."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import msgspec

from cmg.memory.frames.connection import FrameConnection

WAITING = 1024  # requests of one process without an answer
PAUSE_S = 1.0  # after a failed attempt to connect nobody tries for so long
_CONNECT_S = 1.0


class AskFailed(Exception):
    """There is no answer; the message says why. `lost`: the request may have been the reason that the process died."""

    def __init__(self, message: str, *, lost: bool = False) -> None:
        super().__init__(message)
        self.lost = lost


class Numbered(Protocol):
    """An answer names the request that it answers."""

    @property
    def number(self) -> int:
        """The request's number."""
        ...


Answer = TypeVar("Answer", bound=Numbered)


class FrameClient(Generic[Answer]):
    """Asks the process `name` on its unix socket. Stays in the loop in which it was made."""

    def __init__(self, path: Path, name: str, decode: Callable[[bytes], Answer]) -> None:
        self._path, self._name, self._decode = path, name, decode
        self._loop = asyncio.get_running_loop()
        self._connection: FrameConnection | None = None
        self._connecting = asyncio.Lock()
        self._paused_until = 0.0
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._number = 0

    async def ask(self, request: Callable[[int, float], bytes], timeout_s: float) -> Answer:
        """The answer to one request, which is made from its number and its deadline. Raises `AskFailed`."""
        until = self._loop.time() + timeout_s
        try:
            async with asyncio.timeout_at(until):
                connection = self._connection
                if connection is None or not connection.open:
                    connection = await self._connected()
                if len(self._waiting) >= WAITING:
                    raise AskFailed(f"too many questions wait for the {self._name}")
                self._number += 1
                number = self._number
                self._waiting[number] = future = self._loop.create_future()
                try:
                    connection.send(request(number, until))
                    answer: Answer = await future
                    return answer
                finally:
                    self._waiting.pop(number, None)
        except TimeoutError as error:
            raise AskFailed(f"the {self._name} did not answer within {timeout_s:g} s") from error

    async def connect(self, timeout_s: float) -> None:
        """Have a connection, whether or not it is needed now. Raises `AskFailed`."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._connected()
        except TimeoutError as error:
            raise AskFailed(f"the {self._name} did not answer within {timeout_s:g} s") from error

    def close(self) -> None:
        """Cut the connection."""
        if self._connection is not None:
            self._connection.cut()

    async def _connected(self) -> FrameConnection:
        async with self._connecting:
            if self._connection is not None and self._connection.open:
                return self._connection
            if self._loop.time() < self._paused_until:
                raise AskFailed(f"the {self._name} cannot be reached")
            try:
                async with asyncio.timeout(_CONNECT_S):
                    _, self._connection = await self._loop.create_unix_connection(
                        lambda: FrameConnection(self._received, self._ended), str(self._path)
                    )
            except (OSError, TimeoutError) as error:
                self._paused_until = self._loop.time() + PAUSE_S
                raise AskFailed(f"the {self._name} cannot be reached: {error}") from error
            return self._connection

    def _received(self, connection: FrameConnection, frame: bytes) -> None:
        try:
            answer = self._decode(frame)
        except msgspec.MsgspecError:
            connection.cut()
            return
        future = self._waiting.get(answer.number)
        if future is not None and not future.done():
            future.set_result(answer)

    def _ended(self, _connection: FrameConnection) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(AskFailed(f"the {self._name}'s connection broke", lost=True))
