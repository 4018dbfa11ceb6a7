"""Builds everything, in order: each resource is registered with its close and its probe as it is made."""

from cmg.app.wiring.backstage import build_backstage
from cmg.app.wiring.gateway import build_gateway
from cmg.app.wiring.models import build_embedder, build_notes
from cmg.app.wiring.services import FirstSecrets, Services, database_place, open_services
from cmg.app.wiring.starting import make_way, needs_embedder, prepare, prepare_late, vacate
from cmg.storage.errors import DatabaseAway, DatabaseUnreachable, StorageError

__all__ = [
    "DatabaseAway",
    "DatabaseUnreachable",
    "FirstSecrets",
    "Services",
    "StorageError",
    "build_backstage",
    "build_embedder",
    "build_gateway",
    "build_notes",
    "database_place",
    "make_way",
    "needs_embedder",
    "open_services",
    "prepare",
    "prepare_late",
    "vacate",
]
