"""Notices that the client went away while its answer is still being made."""

import asyncio
from collections.abc import Awaitable
from types import TracebackType
from typing import Self

from cmg.kit.asgi import ClientGone, Message, Request, Send

_PATIENCE_S = 0.25  # many answers are there before: watching costs a task, and wakes a process that would sleep


class ClientWatch:
    """A context: when the client closes its connection, the body is cancelled and `ClientGone` raised instead.

    Answer through `send`: once the last byte is out, a server says "disconnect" to whoever still listens.
    """

    __slots__ = ("_answered", "_gone", "_receive", "_send", "_task", "_timer", "_watching")

    def __init__(self, request: Request, send: Send) -> None:
        self._receive, self._send = request.receive, send
        self._gone = self._answered = False
        self._watching: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None
        self._task: asyncio.Task[None] = task
        self._timer = loop.call_later(_PATIENCE_S, self._start)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._watching is not None:
            self._watching.cancel()
        if self._gone and kind is not None and issubclass(kind, asyncio.CancelledError) and not self._task.uncancel():
            raise ClientGone

    @property
    def gone(self) -> bool:
        """Whether the client went away before its answer was whole."""
        return self._gone

    def send(self, message: Message) -> Awaitable[None]:
        """Send a part of the answer."""
        if not message.get("more_body", False) and message["type"] == "http.response.body":
            self._answered = True
        return self._send(message)

    def _start(self) -> None:
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self._answered:
            self._gone = True
            self._task.cancel()
