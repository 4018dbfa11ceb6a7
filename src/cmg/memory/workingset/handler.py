"""Raw ASGI handler of `/v1/workingset`."""

from uuid import UUID

import msgspec

from cmg.identity.models import Caller
from cmg.kit.asgi import Request, Send, decode, send_json
from cmg.kit.clock import Clock
from cmg.kit.errors import InvalidRequest
from cmg.memory.api.access import Access
from cmg.memory.api.reading import id_of
from cmg.memory.api.schemas import WorkingSetAnswer, WorkingSetRequest
from cmg.memory.items.models import FACT_KINDS, SAID_KINDS
from cmg.memory.models import Filters, Hit, Owner, owner_of
from cmg.memory.ranking.finder import Wanted
from cmg.memory.service import MemoryService
from cmg.memory.workingset.sections import mission, of_facts, of_hits, open_questions, packed
from cmg.memory.workingset.store import WorkingSetStore
from cmg.storage.database import Database

_SEARCH_S = 5.0
_HITS = 40
_decode = msgspec.json.Decoder(WorkingSetRequest)
_DRAWN, _SAID = (Filters(kinds=msgspec.json.encode(kinds).decode()) for kinds in (FACT_KINDS, SAID_KINDS))


class WorkingSetApi:
    """Builds working sets."""

    def __init__(
        self, service: MemoryService, database: Database, access: Access, body_limit: int, clock: Clock
    ) -> None:
        self._service, self._access, self._body_limit, self._clock = service, access, body_limit, clock
        self._store = WorkingSetStore(database)

    async def handle(self, request: Request, send: Send, caller: Caller) -> None:
        """What one needs to go on: of the thread first, then of the user. Raises `InvalidRequest`, `DatabaseAway`."""
        self._access.read(caller)
        asked = decode(_decode, await request.body(self._body_limit))
        await self._access.see(request, caller, asked.user_id, "working set")
        if not (asked.query or asked.purpose):
            raise InvalidRequest("send a `purpose`, or a `query`", param="purpose")
        owner = owner_of(caller.workspace_id, asked.user_id)
        thread_id = id_of(asked.thread_id, "thread_id")
        found = await self._find(owner, asked, _DRAWN)
        ranks = {UUID(hit.id): place for place, hit in enumerate(found)}
        sections = of_facts(await self._store.facts(owner, thread_id, list(ranks), self._clock.now()), ranks)
        sections |= of_hits(await self._find(owner, asked, _SAID))
        said = [] if thread_id is None else await self._store.thread_ends(owner, thread_id)
        sections["open_questions"] = open_questions(said)
        budget = self._service.token_budget if asked.token_budget is None else asked.token_budget
        first, kept, used = packed(sections, mission(said), budget)
        await send_json(
            send, 200, WorkingSetAnswer(mission=first, **kept, tokens_used=used, tokens_available=budget - used)
        )

    async def _find(self, owner: Owner, asked: WorkingSetRequest, filters: Filters) -> list[Hit]:
        wanted = Wanted(owner=owner, query=asked.query or "", purpose=asked.purpose, limit=_HITS, filters=filters)
        return await self._service.find(wanted, _SEARCH_S)
