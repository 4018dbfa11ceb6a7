"""The routes of the control plane."""

from pathlib import Path

from fastapi import APIRouter, Request

from cmg.alerting.api import answer_routes as alerting_answer_routes
from cmg.alerting.api import document_routes as alerting_document_routes
from cmg.alerting.api import feed_routes, oncall_routes
from cmg.alerting.api import routes as alerting_routes
from cmg.alerting.feedback import routes as feedback_routes
from cmg.alerting.owned import routes as owned_rule_routes
from cmg.alerting.owned.routes import OwnedRuleStates
from cmg.analytics import routes as analytics_routes
from cmg.analytics.panels import Panels
from cmg.app.alerting.paging import build_answers
from cmg.app.console import health_routes, runbook_routes
from cmg.app.jobs.noting import noted
from cmg.app.metrics_api import RuledFigures, metrics_router
from cmg.app.processes.metrics import MergedMetrics
from cmg.app.upstreams import routes as upstream_routes
from cmg.app.upstreams.offering import Offering
from cmg.app.wiring.services import Services, services_of
from cmg.config import Settings
from cmg.config import routes as settings_routes
from cmg.gateway.routing.catalogue import Catalogue
from cmg.gateway.routing.router import Router
from cmg.health.board import Board
from cmg.health.prober import Pace
from cmg.health.reading import Reader
from cmg.identity import routes as identity_routes
from cmg.identity.models import actor_of
from cmg.identity.snapshot import SnapshotFeed
from cmg.incidents import routes as incident_routes
from cmg.jobs import routes as job_routes
from cmg.jobs.desk import JobDesk
from cmg.kit.clock import Clock, SystemClock
from cmg.ledger import routes as ledger_routes
from cmg.ledger.budget_events import BudgetEvents
from cmg.ledger.prices import PriceBook
from cmg.ledger.reports import budget_routes, call_routes
from cmg.memory.effect import routes as effect_routes
from cmg.storage.changes import ChangeFeed
from cmg.storage.database import Database
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.merging import Departed
from cmg.timeseries.api import routes as timeseries_routes
from cmg.timeseries.api.embedded import EmbeddedPrometheus
from cmg.timeseries.promql.engine import Engine
from cmg.timeseries.store.chunk_store import ChunkStore
from cmg.timeseries.store.head import Head
from cmg.timeseries.store.index import SeriesIndex
from cmg.timeseries.store.sample_source import SampleSource
from cmg.traces import routes as trace_routes


def only_workspace(request: Request) -> str | None:
    """The one workspace that a caller sees; None: all of them."""
    return actor_of(request.state.caller).only_workspace


def control_routers(services: Services, clock: Clock) -> list[APIRouter]:
    """Every router of the control plane that stands on `Services`."""
    return [
        identity_routes.router(services.keys, services.workspaces, services.audit, clock),
        *services.people.routers(),
        ledger_routes.router(services.usage, BudgetEvents(services.database)),
        call_routes.router(services.calls),
        budget_routes.router(services.budgets),
        job_routes.router(JobDesk(services.database, clock), noted(services.audit)),
        trace_routes.router(services.traces, only_workspace),
        effect_routes.router(services.effect),
        oncall_routes.router(services.alerts, clock),  # before `/alerts/{alert_id}`
        alerting_routes.router(services.alerts),
        alerting_document_routes.router(services.configuring),
        feedback_routes.router(services.feedback),
        owned_rule_routes.router(OwnedRuleStates(services.database)),
        feed_routes.router(services.feeds, services.settings.public_url),
        alerting_answer_routes.router(
            build_answers(services.settings, services.alerts, clock, services.feedback), services.replies
        ),
        services.logbook.router(),
        incident_routes.router(services.incidents),
        runbook_routes.router(),
    ]


def routers_without_database() -> list[APIRouter]:
    """The routers on services that are not connected: enough to read the API from, not to call it."""
    clock, settings, instruments = SystemClock(), Settings(), Instruments()
    database = Database("postgresql:///", clock=clock, instruments=instruments)
    feed = SnapshotFeed(database, ChangeFeed(database, clock), clock)
    metrics = MergedMetrics(Path(), instruments, Departed(Path("departed.metrics")), clock)
    index = SeriesIndex()
    source = SampleSource(Head(index, slots=1, most=1), index, ChunkStore(database, clock))
    prometheus = timeseries_routes.router(
        EmbeddedPrometheus(source, Engine(source, clock), list, clock), only_workspace, clock
    )
    pictures = analytics_routes.router(Panels(database, None), dict, clock)
    services = services_of(settings, "", database, feed, clock, instruments)
    operations = metrics_router(metrics, settings.metrics_allow, RuledFigures(services.database, services.figures))
    health = health_routes.router(Reader(Board(Path()), Pace(1, 1), clock, tuple).standing)
    prices = PriceBook(settings.prices)
    offering = Offering(settings, [], Router([], [], []), Catalogue(database, prices, clock), prices)
    models = upstream_routes.router(offering)
    plain = [operations, prometheus, pictures, health, models, settings_routes.router(settings, {})]
    return [*control_routers(services, clock), *plain]
