"""The supervisor's side: whether a process hangs, by its silence and by what it does meanwhile."""

import os
from dataclasses import dataclass, field
from typing import Self

import psutil

from cmg.kit.clock import Clock

LOOK_S = 1.0
STOPPED_S = 20.0  # less than `IDLE_S`: whoever waits for a lock that a stopped process holds is not what hangs
IDLE_S = 30.0
SILENT_S = 180.0
_WAITS = frozenset({psutil.STATUS_SLEEPING, psutil.STATUS_IDLE})
_HANDS_OFF = frozenset({psutil.STATUS_TRACING_STOP, psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD})


@dataclass(frozen=True)
class Doing:
    """What a process does: its state in `psutil`'s words, and the CPU time that it has had."""

    state: str
    cpu_s: float


def doing(pid: int) -> Doing | None:
    """What the kernel says; None when the process has gone."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            spent = process.cpu_times()
            return Doing(process.status(), spent.user + spent.system)
    except psutil.Error:
        return None


@dataclass
class Silence:
    """For how long a process was silent, and how much of that it was stopped or did nothing at all.

    Time is counted in looks, not by a clock: while this process itself had no turn, as on a machine that slept or is
    loaded beyond measure, nobody can say that others were silent.
    """

    began: bool = False  # it has said a word
    silent_s: float = 0.0
    stopped_s: float = 0.0
    idle_s: float = 0.0
    _cpu_s: float = field(default=-1.0)

    def look(self, *, heard: bool, found: Doing | None) -> str | None:
        """Take note of a second; returns what is wrong when the process hangs.

        One that computes, waits for a disk, or gets no processor is let alone for long, one that is still loading for
        ever, and one that somebody looks at with a debugger too.
        """
        if heard or found is None or found.state in _HANDS_OFF:
            self.began = self.began or heard
            self.silent_s = self.stopped_s = self.idle_s = 0.0
            self._cpu_s = -1.0
            return None
        self.silent_s += LOOK_S
        self.stopped_s = self.stopped_s + LOOK_S if found.state == psutil.STATUS_STOPPED else 0.0
        if found.state in _WAITS and found.cpu_s == self._cpu_s:
            self.idle_s += LOOK_S
        self._cpu_s = found.cpu_s
        if self.stopped_s >= STOPPED_S:
            return "it is stopped (SIGSTOP)"
        if self.idle_s >= IDLE_S:
            return "it waits for something and does nothing"
        if self.began and self.silent_s >= SILENT_S:
            return "it is busy and answers nobody"
        return None


class Watch:
    """Listens to one process. `writing` is the end of the pipe that it gets."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._reading, self.writing = os.pipe()
        os.set_blocking(self._reading, False)
        self.silence = Silence()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._reading)
        os.close(self.writing)

    async def hangs(self, pid: int) -> str:
        """Returns when the process hangs, with what is wrong."""
        while True:
            await self._clock.sleep(LOOK_S)
            heard = self._heard()
            wrong = self.silence.look(heard=heard, found=None if heard else doing(pid))
            if wrong is not None:
                return wrong

    def _heard(self) -> bool:
        try:
            return bool(os.read(self._reading, 2**16))
        except BlockingIOError:
            return False
