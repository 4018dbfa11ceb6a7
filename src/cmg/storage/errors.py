"""What can go wrong with stored state."""

from cmg.kit.errors import Unavailable


class DatabaseAway(Unavailable):
    """The database did not answer within the deadline; the same call may work a moment later."""

    code = "database_away"


class StorageError(Exception):
    """Stored state cannot be used as it is (or its server not started); the message says what to do."""


class DatabaseUnreachable(StorageError):
    """The database did not answer a first connection: it may be away, or its address be wrong."""
