"""Builds what tells people of alerts: rules evaluated on this machine's samples, the pager, the watchdog."""

import os
import socket
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

import aiohttp

from cmg.alerting.alerts import Alerts
from cmg.alerting.answering.answers import Answers
from cmg.alerting.answering.links import Links
from cmg.alerting.answering.replies import Replies
from cmg.alerting.delivery.heartbeat import Heartbeat
from cmg.alerting.delivery.pager import Pager
from cmg.alerting.delivery.sender import Sender
from cmg.alerting.desk import Desk
from cmg.alerting.evaluation.evaluator import Evaluator
from cmg.alerting.evaluation.reporting import Reporting
from cmg.alerting.evaluation.rule_files import catalogue, of_paths
from cmg.alerting.feedback.judging import Feedback
from cmg.alerting.owned.asking import Far
from cmg.alerting.owned.evaluating import OwnedRules
from cmg.app.alerting.owning import PagingParts, build_owned
from cmg.app.processes.resources import Resource, Resources
from cmg.config import Settings
from cmg.identity.models import DEFAULT_WORKSPACE
from cmg.kit.clock import Clock
from cmg.kit.ids import public_id
from cmg.storage.sealing.sealer import Sealer, master_keys
from cmg.telemetry.instruments import Instruments
from cmg.timeseries.monitor import Monitor
from cmg.timeseries.rules.alerts import Surroundings
from cmg.timeseries.rules.evaluation import Evaluation

_LATE_S = 60.0


def build_sealer(settings: Settings) -> Sealer:
    """Under the master key of the settings or of the data dir."""
    return Sealer(lambda: master_keys(settings.master_key, settings.data_dir))


def holder_name() -> str:
    """By which this process holds a lease: nobody else has it, nor this process after a restart."""
    return f"{socket.gethostname()}-{os.getpid()}-{public_id(4)}"


def build_sender(
    settings: Settings, desk: Desk, clock: Clock, instruments: Instruments, session: aiohttp.ClientSession
) -> Sender:
    """A sender on open connections."""
    sender = Sender(desk, build_sealer(settings), clock, instruments, lambda: session)
    sender.links = build_links(settings)
    return sender


def build_links(settings: Settings) -> Links:
    """Links of messages, signed under the master key; none without `public_url`."""
    return Links(lambda: master_keys(settings.master_key, settings.data_dir), settings.public_url)


def build_answers(settings: Settings, alerts: Alerts, clock: Clock, feedback: Feedback) -> Answers:
    """What is done when one is followed, or Slack, PagerDuty or Twilio calls."""
    return Answers(alerts, build_links(settings), build_sealer(settings), clock, feedback)


def build_replies(settings: Settings, alerts: Alerts, instruments: Instruments) -> Replies:
    """What is done when somebody replies to an SMS."""
    return Replies(alerts, build_sealer(settings), settings.public_url, instruments)


@dataclass(frozen=True)
class Paging:
    """The parts, for whoever runs them and shows them."""

    pager: Pager
    heartbeat: Heartbeat
    evaluator: Evaluator | None
    owned: OwnedRules

    def work(self) -> list[Coroutine[Any, Any, None]]:
        """What runs until cancelled."""
        rules = [] if self.evaluator is None else [self.evaluator.run()]
        return [self.pager.run(), self.heartbeat.run(), self.owned.run(), *rules]


def build_paging(parts: PagingParts, resources: Resources, samples: Monitor | Far) -> Paging:
    """Build it inside the loop. `samples`: this machine's, or a Prometheus elsewhere, which then evaluates rules.

    Raises `RuleFileError` and `OSError` for a rule file that cannot be used.
    """
    session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=True)
    resources.add(Resource("notification connections", session.close))
    desk, clock, instruments = parts.desk, parts.clock, parts.instruments
    sender = build_sender(parts.settings, desk, clock, instruments, session)
    pager = Pager(desk, sender, clock, instruments, holder_name())
    evaluator = _evaluator(parts, samples, pager) if isinstance(samples, Monitor) else None
    owned = build_owned(parts, samples, lambda: pager.leads)

    def wrong() -> str:
        if not pager.leads:
            return "another process pages"
        if pager.late_s > _LATE_S:
            return f"the pager is {pager.late_s:.0f} s late"
        return "" if evaluator is None or evaluator.fresh else "rules were not evaluated at their last moment"

    return Paging(pager, Heartbeat(desk, wrong, clock, instruments, lambda: session), evaluator, owned)


def _evaluator(parts: PagingParts, monitor: Monitor, pager: Pager) -> Evaluator:
    settings = parts.settings
    surroundings = Surroundings({}, f"http://{settings.host}:{settings.port}")
    groups = [group for file in (*catalogue(), *of_paths(settings.timeseries.rule_files)) for group in file.groups]
    evaluations = [Evaluation(one, monitor.engine.instant, monitor.keep, surroundings) for one in groups]
    port = Reporting(parts.alerts, DEFAULT_WORKSPACE, lambda: pager.leads)
    return Evaluator(evaluations, port, parts.clock, parts.instruments)
