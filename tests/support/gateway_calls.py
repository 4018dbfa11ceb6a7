"""The gateway's handlers without a process: real router, breakers, quota and journal on scripted upstreams."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cmg.config import JournalSettings, PriceSettings, RouteSettings, Settings, TraceSettings, UpstreamSettings
from cmg.gateway.answers.idempotency import IdempotentCalls
from cmg.gateway.breaker import Breakers
from cmg.gateway.chat import ChatHandler
from cmg.gateway.parts import GatewayParts
from cmg.gateway.recording import Recorder
from cmg.gateway.routing.catalogue import Catalogue, built_in_models
from cmg.gateway.routing.catalogue_store import KeptModel
from cmg.gateway.routing.router import Router
from cmg.gateway.routing.upstreams import build_upstreams
from cmg.identity.models import APPLICATION_SCOPES, ApiKey, Caller, Workspace
from cmg.identity.speaking.rules import Speaking
from cmg.kit.asgi import Request, send_error
from cmg.kit.clock import SystemClock
from cmg.kit.errors import CmgError
from cmg.kit.turns import NOTE_MARK, Recollection, Scope, Shortened, Told, Turn
from cmg.ledger.journal import Journal
from cmg.ledger.models import USAGE, UsageRecord, decode_usage
from cmg.ledger.prices import PriceBook
from cmg.ledger.quota.estimator import Estimator
from cmg.ledger.quota.shared_memory import SharedMemoryQuota, create_file
from cmg.storage.cache import Cache
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.tracing.tracer import Tracer
from support.scripted_transport import ScriptedTransport

KEY = ApiKey(id="k1", workspace_id="w1", name="tests", tags=("blue",), scopes=APPLICATION_SCOPES)


class SwiftClock(SystemClock):
    """The machine's clock on which nobody waits: sleeps are kept in `slept` and pass at once; `ahead_s` moves it."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.ahead_s = 0.0

    def monotonic(self) -> float:
        """The machine's, moved."""
        return super().monotonic() + self.ahead_s

    async def sleep(self, seconds: float) -> None:
        """Note it and go on."""
        self.slept.append(seconds)
        await asyncio.sleep(0)


class ScriptedMemory:
    """A memory that says `note`, and keeps what it was asked and told."""

    def __init__(self) -> None:
        self.note: str | None = None
        self.asked: list[tuple[Scope, str, dict[str, Any]]] = []
        self.remembered: list[tuple[Scope, list[Turn]]] = []
        self.condensed: list[Shortened] = []
        self.judged: list[Told] = []
        self.positions: list[int] = []

    async def recall(self, scope: Scope, query: str, **wish: Any) -> Recollection:
        """The note."""
        self.asked.append((scope, query, wish))
        if self.note is None:
            return Recollection(None, 0, 0, "ok")
        return Recollection(f"{NOTE_MARK}\n- {self.note}", 1, 9, "ok", (b"i" * 16,))

    async def condense(self, scope: Scope, query: str, shortened: Shortened, **wish: Any) -> Recollection:
        """The note."""
        self.condensed.append(shortened)
        return await self.recall(scope, query, **wish)

    def told(self, _scope: Scope, told: Told) -> list[tuple[str, bytes]]:
        """Keep it."""
        self.judged.append(told)
        return [("told", told.answer.encode())]

    def remember(self, scope: Scope, turns: Sequence[Turn]) -> list[tuple[str, bytes]]:
        """Keep them."""
        self.remembered.append((scope, list(turns)))
        return [("turns", turn.content.encode()) for turn in turns]

    def journalled(self, _scope: Scope, position: int) -> None:
        """Keep the position."""
        self.positions.append(position)


class KeptJournal(Journal):
    """A real journal whose records can be read back."""

    def __init__(self, folder: Path, instruments: Instruments) -> None:
        super().__init__(folder, JournalSettings(), instruments)
        self.appends: list[list[tuple[str, bytes]]] = []

    def append(self, records: Sequence[tuple[str, bytes]]) -> int:
        """Append and keep."""
        position = super().append(records)
        self.appends.append(list(records))
        return position

    @property
    def usage(self) -> list[UsageRecord]:
        """The usage records so far."""
        return [decode_usage(payload) for batch in self.appends for kind, payload in batch if kind == USAGE]


@dataclass
class Reply:
    """What went to the client, as ASGI messages."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    arrived: list[float] = field(default_factory=list)

    @property
    def status(self) -> int:
        """The HTTP status."""
        return int(self.messages[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        """The headers."""
        return {name.decode(): value.decode("latin-1") for name, value in self.messages[0]["headers"]}

    @property
    def body(self) -> bytes:
        """The whole body."""
        return b"".join(message.get("body", b"") for message in self.messages[1:])

    @property
    def complete(self) -> bool:
        """Whether the last byte was sent."""
        return len(self.messages) > 1 and not self.messages[-1].get("more_body", False)

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The data of a stream's events."""
        found = []
        for block in self.body.decode().split("\n\n"):
            data = "\n".join(line[5:].strip() for line in block.split("\n") if line.startswith("data:"))
            if data:
                found.append(data if data == "[DONE]" else json.loads(data))
        return found

    @property
    def text(self) -> str:
        """The content of the first choice."""
        chunks = [event for event in self.events if isinstance(event, dict) and event.get("choices")]
        return "".join(one["choices"][0]["delta"].get("content") or "" for one in chunks)

    @property
    def done(self) -> bool:
        """Whether the stream ended with `[DONE]`."""
        return self.complete and bool(self.events) and self.events[-1] == "[DONE]"

    @property
    def errors(self) -> list[Any]:
        """In-band errors."""
        return [event["error"] for event in self.events if isinstance(event, dict) and "error" in event]


class Client:
    """One client connection as uvicorn shows it: a body, then silence until it hangs up or the answer is complete."""

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body
        self.reply = Reply()
        self._over = asyncio.Event()
        self.sent = asyncio.Event()

    def hang_up(self) -> None:
        """Close the connection."""
        self._over.set()

    async def receive(self) -> dict[str, Any]:
        """ASGI's receive."""
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._over.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        """ASGI's send; to a client that hung up it says nothing."""
        if self._over.is_set():
            return
        self.reply.messages.append(message)
        self.reply.arrived.append(asyncio.get_running_loop().time())
        self.sent.set()
        if self.reply.complete:
            self._over.set()


class GatewayCalls:
    """Handlers with the upstreams `one` (serves m*), and `two`, `three`, `warm` (takes a prefill) by their prefix."""

    def __init__(self, folder: Path, *, database: Any = None, settings: Settings | None = None) -> None:
        self.instruments, self.clock = Instruments(), SwiftClock()
        self.transport, self.memory = ScriptedTransport(), ScriptedMemory()
        self.settings = settings or default_settings()
        upstreams = build_upstreams(self.settings, self.transport, self.transport)
        create_file(folder / "quota", slots=64, workers=2)
        self.quota = SharedMemoryQuota(folder / "quota", 0, self.clock, self.instruments)
        self.journal = KeptJournal(folder / "spool", self.instruments)
        prices, estimator = PriceBook(self.settings.prices), Estimator()
        self.catalogue = Catalogue(database, prices, self.clock, built_in_models(self.settings))
        self.breakers = Breakers(self.clock, self.instruments)
        tracer = Tracer(TraceSettings(), None, self.clock, self.instruments)
        counting = (self.clock, self.instruments, tracer, self.catalogue.lists)
        recorder = Recorder(self.journal, self.memory, self.quota, prices, estimator, *counting)
        self.cache = Cache(None, clock=self.clock)
        self.parts = GatewayParts(
            settings=self.settings,
            router=Router(upstreams, self.settings.routes, ()),
            catalogue=self.catalogue,
            breakers=self.breakers,
            quota=self.quota,
            estimator=estimator,
            prices=prices,
            journal=self.journal,
            memory=self.memory,
            recorder=recorder,
            idempotent=IdempotentCalls(database, self.clock, 24),
            responses=_responses(self.cache),
            speaking=Speaking(self.clock, self.instruments),
            clock=self.clock,
        )
        self.chat = ChatHandler(self.parts)

    def lengths(self, **lengths: int | None) -> None:
        """The model `m` of these upstreams takes so many tokens of context."""
        facts: dict[str, Any] = {"model": "m", "first_seen": 1, "vanished": False}
        self.catalogue.take([KeptModel(upstream=name, context_length=n, **facts) for name, n in lengths.items()], [])

    async def close(self) -> None:
        """Let the files go."""
        await self.quota.close()
        self.journal.close()

    async def call(self, key: ApiKey = KEY, headers: Any = None, client: Client | None = None, **fields: Any) -> Reply:
        """One chat call to its end; errors become their answers as the data plane makes them."""
        client = client or Client(chat_body(**fields))
        scope = {
            "type": "http", "method": "POST", "path": "/v1/chat/completions", "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in (headers or {}).items()],
        }  # fmt: skip
        request = Request(scope, client.receive, "127.0.0.1")
        caller = Caller(key, Workspace(id=key.workspace_id, name="W"), frozenset(key.scopes), "127.0.0.1")
        try:
            await self.chat.handle(request, client.send, caller)
        except CmgError as error:
            assert not client.reply.messages, "an error was raised although the answer had begun"
            await send_error(client.send, error)
        return client.reply

    async def stream(self, key: ApiKey = KEY, **fields: Any) -> Reply:
        """One streamed chat call."""
        return await self.call(key, stream=True, **fields)

    def row(self) -> UsageRecord:
        """The only usage record; fails when there is more or less than one."""
        (record,) = self.journal.usage
        return record


def chat_body(**fields: Any) -> bytes:
    """A chat body for the model `m` with one user message, unless `fields` say otherwise."""
    messages = [{"role": "user", "content": "Hello there"}]
    return json.dumps({"model": "m", "messages": messages, **fields}).encode()


def default_settings(**changes: Any) -> Settings:
    """Four upstreams without keys, a route, and a price for the models `…-priced`."""
    names: dict[str, dict[str, Any]] = {
        "one": {"models": ["m*"]}, "two": {}, "three": {}, "warm": {"prefill": True},
    }  # fmt: skip
    upstreams = [
        UpstreamSettings(name=name, base_url=f"http://{name}/v1", retries=1, **more) for name, more in names.items()
    ]
    routes = [RouteSettings(model="smart", candidates=["two/m", "three/m"])]
    prices = [PriceSettings(model="*-priced", prompt_usd_per_mtok=1000, completion_usd_per_mtok=1000)]
    return Settings(upstreams=upstreams, routes=routes, prices=prices, **changes)


def _responses(cache: Cache) -> Any:
    from cmg.gateway.answers.response_cache import ResponseCache

    return ResponseCache(cache)
