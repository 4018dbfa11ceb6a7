"""Builds the status page's copy and its public pages, and what stands for a machine's settings."""

import hashlib

import msgspec

from cmg.app.data_plane import Routes
from cmg.app.incidents.components import SeenComponents
from cmg.config import Settings
from cmg.incidents.status.board import Board
from cmg.incidents.status.published import PATHS, StatusAnswers, file_in
from cmg.kit.clock import Clock
from cmg.storage.database import Database
from cmg.telemetry.instruments import Instruments

_SECRETS = (
    "database_url",
    "redis_url",
    "openrouter_api_key",
    "bootstrap_key",
    "admin_password",
    "master_key",
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
