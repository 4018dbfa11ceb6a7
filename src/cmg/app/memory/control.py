"""Builds what people and operators do with memories, for the gateways, for backstage and for the command line."""

import contextlib
from dataclasses import dataclass
from datetime import timedelta

from cmg.app.data_plane import CallerHandler, Routes
from cmg.app.logbook.people import build_people
from cmg.config import Settings
from cmg.gateway.answers.idempotency import IdempotentCalls
from cmg.identity.models import Caller
from cmg.identity.speaking.rules import Speaking
from cmg.kit.asgi import Request, Send
from cmg.kit.clock import Clock
from cmg.ledger.people.ledger_users import LedgerUsers
from cmg.ledger.people.refused_records import RefusedRecords
from cmg.ledger.spool.settling import settled
from cmg.memory.api.access import Access, Require
from cmg.memory.api.known_users import KnownUsers
from cmg.memory.api.memories_api import MemoriesApi
from cmg.memory.api.parameters import speaks_mem0
from cmg.memory.api.people_api import PeopleApi
from cmg.memory.api.staff_reads import StaffReads
from cmg.memory.control.erasure import Erasure, Place
from cmg.memory.control.export import Export
from cmg.memory.control.memories import Memories
from cmg.memory.control.removal import Removal
from cmg.memory.control.sensitive_reads import SensitiveReads
from cmg.memory.control.store import ControlStore
from cmg.memory.control.tombstones import TombstoneFile, TombstoneRetention
from cmg.memory.effect.records import TOLD, decode_told
from cmg.memory.items.feedback import Feedback
from cmg.memory.items.writing import ItemWriter
from cmg.memory.mem0.adding import Adding
from cmg.memory.mem0.mem0_api import Mem0Api
from cmg.memory.policies import Policies
from cmg.memory.service import MemoryService
from cmg.memory.turn_sink import TURNS, decode_batch
from cmg.storage.database import Database
from cmg.storage.errors import DatabaseAway
from cmg.telemetry.instruments import Instruments
from cmg.traces.erasing import TracedUsers

_SETTLE_S = 3.0
_CATCH_UP_S = 60.0
_CUT_OFF = timedelta(minutes=10)  # so long after its beginning an erasure is not under way any more


@dataclass(frozen=True)
class MemoryControl:
    """The use cases of a process."""

    settings: Settings
    database: Database
    policies: Policies
    writer: ItemWriter
    erasure: Erasure
    export: Export
    reads: SensitiveReads
    file: TombstoneFile
    clock: Clock

    def memories(self, service: MemoryService) -> Memories:
        """The use cases on memories, with what recalls them."""
        feedback = Feedback(self.clock, self.policies, service.instruments)
        return Memories(self.database, service, self.writer, feedback, self.clock)

    def access(self, require: Require, speaking: Speaking, instruments: Instruments) -> Access:
        """Who may do what with whose memory, for all handlers of a process."""
        users = KnownUsers(self.database, self.clock)
        staff = StaffReads(self.reads, users, self.policies, self.clock, instruments)
        return Access(require, speaking, self.policies, users, staff)

    async def purge(self) -> int:
        """Delete tombstones, and notes of deleted turns, that no backup can need any more."""
        return await TombstoneRetention(self.database, self.clock, self.settings.retention.erasures_days).purge()

    async def keep_file(self) -> None:
        """Write what other machines erase into this machine's file too; until cancelled."""
        while True:
            with contextlib.suppress(DatabaseAway):
                await self.file.catch_up(self.database, self.clock.now())
            await self.clock.sleep(_CATCH_UP_S)

    async def finish_erasures(self) -> None:
        """Go on with erasures that were cut off: at the start with all that began before it; until cancelled."""
        untouched_since = self.clock.now()
        while True:
            with contextlib.suppress(DatabaseAway):
                await self.erasure.finish(untouched_since)
            await self.clock.sleep(_CATCH_UP_S)
            untouched_since = max(untouched_since, self.clock.now() - _CUT_OFF)


def build_control(settings: Settings, database: Database, policies: Policies, clock: Clock) -> MemoryControl:
    """Everything but what recalls, which only a serving process has."""
    spool = settings.data_dir / "spool"
    writer = ItemWriter(clock, policies)
    file = TombstoneFile(settings.data_dir, settings.retention.erasures_days)
    places: list[Place] = [
        LedgerUsers(database),
        IdempotentCalls(database, clock, settings.retention.idempotency_hours),
        TracedUsers(database),
        build_people(settings, database, clock),
        RefusedRecords(spool, {TURNS: decode_batch, TOLD: decode_told}),
    ]

    async def settle() -> bool:
        return await settled(spool, clock, _SETTLE_S)

    erasure = Erasure(database, Removal(database, writer, clock), file, places, settle, clock)
    export = Export(ControlStore(database, clock), clock)
    reads = SensitiveReads(database, clock)
    return MemoryControl(settings, database, policies, writer, erasure, export, reads, file, clock)


def add_memory_routes(routes: Routes, control: MemoryControl, memories: Memories, access: Access) -> None:
    """The paths of the memory's own API and of mem0's clients."""
    body_limit = control.settings.limits.body_bytes
    own = MemoriesApi(memories, access, body_limit, control.clock)
    people = PeopleApi(memories, control.export, control.erasure, access, body_limit)
    adding = Adding(memories, control.database, access, control.clock)
    mem0 = Mem0Api(memories, adding, access, body_limit)
    routes.add("GET", "/v1/memories", own.list)
    routes.add("POST", "/v1/memories", own.add)
    routes.add("DELETE", "/v1/memories", own.delete_all)
    routes.add("POST", "/v1/memories/search", own.search)
    routes.add("GET", "/v1/memories/", own.show)
    routes.add("PUT", "/v1/memories/", own.edit)
    routes.add("DELETE", "/v1/memories/", own.delete)
    routes.add("GET", "/v1/expand/", people.expand)
    routes.add("POST", "/v1/feedback", _by_client(people.feedback, mem0.feedback))
    routes.add("GET", "/v1/threads", people.threads)
    routes.add("GET", "/v1/threads/", people.thread)
    routes.add("DELETE", "/v1/threads/", people.delete_thread)
    routes.add("POST", "/v1/export", people.export)
    routes.add("POST", "/v1/erase", people.erase)
    routes.add("GET", "/v1/ping", mem0.ping)
    routes.add("POST", "/v3/memories/add", mem0.add)
    routes.add("POST", "/v3/memories", mem0.get_all)
    routes.add("POST", "/v3/memories/search", mem0.search)
    routes.add("GET", "/v1/entities", mem0.entities)
    routes.add("DELETE", "/v2/entities/", mem0.delete_entity)
    routes.add("GET", "/v1/event/", mem0.event)
    routes.add("PUT", "/v1/batch", mem0.batch_update)
    routes.add("DELETE", "/v1/batch", mem0.batch_delete)


def _by_client(own: CallerHandler, mem0: CallerHandler) -> CallerHandler:
    """One path that two kinds of clients know with different bodies."""

    async def handle(request: Request, send: Send, caller: Caller) -> None:
        await (mem0 if speaks_mem0(request) else own)(request, send, caller)

    return handle
