"""The service's side of a drill: what its processes ask, and what dies and waits because of it."""

import os
import signal

from cmg.app.processes.orders import Orders
from cmg.kit.clock import Clock
from cmg.telemetry.faults import Faults
from cmg.telemetry.logs import get_logger

_LOOK_S = 0.5
_log = get_logger("cmg.app.drills")


def faults_of(orders: Orders, clock: Clock) -> Faults | None:
    """What a process asks; None where the settings allow no drills: then nothing can be made to fail."""
    return Faults(orders.faults_file, clock) if orders.settings.drills.enabled else None


async def die_when_told(faults: Faults, clock: Clock) -> None:
    """Kill this process as `kill -9` does, once for each fault."""
    while not faults.news("monitor_dies"):
        await clock.sleep(_LOOK_S)
    _log.warning("this process dies: this is a drill")
    os.kill(os.getpid(), signal.SIGKILL)
