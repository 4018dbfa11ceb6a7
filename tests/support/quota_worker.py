"""What worker processes do in the tests of shared limits; a module of its own so that new processes can import it."""

from pathlib import Path
from typing import Any

from cmg.identity.models import ApiKey
from cmg.kit.clock import SystemClock
from cmg.kit.errors import BudgetExceeded, RateLimited
from cmg.ledger.quota.models import Demand
from cmg.ledger.quota.shared_memory import SharedMemoryQuota
from cmg.telemetry.instruments import Instruments


def step(quota: SharedMemoryQuota, demand: Demand) -> Any:
    """`acquire` without an event loop: it never waits here."""
    try:
        quota.acquire(demand).send(None)  # type: ignore[attr-defined]
    except StopIteration as done:
        return done.value
    raise AssertionError("it waited")


def hammer(path: Path, worker: int, key: ApiKey, calls: int, results: Any) -> None:
    """Make calls of 10 nano-USD and settle them at 7; tell how many passed."""
    quota = SharedMemoryQuota(path, worker, SystemClock(), Instruments())
    demand, passed = Demand(key, "UTC", 1, 10), 0
    for _ in range(calls):
        try:
            grant = step(quota, demand)
        except (RateLimited, BudgetExceeded):
            continue
        passed += 1
        quota.settle(grant, 1, 7)
    results.put(passed)


def hold(path: Path, worker: int, key: ApiKey, held: Any) -> None:
    """Take three calls and never give them back, going on to hammer until killed."""
    quota = SharedMemoryQuota(path, worker, SystemClock(), Instruments())
    demand = Demand(key, "UTC", 1, 10)
    for _ in range(3):
        step(quota, demand)
    held.set()
    while True:
        quota.settle(step(quota, demand), 1, 0)
