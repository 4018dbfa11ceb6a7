"""The parts of identity on a real database, on the test's own clock."""

import pytest

from cmg.audit.trail import AuditTrail
from cmg.identity.authenticator import Authenticator
from cmg.identity.keys import Keys
from cmg.identity.models import Actor
from cmg.identity.snapshot import SnapshotFeed
from cmg.identity.workspaces import Workspaces
from cmg.storage.changes import ChangeFeed
from cmg.storage.database import Database
from cmg.telemetry.instruments import Instruments
from support.manual_clock import ManualClock


@pytest.fixture
def audit(database: Database, clock: ManualClock) -> AuditTrail:
    return AuditTrail(database, clock)


@pytest.fixture
def keys(database: Database, audit: AuditTrail, clock: ManualClock) -> Keys:
    return Keys(database, audit, clock)


@pytest.fixture
def workspaces(database: Database, audit: AuditTrail, clock: ManualClock) -> Workspaces:
    return Workspaces(database, audit, clock)


@pytest.fixture
async def changes(database: Database, clock: ManualClock) -> ChangeFeed:
    """A feed that looks only when the test says so."""
    return ChangeFeed(database, clock)


@pytest.fixture
async def feed(database: Database, changes: ChangeFeed, clock: ManualClock, instruments: Instruments) -> SnapshotFeed:
    """A loaded snapshot."""
    made = SnapshotFeed(database, changes, clock, instruments)
    await changes.mark()
    await made.load()
    return made


@pytest.fixture
def door(feed: SnapshotFeed, clock: ManualClock, instruments: Instruments) -> Authenticator:
    return Authenticator(feed, clock, instruments)


@pytest.fixture
def root() -> Actor:
    """Everything, everywhere."""
    return Actor("key:root", frozenset({"admin:all"}), "default", "127.0.0.1", "root")


@pytest.fixture
def admin() -> Actor:
    """The administrator of the workspace `default`."""
    return Actor("key:adm", frozenset({"admin"}), "default", "127.0.0.1", "adm")
