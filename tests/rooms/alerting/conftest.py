"""Alerting on a real database, on the test's own clock."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from cmg.alerting.alerts import Alerts
from cmg.alerting.delivery.pager import Pager
from cmg.alerting.delivery.sender import Sender
from cmg.alerting.desk import Desk
from cmg.alerting.feedback.judging import Feedback
from cmg.alerting.setup.configuring import Configuring
from cmg.audit.trail import AuditTrail
from cmg.identity.models import Actor
from cmg.storage.database import Database
from cmg.storage.sealing.sealer import Sealer
from cmg.telemetry.instruments import Instruments
from support.alerting_world import document, tiers
from support.fake_receivers import Receivers, receiving
from support.manual_clock import ManualClock


@pytest.fixture
def audit(database: Database, clock: ManualClock) -> AuditTrail:
    return AuditTrail(database, clock)


@pytest.fixture
def desk(database: Database, audit: AuditTrail, clock: ManualClock) -> Desk:
    return Desk(database, audit, clock)


@pytest.fixture
def alerts(desk: Desk, database: Database, clock: ManualClock) -> Alerts:
    return Alerts(desk, database, clock)


@pytest.fixture
def sealer() -> Sealer:
    return Sealer(lambda: ["a master key of the tests"])


@pytest.fixture
def configuring(database: Database, audit: AuditTrail, clock: ManualClock, sealer: Sealer) -> Configuring:
    return Configuring(database, audit, clock, sealer)


@pytest.fixture
def feedback(
    alerts: Alerts, database: Database, audit: AuditTrail, clock: ManualClock, instruments: Instruments
) -> Feedback:
    return Feedback(alerts, database, audit, clock, instruments)


@pytest.fixture
def admin() -> Actor:
    return Actor("key:me", frozenset({"admin"}), "default", "127.0.0.1", "me")


@pytest.fixture
async def configured(configuring: Configuring, admin: Actor) -> Configuring:
    """The four tiers of the scripts, written through the use case."""
    for kind, named in tiers().items():
        for name, body in named.items():
            await configuring.put(admin, kind, name, document(kind, body))
    return configuring


@pytest.fixture
async def receivers() -> AsyncIterator[Receivers]:
    async with receiving() as made:
        yield made


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as made:
        yield made


@pytest.fixture
def monitor(database, audit, clock, instruments, sealer, session):
    """Makes a monitor: a desk, a sender and a pager of its own, as a process would have."""

    def made(name: str) -> Pager:
        desk = Desk(database, audit, clock)
        return Pager(desk, Sender(desk, sealer, clock, instruments, lambda: session), clock, instruments, name)

    return made
