"""Builds the room of incidents, for backstage and for the command line."""

import hashlib
from datetime import timedelta

import msgspec

from cmg.app.data_plane import Routes
from cmg.app.incidents.components import SeenComponents
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
from cmg.incidents.status.board import Board
from cmg.incidents.status.published import PATHS, StatusAnswers, file_in
from cmg.incidents.timeline import Timelines
from cmg.jobs.queue import Jobs
from cmg.kit.clock import Clock
from cmg.storage.database import Database
from cmg.storage.sealing.sealer import Sealer
from cmg.telemetry.instruments import Instruments

_SECRETS = (
    "database_url",
    "redis_url",
    "openrouter_api_key",
    "bootstrap_key",
    "admin_password",
    "master_key",
)


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


def fingerprint(settings: Settings) -> str:
    """16 hex digits that stand for the settings, secrets left out."""
    hidden = dict.fromkeys(_SECRETS)
    upstreams = [msgspec.structs.replace(one, api_key=None) for one in settings.upstreams]
    shown = msgspec.structs.replace(settings, upstreams=upstreams, **hidden)
    return hashlib.sha256(msgspec.json.encode(shown, enc_hook=str, order="deterministic")).hexdigest()[:16]


def build_board(
    settings: Settings, database: Database, components: SeenComponents, clock: Clock, instruments: Instruments
) -> Board:
    """What renews this machine's copy of the status page."""
    url = (settings.status.url or f"http://{settings.host}:{settings.port}").rstrip("/")
    return Board(database, components, file_in(settings.data_dir), clock, instruments, (settings.status.title, url))


def add_status_routes(routes: Routes, settings: Settings, clock: Clock) -> None:
    """The public pages, answered from this machine's copy alone."""
    answers = StatusAnswers(file_in(settings.data_dir), clock)
    for path in PATHS:
        for method in ("GET", "HEAD"):
            routes.add_open(method, path, answers.handle)


def add_incident_jobs(jobs: Jobs, room: Room, settings: Settings) -> None:
    """Retention of what incidents and the status page keep."""
    keep = timedelta(days=settings.retention.incidents_days)
    markers = timedelta(days=settings.retention.events_days)
    jobs.register("incidents.purge", lambda _: room.desk.purge(keep, markers), every="53 * * * *")
    jobs.register("status.purge", lambda _: status_store.purge(room.database, room.clock.now()), every="57 3 * * *")
