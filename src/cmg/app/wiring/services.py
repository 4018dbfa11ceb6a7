"""The use cases of the control plane, and the database that they stand on."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from cmg.alerting.alerts import Alerts
from cmg.alerting.answering.replies import Replies
from cmg.alerting.calendar.feeds import Feeds
from cmg.alerting.desk import Desk
from cmg.alerting.feedback.judging import Feedback
from cmg.alerting.setup.configuring import Configuring
from cmg.app.alerting.paging import build_replies, build_sealer
from cmg.app.incidents.building import build_room
from cmg.app.logbook.building import Logbook, build_logbook
from cmg.app.memory.control import MemoryControl, build_control
from cmg.app.people.building import Ground, People, build_people
from cmg.app.wiring.basics import basics_of, basics_on
from cmg.app.wiring.groundwork import policies_of
from cmg.app.wiring.place import database_place
from cmg.audit.trail import AuditTrail
from cmg.config import Settings
from cmg.identity.keys import Keys
from cmg.identity.snapshot import SnapshotFeed
from cmg.identity.workspaces import Workspaces
from cmg.incidents.routes import Room
from cmg.kit.clock import Clock, SystemClock
from cmg.ledger.figures.workspaces import WorkspaceFigures
from cmg.ledger.reports.budgets import Budgets
from cmg.ledger.reports.calls import Calls
from cmg.ledger.reports.usage_reports import UsageReports
from cmg.memory.effect.report import EffectReports
from cmg.memory.policies import Policies
from cmg.storage.database import Database
from cmg.telemetry.instruments import Instruments
from cmg.traces.reading import TraceReader


@dataclass(frozen=True)
class Services:
    """The use cases of the control plane, for backstage and the command line."""

    settings: Settings
    dsn: str
    database: Database
    audit: AuditTrail
    keys: Keys
    workspaces: Workspaces
    people: People
    usage: UsageReports
    calls: Calls
    budgets: Budgets
    policies: Policies
    traces: TraceReader
    control: MemoryControl
    effect: EffectReports
    desk: Desk
    alerts: Alerts
    configuring: Configuring
    feedback: Feedback
    figures: WorkspaceFigures
    feeds: Feeds
    replies: Replies
    logbook: Logbook
    incidents: Room


def services_of(
    settings: Settings, dsn: str, database: Database, feed: SnapshotFeed, clock: Clock, instruments: Instruments
) -> Services:
    """The use cases on a database, with the keys of a feed."""
    basics = basics_of(settings, dsn, database, feed, clock, instruments)
    audit, policies, sealer = basics.audit, policies_of(settings, feed), build_sealer(settings)
    ground = Ground(settings, database, audit, lambda: feed.current.workspaces, clock, instruments, sealer)
    desk = Desk(database, audit, clock)
    alerts = Alerts(desk, database, clock)
    return Services(
        settings=settings,
        dsn=dsn,
        database=database,
        audit=audit,
        keys=basics.keys,
        workspaces=basics.workspaces,
        people=build_people(ground),
        usage=basics.usage,
        calls=Calls(database, lambda: feed.current.workspaces, clock),
        budgets=Budgets(database, lambda: feed.current, clock),
        policies=policies,
        control=build_control(settings, database, policies, clock),
        traces=basics.traces,
        effect=EffectReports(database, lambda: feed.current.workspaces, clock),
        desk=desk,
        alerts=alerts,
        feeds=Feeds(alerts, database, audit, clock),
        feedback=Feedback(alerts, database, audit, clock, instruments),
        replies=build_replies(settings, alerts, instruments),
        logbook=build_logbook(settings, database, audit, clock, instruments),
        incidents=build_room(settings, database, audit, clock, sealer),
        configuring=Configuring(database, audit, clock, sealer),
        figures=WorkspaceFigures(database, lambda: feed.current, clock),
    )


@contextlib.asynccontextmanager
async def services_on(settings: Settings, dsn: str, *, stored: bool = False) -> AsyncIterator[Services]:
    """The use cases on a database that is migrated first; `stored` refuses an empty one. Raises `StorageError`."""
    async with basics_on(settings, dsn, stored=stored) as basics:
        services = services_of(settings, dsn, basics.database, basics.feed, SystemClock(), basics.instruments)
        yield services
        await services.people.close()


@contextlib.asynccontextmanager
async def open_services(settings: Settings, *, stored: bool = False) -> AsyncIterator[Services]:
    """The use cases on the migrated database, embedded or given; everything is closed on leaving.

    Raises `StorageError` when the database cannot be started or is not ours.
    """
    async with database_place(settings) as place, services_on(settings, place.dsn, stored=stored) as services:
        yield services
