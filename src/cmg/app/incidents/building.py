"""Builds the room of incidents, for backstage and for the command line."""

from datetime import timedelta

from cmg.app.incidents.probing import HttpProber
from cmg.audit.trail import AuditTrail
from cmg.config import Settings
from cmg.identity.keys import Keys
from cmg.incidents.closing.checks import Checks
from cmg.incidents.closing.closing import Closing
from cmg.incidents.communication.announcing import Announcer
from cmg.incidents.communication.sending import ChannelMessenger
from cmg.incidents.desk import Desk
from cmg.incidents.operation import Operation
from cmg.incidents.review.actions import Actions
from cmg.incidents.review.figures import Figures
from cmg.incidents.review.plotting import LateSamples, Plots
from cmg.incidents.review.postmortem import Review
from cmg.incidents.routes import Room
from cmg.incidents.status import store as status_store
from cmg.incidents.timeline import Timelines
from cmg.jobs.queue import Jobs
from cmg.kit.clock import Clock
from cmg.storage.database import Database
from cmg.storage.sealing.sealer import Sealer


def build_room(settings: Settings, database: Database, audit: AuditTrail, clock: Clock, sealer: Sealer) -> Room:
    """The use cases of incidents."""
    samples = LateSamples()
    messenger = ChannelMessenger(database, sealer, clock)
    desk, timelines = Desk(database, audit, clock), Timelines(audit, clock)
    checks = Checks(database, HttpProber(settings, Keys(database, audit, clock), clock), clock)
    review = Review(database, desk, Actions(database, desk, clock), Plots(database, samples, clock), clock)
    return Room(
        database=database,
        desk=desk,
        timelines=timelines,
        closing=Closing(database, desk, timelines, checks, review),
        review=review,
        samples=samples,
        figures=Figures(database, clock),
        announcer=Announcer(database, desk, messenger, clock),
        operation=Operation(database, audit, clock),
        clock=clock,
    )


def add_incident_jobs(jobs: Jobs, room: Room, settings: Settings) -> None:
    """Retention of what incidents and the status page keep."""
    keep = timedelta(days=settings.retention.incidents_days)
    markers = timedelta(days=settings.retention.events_days)
    jobs.register("incidents.purge", lambda _: room.desk.purge(keep, markers), every="53 * * * *")
    jobs.register("status.purge", lambda _: status_store.purge(room.database, room.clock.now()), every="57 3 * * *")
