"""Builds what records the figures of workspaces and evaluates the rules that they own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cmg.alerting.alerts import Alerts
from cmg.alerting.desk import Desk
from cmg.alerting.evaluation.news import News
from cmg.alerting.evaluation.reporting import Reporting
from cmg.alerting.owned.asking import AskFar, AskHere, Far
from cmg.alerting.owned.evaluating import OwnedParts, OwnedRules
from cmg.alerting.owned.recording import Recorder
from cmg.alerting.owned.store import Name
from cmg.alerting.setup.documents import AlertRule
from cmg.config import Settings
from cmg.kit.clock import Clock
from cmg.ledger.figures.workspaces import WorkspaceFigures
from cmg.storage.database import Database
from cmg.telemetry.instruments import Instruments
from cmg.timeseries.monitor import Monitor
from cmg.timeseries.promql.engine import Engine

SOURCE = "workspace-rules"


@dataclass(frozen=True)
class PagingParts:
    """What it is built on."""

    settings: Settings
    desk: Desk
    alerts: Alerts
    database: Database
    figures: WorkspaceFigures
    clock: Clock
    instruments: Instruments


def build_owned(parts: PagingParts, samples: Monitor | Far, leads: Callable[[], bool]) -> OwnedRules:
    """On the samples of this machine, which then are recorded too, or on those of a Prometheus elsewhere."""
    ask = AskHere(Engine(samples.source, parts.clock)) if isinstance(samples, Monitor) else AskFar(samples)

    def news(workspace_id: str) -> News:
        return News(Reporting(parts.alerts, workspace_id, leads, SOURCE), parts.clock, SOURCE)

    owned = OwnedParts(
        database=parts.database,
        recorder=Recorder(parts.figures, samples.keep if isinstance(samples, Monitor) else None),
        ask=ask,
        news=news,
        known=lambda: _known(parts.desk),
        clock=parts.clock,
    )
    return OwnedRules(owned, parts.instruments)


def _known(desk: Desk) -> Mapping[Name, AlertRule]:
    """The rules in the pager's copies on disk."""
    if desk.standby is None:
        return {}
    worlds = filter(None, map(desk.standby.world, desk.standby.workspaces()))
    return {(one.workspace_id, name): rule for one in worlds for name, rule in one.setup.rules.items()}
