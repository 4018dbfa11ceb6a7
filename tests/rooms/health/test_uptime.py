"""Uptime from the history: levels hold until the next change, and time in which nobody looked counts neither way."""

from datetime import timedelta

import pytest

from cmg.health.models import Transition
from cmg.health.store import HealthStore
from cmg.health.uptime import UptimeReports, spent
from cmg.kit.ids import uuid7_hex
from cmg.storage.database import Database
from support.manual_clock import ManualClock


def moved(at: float, after: str, machine: str = "one", component: str = "service") -> Transition:
    """A change of a level."""
    return Transition(id=uuid7_hex(), at=at, machine=machine, component=component, before="", after=after)


def test_a_level_holds_until_the_next_one_and_the_last_until_now() -> None:
    found = spent([moved(0, "HEALTHY"), moved(60, "UNHEALTHY"), moved(70, "DEGRADED")], {"one": 95}, 10, 100)
    assert found == {"HEALTHY": 50, "UNHEALTHY": 10, "DEGRADED": 30}


def test_time_in_which_nobody_looked_counts_neither_way() -> None:
    found = spent([moved(0, "HEALTHY"), moved(50, "UNKNOWN"), moved(80, "CRITICAL")], {"one": 100}, 0, 100)
    assert found == {"HEALTHY": 50, "CRITICAL": 20}


def test_a_machine_that_is_not_heard_of_any_more_ends_with_its_last_word() -> None:
    assert spent([moved(0, "HEALTHY")], {"one": 40}, 0, 10_000) == {"HEALTHY": 40}
    assert spent([moved(0, "HEALTHY")], {}, 0, 10_000) == {}


def test_machines_add_up() -> None:
    found = spent([moved(0, "HEALTHY"), moved(10, "UNHEALTHY", "two")], {"one": 100, "two": 100}, 0, 100)
    assert found == {"HEALTHY": 100, "UNHEALTHY": 90}


async def test_a_report_is_read_from_the_database(database: Database, clock: ManualClock) -> None:
    store, reports = HealthStore(database), UptimeReports(HealthStore(database), clock)
    assert (await reports.of("service", 7)).ratio is None
    day = timedelta(days=1).total_seconds()
    now = clock.time()
    changes = [
        moved(now - 40 * day, "UNHEALTHY"),
        moved(now - 30 * day, "HEALTHY"),
        moved(now - 2 * day, "UNHEALTHY"),
        moved(now - 1 * day, "DEGRADED"),
        moved(now - 1 * day, "CRITICAL", component="disk"),
    ]
    await store.add(changes)
    await store.beat("one", clock.now())
    week = await reports.of("service", 7)
    assert week.seconds == pytest.approx({"HEALTHY": 5 * day, "UNHEALTHY": day, "DEGRADED": day})
    assert week.ratio == pytest.approx(6 / 7)
    assert (await reports.of("service", 1)).ratio == 1
    assert (await reports.of("disk", 90)).seconds == pytest.approx({"CRITICAL": day})
