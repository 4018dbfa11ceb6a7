"""Stores messages, each once: the one way into the memory's tables, for the journal and for ingest."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from cmg.kit.clock import Clock
from cmg.kit.errors import Conflict
from cmg.memory.extraction.store import ExtractionStore
from cmg.memory.models import Message, Thread, UserOfAnotherKey
from cmg.memory.policies import Policies
from cmg.memory.store import MemoryStore
from cmg.memory.text.passages import PASSAGE_CHARACTERS, passages
from cmg.memory.text.rows import Row, rows_of
from cmg.storage.database import Connection

_BREATH = 1600  # characters between two looks at other work on the event loop: about a millisecond
_ROWS = 1000  # of a statement


class TurnWriter:
    """Writes messages inside the caller's transaction, and has their threads read for facts."""

    def __init__(self, store: MemoryStore, clock: Clock, policies: Policies) -> None:
        """With an embedder in the settings, what is written waits for its vectors."""
        self._store, self._clock, self._policies = store, clock, policies
        self._extraction = ExtractionStore()

    async def write(self, conn: Connection, messages: Sequence[Message], *, strict: bool = False) -> int:
        """Store what is not stored yet, in the given order; returns how many passages were new.

        An id that is stored with another content stays as it is; with `strict` that raises `Conflict`. What somebody
        deleted comes back only with `strict`: a caller asks for it; a history that is sent again does not. What a key
        says about another key's user is passed over; with `strict` that raises `UserOfAnotherKey`.
        """
        wanted = _distinct(messages, strict=strict)
        if not wanted:
            return 0
        at = self._clock.now()
        numbers = await self._store.hold(conn, (one.thread for one in wanted.values()), at, self._policies.shares)
        if strict and any(one.thread not in numbers for one in wanted.values()):
            raise UserOfAnotherKey
        wanted = {item_id: one for item_id, one in wanted.items() if one.thread in numbers}
        workspaces = {message.thread.owner.workspace_id for message in wanted.values()}
        second = {one.item_id(1): item_id for item_id, one in wanted.items() if len(one.content) > PASSAGE_CHARACTERS}
        known = await self._store.known(conn, [*wanted, *second], workspaces)
        met = {second.get(one, one) for one in known}
        parts = _further_parts(one for item_id, one in wanted.items() if strict and item_id in met)
        further = [part for ids in parts.values() for part in ids]
        stored = await self._store.known(conn, further, workspaces) if further else {}
        fresh = []
        for item_id, message in wanted.items():
            digests = [known.get(item_id), *(stored.get(part) for part in parts.get(item_id, ()))]
            if strict and any(one not in {None, message.digest} for one in digests):
                raise _conflict(message)
            if item_id not in known or (strict and None in digests):
                fresh.append(message)
        rows = await _rows(fresh, numbers)
        settings = self._policies.settings
        embedded, new = settings.embedder != "none", 0
        for first in range(0, len(rows), _ROWS):
            new += await self._store.add(conn, rows[first : first + _ROWS], at, embedded=embedded)
        drawn = {one for one in workspaces if self._policies.of(one).draws_facts}
        threads = {(row.thread_no, row.workspace_id) for row in rows if row.workspace_id in drawn}
        if new and threads:
            await self._extraction.queue(conn, threads, at, settings.extraction_delay_s)
        return new


def _further_parts(messages: Iterable[Message]) -> dict[UUID, list[UUID]]:
    """The passages behind the first of messages that are sent again: somebody may have deleted one of them."""
    return {
        message.item_id(): [message.item_id(part) for part in range(1, len(passages(message.content, message.kind)))]
        for message in messages
    }


async def _rows(messages: Sequence[Message], numbers: Mapping[Thread, tuple[int, int]]) -> list[Row]:
    """The rows of messages; other work of the process goes on meanwhile, however long they are."""
    rows, said = [], 0
    for message in messages:
        for row in rows_of(message, *numbers[message.thread]):
            rows.append(row)
            said += len(row.content)
            if said > _BREATH:
                said = 0
                await asyncio.sleep(0)
    return rows


def _distinct(messages: Sequence[Message], *, strict: bool) -> dict[UUID, Message]:
    wanted: dict[UUID, Message] = {}
    for message in messages:
        first = wanted.setdefault(message.item_id(), message)
        if strict and first is not message and first.digest != message.digest:
            raise _conflict(message)
    return wanted


def _conflict(message: Message) -> Conflict:
    return Conflict(
        f"the thread already has a message with the id `{message.message_id}` and other content; use another id",
        param="messages",
    )
