"""The rules of every workspace at one moment after the other; what they find is told to that workspace alone."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from cmg.alerting.evaluation.news import News
from cmg.alerting.owned import store
from cmg.alerting.owned.checking import expression
from cmg.alerting.owned.recording import Recorder
from cmg.alerting.owned.store import Active, Name, RuleState
from cmg.alerting.setup.documents import AlertRule
from cmg.kit.clock import Clock
from cmg.storage.database import Database
from cmg.storage.errors import DatabaseAway
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.logs import get_logger
from cmg.timeseries.errors import QueryTimeout
from cmg.timeseries.promql.engine import Answer
from cmg.timeseries.rules.alerts import Surroundings
from cmg.timeseries.rules.evaluation import Evaluation, Outcome
from cmg.timeseries.rules.files import AlertingRule, Group
from cmg.timeseries.rules.templates import Template

EVERY_S = 60.0
QUERY_S = 5.0
WORKSPACE_S = 10.0
"""So long the rules of one workspace may take at a moment; those that are left fail, and say so."""
_MOST_ALERTS = 20
_REWRITE_MS = 300_000  # how a rule stands is written when it changes, while it waits, and so often
_log = get_logger("cmg.alerting.owned")

Ask = Callable[[str, int, float], Awaitable[Answer]]
"""An expression at a moment (ms), answered within so many seconds. Raises `QueryError`."""
Known = Callable[[], Mapping[Name, AlertRule]]
"""The rules as the pager's local copy has them, for a start without the database."""


@dataclass
class _Evaluated:
    rule: AlertRule
    evaluation: Evaluation
    state: RuleState = field(default_factory=RuleState)
    written_ms: int = 0


@dataclass
class _Turn:
    """How long the rules of a workspace may still take at this moment."""

    left_s: float = WORKSPACE_S


@dataclass(frozen=True)
class OwnedParts:
    """What it is built on. `news`: makes a workspace's teller; `known`: rules when the database cannot be asked."""

    database: Database
    recorder: Recorder
    ask: Ask
    news: Callable[[str], News]
    known: Known
    clock: Clock


class OwnedRules:
    """One that does not lead evaluates all the same, and neither tells nor writes."""

    def __init__(self, parts: OwnedParts, instruments: Instruments) -> None:
        self._parts, self._clock, self._instruments = parts, parts.clock, instruments
        self._rules: Mapping[Name, AlertRule] | None = None
        self._evaluated: dict[Name, _Evaluated] = {}
        self._past: dict[Name, RuleState] | None = None
        self._news: dict[str, News] = {}
        self._turns: dict[str, _Turn] = {}
        self._gone: set[Name] = set()
        self._at = instruments.series("cmg_owned_rules_evaluated_timestamp_seconds")

    async def run(self) -> None:
        """Evaluate for ever."""
        while True:
            now = self._clock.time()
            await self._clock.sleep(EVERY_S - now % EVERY_S)
            try:
                await self.round()
            except Exception as error:  # noqa: BLE001  whatever one rule holds, the others are evaluated on
                _log.error("a round of the workspaces' rules failed", exc_info=error)

    async def round(self) -> None:
        """Record what workspaces have used, evaluate their rules, and tell each workspace what is news."""
        at_ms = int(self._clock.time() * 1000)
        rules = await self._read()
        await self._parts.recorder.record(at_ms, sorted({workspace for workspace, _ in rules}))
        await self._take(rules)
        mine: dict[str, list[Name]] = {}
        for name in self._evaluated:
            mine.setdefault(name[0], []).append(name)
        for workspace in sorted({*mine, *self._news}):
            try:
                await self._workspace(workspace, mine.get(workspace, []), at_ms)
            except Exception as error:  # noqa: BLE001  what one workspace's alerts hold up, others' do not wait for
                _log.error("the rules of a workspace failed", workspace=workspace, exc_info=error)
        await self._write(at_ms)
        self._at.set(self._clock.time())

    async def _read(self) -> Mapping[Name, AlertRule]:
        """The rules that are enabled, as last known when the database is away."""
        try:
            found = await store.every_rule(self._parts.database)
            self._rules = {name: one for name, one in found.items() if one.enabled}
        except DatabaseAway as error:
            _log.warning("rules of workspaces cannot be read; those last known go on", error=str(error))
            if self._rules is None:
                return {name: one for name, one in self._parts.known().items() if one.enabled}
        return self._rules or {}

    async def _take(self, rules: Mapping[Name, AlertRule]) -> None:
        """Take up new and changed rules, those of before a restart where they were; let go of what is gone."""
        if self._past is None:
            try:
                self._past = await store.every_state(self._parts.database)
            except DatabaseAway as error:
                _log.warning("how rules stood before the start cannot be read yet", error=str(error))
        past = self._past or {}
        over = [name for name in self._evaluated if name not in rules]
        for name in over:
            del self._evaluated[name]
        self._gone |= {*over, *(name for name in past if name not in rules)}
        for name, rule in rules.items():
            before = self._evaluated.get(name)
            if before is not None and before.rule == rule:
                continue
            try:
                made = self._evaluated[name] = _Evaluated(rule, self._made(name, rule))
            except ValueError as error:  # it was written before what it holds was refused
                _log.error("a rule of a workspace cannot be read", workspace=name[0], rule=name[1], error=str(error))
                continue
            if before is None and name in past:
                made.evaluation.states[0].recall(past[name].past())
        for workspace in {workspace for workspace, _ in (*rules, *past)}:
            self._news.setdefault(workspace, self._parts.news(workspace))
        if self._past is not None:
            self._past = {}

    def _made(self, name: Name, rule: AlertRule) -> Evaluation:
        workspace, called = name
        labels = labels_of_rule(rule, workspace)
        alerting = AlertingRule(
            called,
            rule.expr,
            rule.for_seconds * 1000,
            0,
            {label: Template.parse(value) for label, value in labels.items()},
            {"summary": Template.parse(rule.summary or called)},
        )
        turn = self._turns.setdefault(workspace, _Turn())

        async def ask(_: str, at_ms: int) -> Answer:
            if turn.left_s <= 0:
                raise QueryTimeout(f"the workspace's rules take longer than {WORKSPACE_S:g} s together")
            begun = self._clock.monotonic()
            try:
                text = expression(rule, workspace, at_ms)
                return await self._parts.ask(text, at_ms, min(QUERY_S, turn.left_s))
            finally:
                turn.left_s -= self._clock.monotonic() - begun

        group = Group("alert-rules", f"{workspace}/{called}", int(EVERY_S * 1000), _MOST_ALERTS, (alerting,))
        return Evaluation(group, ask, lambda _, __: None, Surroundings({}))

    async def _workspace(self, workspace: str, names: list[Name], at_ms: int) -> None:
        self._turns.setdefault(workspace, _Turn()).left_s = WORKSPACE_S
        outcomes = []
        for name in names:
            one = self._evaluated[name]
            (outcome,) = await one.evaluation.step(at_ms)
            self._instruments.series("cmg_owned_rule_evaluations_total", "failed" if outcome.error else "good").inc()
            one.state = _state(at_ms, outcome)
            outcomes.append(outcome)
            await asyncio.sleep(0)  # whoever pages has the loop in between
        alerts = [alert for outcome in outcomes for alert in outcome.alerts]
        firing = {one.labels for one in alerts if one.state == "firing"}
        await self._news[workspace].tell(alerts, firing)

    async def _write(self, at_ms: int) -> None:
        """Keep how rules stand, where this process leads. Not now: at the next moment."""
        if not any(one.leads for one in self._news.values()):
            return
        due = {name: one for name, one in self._evaluated.items() if self._is_due(one, at_ms)}
        gone = self._gone - self._evaluated.keys()
        if not due and not gone:
            return
        try:
            await store.keep(self._parts.database, {name: one.state for name, one in due.items()}, gone)
        except DatabaseAway as error:
            _log.warning("how rules of workspaces stand cannot be written now", error=str(error))
            return
        for one in due.values():
            one.written_ms = at_ms
        self._gone.clear()

    @staticmethod
    def _is_due(one: _Evaluated, at_ms: int) -> bool:
        return bool(one.state.active or one.state.error) or at_ms - one.written_ms >= _REWRITE_MS


def labels_of_rule(rule: AlertRule, workspace: str) -> dict[str, str]:
    """What every alert of a rule is labelled with beside its name, whatever its expression gives."""
    return {"severity": rule.severity, "category": "workspace", "workspace": workspace}


def _state(at_ms: int, outcome: Outcome) -> RuleState:
    active = tuple(
        Active(labels=dict(one.labels), state=one.state, active_at_ms=one.active_at_ms, value=one.value)
        for one in outcome.alerts
        if one.state != "resolved"
    )
    return RuleState(at_ms=at_ms, error=outcome.error or "", active=active[:_MOST_ALERTS])
