"""What a cluster needs once: jobs, syncs, vectors, facts and incidents."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from cmg.analytics.watching import DashboardWatch
from cmg.app.alerting.auditing import auditing
from cmg.app.drills.waiting import add_waiting_job
from cmg.app.incidents.building import add_incident_jobs
from cmg.app.memory.embedding import Sources
from cmg.app.processes.resources import Resource, Resources, Work
from cmg.app.wiring.groundwork import Base, router_of
from cmg.app.wiring.services import Services
from cmg.gateway.answers.idempotency import IdempotentCalls
from cmg.gateway.breaker import Breakers
from cmg.gateway.calls.internal import InternalChat, Overdue, internal_caller
from cmg.gateway.routing.catalogue_sync import CatalogueSync
from cmg.gateway.routing.upstreams import Upstream
from cmg.health.probes.jobs import TRIAL, queue_probe, workers_probe
from cmg.health.store import HealthStore
from cmg.identity.snapshot import SnapshotFeed
from cmg.incidents.alerts.calling import Calling
from cmg.incidents.alerts.desk import IncidentDesk
from cmg.incidents.alerts.watching import AlertWatch
from cmg.incidents.attending import Attendant
from cmg.jobs.leap import Leap
from cmg.jobs.queue import Jobs
from cmg.kit.clock import Clock, SystemClock
from cmg.kit.errors import NotFound
from cmg.ledger.store import upkeep
from cmg.ledger.usage_sink import UsageSink
from cmg.memory.condensing.by_model import ModelWriter
from cmg.memory.condensing.keeper import SummaryKeeper
from cmg.memory.control.tombstone_store import erased
from cmg.memory.effect.store import purge as purge_effect
from cmg.memory.extraction.by_model import ModelExtractor
from cmg.memory.extraction.ports import Completion, Unanswered
from cmg.memory.extraction.worker import ExtractionWorker, Extractor, RuleExtractor
from cmg.memory.items.upkeep import ItemUpkeep
from cmg.memory.items.writing import ItemWriter
from cmg.memory.retention import MemoryRetention
from cmg.memory.vectors.backlog import Backlog
from cmg.memory.vectors.index_store import IndexStore
from cmg.memory.vectors.store import VectorStore
from cmg.memory.vectors.warming import Warming
from cmg.storage.changes import purge as purge_changes
from cmg.storage.database import Database
from cmg.storage.retention import until_nothing_goes
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.tracing.tracer import Tracer
from cmg.traces.store import TraceStore

_JOBS_S = 1.0
_LONG_JOB_S = 3600.0


def working_of(
    base: Base,
    resources: Resources,
    services: Services,
    upstreams: Sequence[Upstream],
    sources: Sources,
    instruments: Instruments,
) -> list[Work]:
    """What a cluster needs once: jobs, the sync of models, vectors and facts of what was said."""
    clock, database = SystemClock(), services.database
    catalogue = CatalogueSync(upstreams, database, clock, instruments)
    jobs = _jobs(services, base.tracer, instruments)
    add_incident_jobs(jobs, services.incidents, services.settings)
    if base.faults is not None:
        add_waiting_job(jobs, base.faults, clock)
    incidents = _incidents(services, instruments)
    resources.add(Resource("jobs", lambda: jobs.stop(_JOBS_S)))
    resources.watch(queue_probe(jobs))
    resources.watch(workers_probe(jobs))
    audit = auditing(services, resources, clock, instruments)
    work = [jobs.run(), audit, catalogue.run(), *incidents, Warming(VectorStore(database), clock).run()]
    work += _backlog(sources, database, clock, instruments)
    if services.settings.memory.extraction != "off":
        extraction, beside = _extraction(base, services, upstreams, instruments)
        work += beside
        jobs.register("memory.extraction_purge", lambda _: extraction.purge(), every="47 3 * * *")
    return work


def _incidents(services: Services, instruments: Instruments) -> list[Work]:
    """What makes incidents of alerts, calls people to the worst, and watches the time of all."""
    clock, database = SystemClock(), services.database
    watch = AlertWatch(database, IncidentDesk(), clock)
    calling = Calling(database, services.alerts, clock, lambda: watch.followed_at)
    return [watch.run(), calling.run(), Attendant(database, clock, instruments).run()]


def _backlog(sources: Sources, database: Database, clock: Clock, instruments: Instruments) -> list[Work]:
    """The background work that gives every passage its vectors; none without an embedder."""
    if sources.current is None:
        return []
    return [Backlog(sources.current, VectorStore(database), IndexStore(database), clock, instruments).run()]


def _jobs(services: Services, tracer: Tracer, instruments: Instruments) -> Jobs:
    """Retention: every table that grows has its purge here, or in its own upkeep. What is `aged` goes by the clock."""
    database, retention, clock = services.database, services.settings.retention, tracer.clock
    jobs = Jobs(database, clock, instruments, log_days=retention.jobs_log_days, tracer=tracer)
    aged = Leap(clock).guarded
    idempotent = IdempotentCalls(database, clock, retention.idempotency_hours)
    items = ItemUpkeep(database, clock, services.policies)
    turns = MemoryRetention(database, clock, items, services.policies, retention.operations_days)
    jobs.register("ledger.upkeep", aged(lambda _: upkeep(database, retention, clock.now())), every="7 * * * *")
    services.logbook.register(jobs, instruments, aged)
    watch = DashboardWatch(database, lambda: services.incidents.samples.source, clock, instruments)
    jobs.register("dashboards.check", lambda _: watch.check(), every="17 4 * * *", timeout_s=_LONG_JOB_S)
    jobs.register("changes.purge", lambda _: purge_changes(database, clock), every="11 * * * *")
    jobs.register("keys.purge", aged(lambda _: until_nothing_goes(services.keys.purge)), every="23 * * * *")
    alerts_days = retention.alerts_days
    jobs.register("alerting.purge", aged(lambda _: services.alerts.purge(alerts_days)), every="53 * * * *")
    jobs.register("alerting.purge_documents", aged(lambda _: services.configuring.purge()), every="55 3 * * *")
    jobs.register("alerting.purge_feeds", aged(lambda _: services.feeds.purge()), every="54 3 * * *")
    jobs.register("alerting.feedback_purge", aged(lambda _: services.feedback.purge(alerts_days)), every="53 * * * *")
    jobs.register("alerting.noise", lambda _: services.feedback.show(), every="9 * * * *")
    jobs.register("people.purge", aged(lambda _: services.people.purge()), every="19 * * * *")
    jobs.register("audit.purge", aged(lambda _: until_nothing_goes(services.audit.purge)), every="29 * * * *")
    traces = TraceStore(database)
    jobs.register("traces.purge", lambda _: traces.purge(services.settings.traces, clock.now()), every="*/5 * * * *")
    jobs.register("memory.purge", aged(lambda _: turns.purge()), every="37 * * * *", timeout_s=_LONG_JOB_S)
    jobs.register("memory.effect_purge", aged(lambda _: _purge_effect(services, clock)), every="51 3 * * *")
    jobs.register("memory.age", aged(lambda _: items.age()), every="43 3 * * *", timeout_s=_LONG_JOB_S)
    jobs.register("memory.tombstones", aged(lambda _: services.control.purge()), every="47 * * * *")
    jobs.register(TRIAL, _nothing, attempts=1)
    jobs.register("health.purge", aged(lambda _: _purge_health(services, clock)), every="53 * * * *")
    jobs.register("idempotency.purge", lambda _: idempotent.purge(), every="*/10 * * * *")
    return jobs


async def _nothing(_payload: Any) -> None:
    """What the job does by which health sees that jobs are done."""


async def _purge_health(services: Services, clock: Clock) -> None:
    before = clock.now() - timedelta(days=services.settings.retention.health_days)
    await HealthStore(services.database).purge(before)


async def _purge_effect(services: Services, clock: Clock) -> None:
    """As long as the usage rows that stand beside it in reports."""
    before = clock.now() - timedelta(days=services.settings.retention.usage_days)
    await purge_effect(services.database, before.date())


def _extraction(
    base: Base, services: Services, upstreams: Sequence[Upstream], instruments: Instruments
) -> tuple[ExtractionWorker, list[Work]]:
    """What draws facts from turns and keeps summaries, by patterns or the chat models of the settings, and its work."""
    settings, clock = services.settings.memory, SystemClock()
    breakers = Breakers(clock, instruments)
    router, keep = router_of(upstreams, services.settings), _keeper(base.database, UsageSink(erased=erased))
    chat = InternalChat(router, base.catalogue, breakers, clock, keep)
    extractor: Extractor = RuleExtractor()
    policies, writer = services.policies, None
    if settings.extraction != "rules":
        model = _MemoryModel(chat, base.feed, settings.extraction)
        extractor = ModelExtractor(model, base.database, clock, policies)
    if settings.summary_model is not None:
        model = _MemoryModel(chat, base.feed, settings.summary_model)
        writer = ModelWriter(model, base.database, clock, policies)
    summaries = SummaryKeeper(base.database, clock, instruments, settings.summary_tokens, writer)
    items = ItemWriter(clock, policies)
    worker = ExtractionWorker(base.database, clock, instruments, extractor, items, summaries)
    return worker, [worker.run(), breakers.run()]


@dataclass(frozen=True)
class _MemoryModel:
    """A chat model of the settings, as the memory asks it: in the name of the workspace whose words it reads."""

    chat: InternalChat
    feed: SnapshotFeed
    model: str

    async def complete(self, workspace_id: str, body: Mapping[str, Any], timeout_s: float) -> Completion:
        """Raises `CmgError`, `Unanswered` among them."""
        workspace = self.feed.current.workspaces.get(workspace_id)
        if workspace is None:
            raise NotFound(f"there is no workspace {workspace_id}")
        caller = internal_caller(workspace, "memory")
        try:
            text, nano = await self.chat.ask(caller, self.model, body, timeout_s)
        except Overdue as error:
            raise Unanswered(error.message, error.cost_nano) from error
        return Completion(text, nano)


def _keeper(database: Database, usage: UsageSink) -> Callable[[bytes], Awaitable[None]]:
    """Stores records of calls that this process makes itself: it has no journal."""

    async def keep(record: bytes) -> None:
        async with database.transaction() as conn:
            await usage.write(conn, [record])

    return keep
