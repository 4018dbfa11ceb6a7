"""The record of one call: filled while it runs, written once, before the answer's last byte."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from cmg.gateway.calls.description import described
from cmg.gateway.ports import Memory
from cmg.gateway.routing.router import Candidate
from cmg.identity.models import Caller
from cmg.kit.clock import Clock
from cmg.kit.turns import Scope, Told, Turn
from cmg.ledger.journal import Journal
from cmg.ledger.models import USAGE, CostOrigin, Status, TokenUsage, UsageRecord, encode_usage
from cmg.ledger.prices import PriceBook
from cmg.ledger.quota.estimator import Estimator
from cmg.ledger.quota.models import NOTHING, Grant, Quota
from cmg.telemetry.instruments import Child, Instruments
from cmg.telemetry.tracing.trace import Attributes, Trace
from cmg.telemetry.tracing.tracer import Tracer

Route = Literal["chat", "embeddings"]
_OURS = 500  # from here on a failure is the upstream's or the gateway's; below, the caller's


_MODELS_MAX = 100  # that get series of their own in a process


class Call:
    """One call. Times are monotonic seconds; `waited_s` is the time spent waiting for upstreams and their pauses."""

    __slots__ = (
        "asked", "attempt", "attempts", "caller", "candidate", "content", "cost_nano", "cost_origin", "error_type",
        "finish_reason", "grant", "http_status", "id", "keeps_answer", "left_out", "memory_items", "memory_status",
        "memory_tokens", "model_answered", "note_room", "question", "recalled", "replayed", "route", "said", "scope",
        "started", "status", "stream", "trace", "ttft_s", "turns", "usage", "user", "waited_s", "written",
    )  # fmt: skip

    def __init__(self, caller: Caller, route: Route, asked: str, started: float, trace: Trace) -> None:
        self.id, self.trace = trace.request_id, trace
        self.caller, self.route, self.asked, self.started = caller, route, asked, started
        self.attempt = 0  # the trace's mark of the attempt that runs
        self.stream = self.replayed = self.written = False
        self.grant: Grant = NOTHING
        self.scope: Scope | None = None
        self.user: tuple[str | None, str | None, str | None] = (None, None, None)  # user, thread, agent
        self.turns: list[Turn] | None = None  # what is to be remembered, once somebody answered; None: nothing
        self.keeps_answer = True  # whether the answer may be remembered
        self.candidate: Candidate | None = None
        self.attempts = 0
        self.status: Status = "ok"
        self.http_status = 200
        self.error_type: str | None = None
        self.finish_reason: str | None = None
        self.model_answered: str | None = None
        self.usage = TokenUsage()
        self.cost_nano, self.cost_origin = 0, "estimate"
        self.ttft_s: float | None = None
        self.waited_s = 0.0
        self.memory_items = self.memory_tokens = 0
        self.memory_status = "off"
        self.left_out: frozenset[int] = frozenset()  # places of the messages that the upstream does not get
        self.note_room = 0  # tokens for what stands for them
        self.recalled: tuple[bytes, ...] = ()  # ids of what the note holds
        self.content: Attributes = {}  # what was said, only where traces shall hold it
        self.question = self.said = ""  # what was recalled for, and what was answered


@dataclass(frozen=True)
class Recorder:
    """Writes calls: one append to the journal, one settlement of the quota, and the metrics."""

    journal: Journal
    memory: Memory
    quota: Quota
    prices: PriceBook
    estimator: Estimator
    clock: Clock
    instruments: Instruments
    tracer: Tracer
    listed: Callable[[str, str], bool]  # whether an upstream lists a model
    _series: "dict[tuple[Route, str, str], _Series]" = field(default_factory=dict, init=False, repr=False)
    _named: set[tuple[str, str]] = field(default_factory=set, init=False, repr=False)

    def price(self, call: Call, usage: TokenUsage) -> None:
        """Set what the call used and cost."""
        call.usage = usage
        if call.candidate is not None and not call.replayed:
            origin: CostOrigin
            call.cost_nano, origin = self.prices.cost(call.candidate.upstream.name, call.candidate.model, usage)
            call.cost_origin = origin

    def write(self, call: Call) -> None:
        """Write the call; a second time does nothing. Raises `JournalFull`, with the quota settled all the same."""
        if call.written:
            return
        call.written = True
        at, now = self.clock.time(), self.clock.monotonic()
        latency_s, usage, trace = now - call.started, call.usage, call.trace
        try:
            records = [(USAGE, encode_usage(record_of(call, at, latency_s)))]
            if call.turns is not None and call.scope is not None:
                records += self.memory.remember(call.scope, call.turns)
            if call.scope is not None and (call.recalled or call.left_out) and call.status in {"ok", "cut"}:
                words = ("", "") if call.turns is None else (call.question, call.said)  # no turns left, no words left
                records += self.memory.told(call.scope, Told(call.recalled, *words, len(call.left_out)))
            position = self.journal.append(records)
            if call.scope is not None:
                self.memory.journalled(call.scope, position)
        finally:
            self.quota.settle(call.grant, usage.prompt + usage.completion, call.cost_nano)
        if usage.completion and call.status == "ok" and not call.replayed:
            self.estimator.learn(call.asked, usage.completion)
            if call.cost_origin == "upstream" and call.candidate is not None:
                price = self.prices.price(call.candidate.upstream.name, call.candidate.model)
                self.estimator.learn_cost(call.asked, usage, price)
        trace.failed = call.status in {"error", "cut"} and call.http_status >= _OURS
        trace.answer_s = latency_s if call.ttft_s is None else call.ttft_s
        trace.own_s = latency_s - call.waited_s
        trace.add("record", now, ended := self.clock.monotonic())
        exemplar = None
        if self.tracer.decide(trace, ended):
            trace.facts, trace.person, exemplar = described(call), call.user[:2], trace.exemplar()
        self._count(call, latency_s, exemplar)

    def _count(self, call: Call, latency_s: float, exemplar: dict[str, str] | None) -> None:
        upstream, model = self._place(call)
        place = call.route, upstream, model
        series = self._series.get(place) or self._series_of(place)
        self.instruments.series("cmg_llm_calls_total", *place, call.status).inc()
        if call.error_type is not None:
            self.instruments.series("cmg_llm_errors_total", call.route, upstream, call.error_type).inc()
        if call.memory_status == "holdout":
            self.instruments.series("cmg_memory_holdout_calls_total").inc()
        series.duration.observe(latency_s, exemplar)
        series.cost.inc(call.cost_nano / 1e9)
        series.prompt.inc(call.usage.prompt)
        series.completion.inc(call.usage.completion)
        series.overhead.observe(max(0.0, latency_s - call.waited_s), exemplar)
        if call.ttft_s is not None:
            series.first_token.observe(call.ttft_s, exemplar)

    def _place(self, call: Call) -> tuple[str, str]:
        """Upstream and model as labels: a client may choose any name, so only models that are listed have one."""
        if call.candidate is None:
            return "none", "none"
        place = call.candidate.place
        if place not in self._named:
            if len(self._named) >= _MODELS_MAX or not self.listed(*place):
                return place[0], "other"
            self._named.add(place)
        return place

    def _series_of(self, place: tuple[Route, str, str]) -> "_Series":
        """The series of a route, an upstream of the settings and a model, kept at hand."""
        series, (_, upstream, model) = self.instruments.series, place
        made = self._series[place] = _Series(
            duration=series("cmg_llm_call_duration_seconds", *place),
            cost=series("cmg_llm_cost_usd_total", upstream, model),
            prompt=series("cmg_llm_tokens_total", upstream, model, "prompt"),
            completion=series("cmg_llm_tokens_total", upstream, model, "completion"),
            overhead=series("cmg_gateway_overhead_seconds"),
            first_token=series("cmg_llm_time_to_first_token_seconds", upstream, model),
        )
        return made


class _Series(msgspec.Struct, frozen=True):
    """What every call of one route to one upstream moves."""

    duration: Child
    cost: Child
    prompt: Child
    completion: Child
    overhead: Child
    first_token: Child


def record_of(call: Call, at: float, latency_s: float) -> UsageRecord:
    """The ledger's record of a call that ended at a time (epoch seconds) after so many seconds."""
    usage, key = call.usage, call.caller.key
    user, thread, agent = call.user
    return UsageRecord(
        id=call.id,
        at=at,
        workspace_id=key.workspace_id,
        key_id=key.id,
        user_id=user,
        thread_id=thread,
        agent_id=agent,
        tags=key.tags,
        route=call.route,
        upstream=None if call.candidate is None else call.candidate.upstream.name,
        model_asked=call.asked,
        model_answered=call.model_answered,
        status=call.status,
        http_status=call.http_status,
        error_type=call.error_type,
        finish_reason=call.finish_reason,
        stream=call.stream,
        prompt_tokens=usage.prompt,
        completion_tokens=usage.completion,
        cached_tokens=usage.cached,
        cache_write_tokens=usage.cache_write,
        reasoning_tokens=usage.reasoning,
        cost_nano=call.cost_nano,
        cost_origin=call.cost_origin,  # type: ignore[arg-type]
        latency_ms=latency_s * 1000,
        ttft_ms=None if call.ttft_s is None else call.ttft_s * 1000,
        attempts=call.attempts,
        memory_items=call.memory_items,
        memory_tokens=call.memory_tokens,
        memory_status=call.memory_status,
        trace_id=None if call.trace.asked is None else call.trace.id,
        replayed=call.replayed,
    )
