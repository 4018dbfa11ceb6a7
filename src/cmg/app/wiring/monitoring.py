"""Who answers PromQL, and what scrapes, evaluates and pages."""

from cmg.alerting.evaluation.prometheus_api import WithRules
from cmg.alerting.standby.local_copy import LocalCopy
from cmg.app.alerting.owning import PagingParts
from cmg.app.alerting.paging import build_paging
from cmg.app.processes.metrics import MergedMetrics
from cmg.app.processes.orders import Orders
from cmg.app.processes.resources import Resource, Resources, Work
from cmg.app.wiring.services import Services
from cmg.config import Settings
from cmg.health.probes.timeseries import freshness_probe, remote_probe
from cmg.jobs.leap import Leap
from cmg.kit.clock import SystemClock
from cmg.telemetry.disk import DiskGuard
from cmg.telemetry.instruments import Instruments
from cmg.timeseries.api import routes as timeseries_routes
from cmg.timeseries.api.remote import RemotePrometheus
from cmg.timeseries.monitor import Monitor
from cmg.timeseries.scrape.targets import OwnMetrics
from cmg.timeseries.store.scrape_log import ScrapeLog


def monitoring_of(
    orders: Orders, resources: Resources, services: Services, metrics: MergedMetrics, instruments: Instruments
) -> tuple[timeseries_routes.Prometheus, list[Work]]:
    """Who answers PromQL, on what this process scrapes and keeps or far away; that work, rules and paging."""
    settings, clock = orders.settings, SystemClock()
    services.desk.standby = LocalCopy(settings.data_dir / "alerting")
    parts = PagingParts(
        settings, services.desk, services.alerts, services.database, services.figures, clock, instruments
    )
    if (far := far_prometheus(settings, resources)) is not None:
        resources.watch(remote_probe(lambda: far.answer("query", {"query": ["1"]})))
        return far, build_paging(parts, resources, far).work()
    log = ScrapeLog(settings.data_dir / "timeseries", DiskGuard(settings.data_dir, clock))
    monitor = Monitor(settings.timeseries, log, services.database, clock, instruments)
    monitor.upkeep.beside_database = not settings.database_url
    monitor.upkeep.deletes_nothing = Leap(clock).holds
    resources.add(Resource("time series", monitor.close))
    resources.watch(freshness_probe(monitor.newest, settings.timeseries.scrape_interval_s, SystemClock()))
    monitor.restore()
    own = OwnMetrics(f"{settings.host}:{settings.port}", metrics.collect)
    paging = build_paging(parts, resources, monitor)
    shown = monitor if paging.evaluator is None else WithRules(monitor, paging.evaluator)
    return shown, [monitor.run([own]), *paging.work()]


def far_prometheus(settings: Settings, resources: Resources) -> RemotePrometheus | None:
    """The Prometheus of the settings, if they name one."""
    if not settings.prometheus_url:
        return None
    remote = RemotePrometheus(settings.prometheus_url)
    resources.add(Resource("prometheus", remote.close))
    return remote
