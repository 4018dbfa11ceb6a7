"""The users whom records of the ledger name: stored ones, and those that come when their user is already erased."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from cmg.ledger import store
from cmg.ledger.models import UsageRecord
from cmg.storage.database import Database

ERASED = "erased"  # in place of the id of a person who was erased while their record was on its way
_STEP = 5000

ErasedUsers = Callable[[Any, Sequence[tuple[str, str]]], Awaitable[Mapping[tuple[str, str], datetime]]]
"""Which (workspace, user) pairs were erased, and when, asked on the drain's connection."""


class LedgerUsers:
    """The columns that name a person: a pseudonym takes their place, so that sums stay what they are."""

    name = "ledger"

    def __init__(self, database: Database) -> None:
        self._database = database

    async def erase(self, workspace_id: str, user_id: str, pseudonym: str) -> int:
        """Put the pseudonym in place of the user and the thread; returns how many records were changed."""
        return await store.pseudonymise(self._database, (workspace_id, as_stored(user_id)), pseudonym, _STEP)

    async def users(self, workspace_id: str) -> Sequence[str]:
        """Every user whom a record names."""
        return await store.users(self._database, workspace_id)


async def nobody(_conn: Any, _users: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], datetime]:
    """Where nobody is erased: what a sink without a memory beside it asks."""
    return {}


def without(record: UsageRecord, erased: Mapping[tuple[str, str], datetime]) -> UsageRecord:
    """The record, without its person when they were erased after the call."""
    if record.user_id is None:
        return record
    moment = erased.get((record.workspace_id, as_stored(record.user_id)))
    if moment is None or record.at > moment.timestamp():
        return record
    return msgspec.structs.replace(record, user_id=ERASED, thread_id=None)


def as_stored(name: str) -> str:
    """A name as the table holds it."""
    text = name[: store.TEXT_MAX].replace("\x00", "\ufffd")
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
