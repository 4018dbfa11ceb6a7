"""The job that holds the queue up in a drill."""

from typing import Any

from cmg.jobs.queue import Jobs
from cmg.kit.clock import Clock
from cmg.telemetry.faults import Faults

WAITING_JOB = "drill.wait"
_LOOK_S = 0.5
_LONGEST_S = 3600.0


def add_waiting_job(jobs: Jobs, faults: Faults, clock: Clock) -> None:
    """A job that takes a worker for as long as the fault is on."""

    async def wait(_: Any) -> None:
        while faults.on("jobs_stopped"):
            await clock.sleep(_LOOK_S)

    jobs.register(WAITING_JOB, wait, timeout_s=_LONGEST_S)
