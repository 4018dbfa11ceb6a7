"""Several processes on one file: limits are exact over all of them, and a killed one leaves nothing behind."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cmg.identity.models import ApiKey, Budget, Limits
from cmg.kit.clock import SystemClock
from cmg.ledger.quota.admission import ACTIVE, RESERVED, SPENT
from cmg.ledger.quota.models import Demand
from cmg.ledger.quota.shared_memory import SharedMemoryQuota, release_worker
from cmg.ledger.quota.table import Table
from cmg.ledger.quota.terms import digest_of
from cmg.telemetry.instruments import Instruments
from support.quota_worker import hammer, hold, step

SPAWN = multiprocessing.get_context("spawn")
BUDGET = 1_000_000


def _key(**limits: int) -> ApiKey:
    return ApiKey(
        id="k", workspace_id="w", name="n", limits=Limits(**limits), budget=Budget(period="day", usd_nano=BUDGET)
    )


def _run(target: Callable[..., None], count: int, *args: Any) -> list[int]:
    results: Any = SPAWN.Queue()
    processes = [SPAWN.Process(target=target, args=(args[0], worker, *args[1:], results)) for worker in range(count)]
    for process in processes:
        process.start()
    found = [results.get(timeout=30) for _ in processes]
    for process in processes:
        process.join(30)
        assert process.exitcode == 0
    return found


def _row(path: Path) -> list[int]:
    table = Table(path)
    offset = table.find(digest_of("k"))
    assert offset is not None
    row: list[int] = table.words[offset : table.offset(1)].tolist()
    table.close()
    return row


def test_grants_of_all_processes_add_up_exactly(path: Path) -> None:
    passed = _run(hammer, 4, path, _key(rph=1500), 1000)
    row = _row(path)
    assert 1500 <= sum(passed) <= 1510, "1,500 at once and what flowed in meanwhile, one in 2.4 s"
    assert row[SPENT] == 7 * sum(passed)
    assert row[ACTIVE] == row[RESERVED] == 0
    assert not any(row[24:])


def test_concurrency_is_never_passed(path: Path) -> None:
    passed = _run(hammer, 3, path, _key(concurrency=1), 2000)
    assert sum(passed) > 0, "who gets through is up to the kernel"
    assert _row(path)[ACTIVE] == 0


@pytest.mark.parametrize("released_by", ["successor", "supervisor"])
def test_a_killed_worker_gives_back_what_it_held(path: Path, released_by: str) -> None:
    key, held = _key(concurrency=10), SPAWN.Event()
    process = SPAWN.Process(target=hold, args=(path, 3, key, held))
    process.start()
    assert held.wait(20)
    time.sleep(0.05)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(30)
    assert _row(path)[ACTIVE] >= 3
    if released_by == "supervisor":
        assert release_worker(path, 3) >= 3
    else:
        SharedMemoryQuota(path, 3, SystemClock(), Instruments())._table.close()
    row = _row(path)
    assert row[ACTIVE] == row[RESERVED] == 0


def test_releasing_one_worker_leaves_the_others(path: Path) -> None:
    quotas = [SharedMemoryQuota(path, worker, SystemClock(), Instruments()) for worker in range(2)]
    demand = Demand(_key(concurrency=10), "UTC", 1, 10)
    grants = [step(quota, demand) for quota in (*quotas, *quotas)]
    assert release_worker(path, 0) == 2
    assert _row(path)[ACTIVE] == 2
    assert _row(path)[RESERVED] == 20
    for grant, quota in zip(grants, (*quotas, *quotas), strict=True):
        quota.settle(grant, 1, 5)  # also those of a worker that was taken for dead
    row = _row(path)
    assert (row[ACTIVE], row[RESERVED], row[SPENT]) == (0, 0, 20)


def test_a_process_killed_at_any_moment_leaves_the_row_to_others(path: Path) -> None:
    key = _key()
    for attempt in range(5):
        held = SPAWN.Event()
        process = SPAWN.Process(target=hold, args=(path, 1, key, held))
        process.start()
        assert held.wait(20)
        time.sleep(0.003 * attempt)
        process.kill()
        process.join(30)
        quota = SharedMemoryQuota(path, 1, SystemClock(), Instruments())
        grant = step(quota, Demand(key, "UTC", 1, 10))
        quota.settle(grant, 1, 0)
        quota._table.close()
    row = _row(path)
    assert row[ACTIVE] == row[RESERVED] == row[SPENT] == 0
