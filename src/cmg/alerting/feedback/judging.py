"""The use cases: say whether an alert was useful or noise, and see what came of each rule."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import cached_property

import msgspec

from cmg.alerting.alerts import Alerts
from cmg.alerting.evaluation.rule_files import catalogue
from cmg.alerting.feedback import store
from cmg.alerting.feedback.store import Firing, Judgement, Page, Verdict
from cmg.alerting.models import Alert
from cmg.alerting.oncall.business import is_open
from cmg.alerting.setup.compiled import Setup
from cmg.alerting.setup.documents import BusinessCalendar, ChannelKind
from cmg.audit.models import Entry
from cmg.audit.trail import AuditTrail
from cmg.identity.models import DEFAULT_WORKSPACE, Actor
from cmg.kit.clock import Clock
from cmg.storage.database import Database
from cmg.telemetry.instruments import Instruments
from cmg.timeseries.rules.files import AlertingRule

WAKING: frozenset[ChannelKind] = frozenset({"sms", "voice", "push", "ntfy", "pagerduty"})
"""Kinds of channels that wake people."""
SHOWN_DAYS = 30
_MOST_VERDICTS = 200
_FIGURES = ("fired", "acted", "woke", "useful", "noise")


class RuleNoise(msgspec.Struct, kw_only=True):
    """What came of a rule. `woke`: how often somebody was called out of hours for a group that it was in."""

    rule: str
    fired: int = 0
    acted: int = 0
    woke: int = 0
    useful: int = 0
    noise: int = 0

    @property
    def acted_share(self) -> float | None:
        """The share of firings on which somebody acted; None: it never fired."""
        return round(self.acted / self.fired, 4) if self.fired else None

    @property
    def noise_share(self) -> float | None:
        """The share of verdicts that say noise; None: nobody said anything."""
        said = self.useful + self.noise
        return round(self.noise / said, 4) if said else None


class Feedback:
    """Every caller judges and sees the alerts of its own workspace."""

    def __init__(
        self, alerts: Alerts, database: Database, audit: AuditTrail, clock: Clock, instruments: Instruments
    ) -> None:
        self._alerts, self._database, self._audit = alerts, database, audit
        self._clock, self._instruments = clock, instruments

    async def judge(self, by: Actor, name: str, verdict: Verdict, comment: str = "") -> list[Judgement]:
        """Of an alert (16 digits), or of every one of a group (32), over or not. Raises `NotFound`."""
        story = await self._alerts.story(by, name)
        if len(name) == 16 and story.alert is not None:
            found: Sequence[Alert] = [story.alert]
        else:
            found = await self._alerts.members(by.workspace_id, name)
        now = self._clock.now()
        said = [
            Judgement(
                fingerprint=one.fingerprint,
                episode=one.episode,
                by=by.name,
                rule=one.name,
                verdict=verdict,
                comment=comment,
                group_id=one.group_id,
                at=now,
            )
            for one in found
        ]
        async with self._database.transaction() as conn:
            await store.put(conn, by.workspace_id, said)
            what = {"verdict": verdict, "alerts": len(said)}
            await self._audit.record(conn, Entry(by.name, by.workspace_id, "alert.feedback", name, what, by.client))
        self._instruments.series("cmg_alert_feedback_total", verdict).inc(len(said))
        return said

    async def said(self, by: Actor, name: str) -> list[Judgement]:
        """What was said of an alert or a group, newest first. Raises `NotFound`."""
        await self._alerts.story(by, name)
        return await store.verdicts(self._database, by.workspace_id, name, _MOST_VERDICTS)

    async def report(self, workspace_id: str, days: int) -> list[RuleNoise]:
        """What came of each rule in the last days, the noisiest first. Raises `DatabaseAway`."""
        since = self._clock.now() - timedelta(days=days)
        setup = await self._alerts.setup(workspace_id)
        waking = [name for name, channel in setup.channels.items() if channel.kind in WAKING]
        fired = await store.firings(self._database, workspace_id, since)
        pages = await store.pages(self._database, workspace_id, since, waking)
        return noise(fired, pages_out_of_hours(pages, setup), await store.counts(self._database, workspace_id, since))

    @cached_property
    def _names(self) -> frozenset[str]:
        rules = (rule for file in catalogue() for group in file.groups for rule in group.rules)
        return frozenset(rule.name for rule in rules if isinstance(rule, AlertingRule))

    async def show(self) -> None:
        """Put the report of the service's own workspace into its metrics. Rules that are not its own count as `other`.

        Raises `DatabaseAway`.
        """
        sums: dict[str, dict[str, int]] = {name: dict.fromkeys(_FIGURES, 0) for name in (*self._names, "other")}
        for one in await self.report(DEFAULT_WORKSPACE, SHOWN_DAYS):
            into = sums[one.rule if one.rule in self._names else "other"]
            for figure in _FIGURES:
                into[figure] += getattr(one, figure)
        for rule, figures in sums.items():
            for figure, count in figures.items():
                self._instruments.series("cmg_alert_rule_records", rule, figure).set(count)

    async def purge(self, days: int) -> int:
        """Delete verdicts that are older than that many days; returns the number of rows."""
        return await store.purge(self._database, self._clock.now() - timedelta(days=days))


def pages_out_of_hours(pages: Iterable[Page], setup: Setup) -> dict[str, int]:
    """Group → how often somebody was called for it when the calendar named `default` says that nobody works."""
    calendar = setup.calendars.get("default", BusinessCalendar())
    found: dict[str, int] = {}
    for one in pages:
        if not is_open(calendar, one.sent_at):
            found[one.group_id] = found.get(one.group_id, 0) + 1
    return found


def noise(
    firings: Iterable[Firing], woke: Mapping[str, int], said: Collection[tuple[str, Verdict, int]]
) -> list[RuleNoise]:
    """By rule: those most often called noise first, then those that woke people, then those that fired most."""
    found: dict[str, RuleNoise] = {}
    for one in firings:
        rule = found.setdefault(one.rule, RuleNoise(rule=one.rule))
        rule.fired += one.fired
        rule.acted += one.fired if one.acted else 0
        rule.woke += woke.get(one.group_id or "", 0)
    for name, verdict, count in said:
        rule = found.setdefault(name, RuleNoise(rule=name))
        setattr(rule, verdict, getattr(rule, verdict) + count)
    return sorted(found.values(), key=lambda one: (-one.noise, -one.woke, -one.fired, one.rule))
