"""Builds what finds people in log lines, for whoever erases one."""

from cmg.config import Settings
from cmg.kit.clock import Clock
from cmg.logbook.cold.file_store import FileStore
from cmg.logbook.cold.reading import FileSearch
from cmg.logbook.cold.shelf import Shelves
from cmg.logbook.erasing import LogPeople
from cmg.logbook.hot.line_store import LineStore
from cmg.storage.database import Database

_FILES = "logs/files"
_ARCHIVE = "logs/archive"


def build_people(settings: Settings, database: Database, clock: Clock) -> LogPeople:
    """The people in log lines, for whoever erases one."""
    files, shelves = FileStore(database, clock), shelves_of(settings)
    return LogPeople(LineStore(database, clock), files, FileSearch(files, shelves, clock), shelves)


def shelves_of(settings: Settings) -> Shelves:
    """Where the files of log lines are."""
    cold, archive = settings.logs.store, settings.logs.archive_store
    folder = settings.data_dir / _FILES
    return Shelves({"cold": (cold, folder), "archive": (archive or cold, settings.data_dir / _ARCHIVE)})
