"""Keeps the processes of a machine running: starts them, replaces the dead, and stops them in order."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import msgspec

from cmg.app.processes.orders import Orders, encode
from cmg.app.processes.watchdog.beat import TELL
from cmg.app.processes.watchdog.watch import Watch
from cmg.kit.clock import Clock
from cmg.telemetry.logs import get_logger

Kind = Literal["gateway", "backstage", "notes", "embedder"]
_BACKOFF_S = (0.1, 10.0)
_STEADY_S = 30.0  # a child that lived this long begins again at the shortest back-off
_EXTRA_S = 5.0  # beyond the streams' grace: writing what is queued, closing
_TELL_S = 0.5  # for a process that hangs to say where
_LEAVE_S = 0.25  # within it the processes that accept connections have heard that they are to end
_log = get_logger("cmg.app.supervisor")


@dataclass(frozen=True)
class Post:
    """A place that is always filled: the kind of process and the worker's number."""

    kind: Kind
    worker: int = 0

    def command(self) -> list[str]:
        """The child's command line: its kind stands in it for whoever reads the process table."""
        return [sys.executable, "-m", "cmg.app.processes.child", self.kind, str(self.worker)]


class Supervisor:
    """Runs posts until told to stop. `ended` is called after a process died and before it is replaced.

    A process that hangs is killed, so that it is replaced as well.

    `orders` is what the next child is told.
    """

    def __init__(self, orders: Orders, listening: int, ended: Callable[[Post], None], clock: Clock) -> None:
        self.orders, self._listening, self._ended, self._clock = orders, listening, ended, clock
        self._children: dict[Post, asyncio.subprocess.Process] = {}
        self._tasks: dict[Post, asyncio.Task[None]] = {}
        self._stopping = False

    def start(self, posts: list[Post], turn: asyncio.Event | None = None) -> None:
        """Fill these posts from now on. Their processes load what they run at once, and begin when `turn` is set."""
        for post in posts:
            self._tasks[post] = asyncio.create_task(self._fill(post, turn))

    async def stop(self) -> None:
        """Gateways first (their streams finish within the grace), then backstage, which writes what they left."""
        self._stopping = True
        grace = self.orders.settings.shutdown_grace_s + _EXTRA_S
        refusing = asyncio.create_task(self._refuse())
        for kind in ("gateway", "notes", "backstage", "embedder"):
            posts = [post for post in self._tasks if post.kind == kind]
            await asyncio.gather(*(self._end(post, grace) for post in posts))
        await refusing

    async def _refuse(self) -> None:
        """Have new connections refused: as long as one process holds the port, they would wait for nobody."""
        await self._clock.sleep(_LEAVE_S)
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self._listening)) as port:
            port.shutdown(socket.SHUT_RDWR)

    async def _fill(self, post: Post, turn: asyncio.Event | None) -> None:
        backoff = _BACKOFF_S[0]
        while True:
            born = self._clock.monotonic()
            code = await self._run(post, turn)
            if self._stopping:
                return
            self._ended(post)
            if self._clock.monotonic() - born > _STEADY_S:
                backoff = _BACKOFF_S[0]
            _log.error("a process ended and is replaced", kind=post.kind, worker=post.worker, code=code, wait_s=backoff)
            await self._clock.sleep(backoff)
            backoff = min(backoff * 2, _BACKOFF_S[1])

    async def _run(self, post: Post, turn: asyncio.Event | None) -> int:
        with Watch(self._clock) as watch:
            child = await asyncio.create_subprocess_exec(
                *post.command(),
                stdin=asyncio.subprocess.PIPE,
                pass_fds=(self._listening, watch.writing, *self._of_backstage(post)),
                start_new_session=True,  # a Ctrl-C reaches the supervisor alone, which stops the children in order
            )
            self._children[post] = child
            assert child.stdin is not None
            if turn is not None:
                await turn.wait()
            orders = msgspec.structs.replace(
                self.orders, worker=post.worker, listening=self._listening, beat=watch.writing
            )
            with contextlib.suppress(ConnectionError):  # it died at once: its exit code tells
                child.stdin.write(encode(orders))
                await child.stdin.drain()
            watching = asyncio.create_task(self._watch(post, child, watch))
            try:
                return await child.wait()
            finally:
                watching.cancel()

    async def _watch(self, post: Post, child: asyncio.subprocess.Process, watch: Watch) -> None:
        """Kill the child when it hangs. One that is to end has its grace, and is killed by whoever told it."""
        wrong = await watch.hangs(child.pid)
        if self._stopping:
            return
        silent_s = watch.silence.silent_s
        _log.error("a process hangs and is killed", kind=post.kind, worker=post.worker, reason=wrong, silent_s=silent_s)
        with contextlib.suppress(ProcessLookupError):
            if not watch.silence.stopped_s:
                child.send_signal(TELL)
                await self._clock.sleep(_TELL_S)
            child.kill()

    def _of_backstage(self, post: Post) -> tuple[int, ...]:
        """The console's socket and the pipe of the reports are backstage's alone."""
        if post.kind != "backstage":
            return ()
        return tuple(one for one in (self.orders.console, self.orders.report) if one >= 0)

    async def _end(self, post: Post, grace_s: float) -> None:
        child = self._children.get(post)
        if child is not None and child.returncode is None:
            child.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(child.wait(), grace_s)
            except TimeoutError:
                _log.error("a process did not stop in time and is killed", kind=post.kind, worker=post.worker)
                child.kill()
                await child.wait()
        self._tasks.pop(post).cancel()
