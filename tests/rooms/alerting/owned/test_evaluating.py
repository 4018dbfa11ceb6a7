"""Rules that workspaces own, from the ledger's rows to the alerts of the workspace that wrote them."""

import json

import pytest

from cmg.alerting.alerts import Alerts
from cmg.alerting.evaluation.news import News
from cmg.alerting.evaluation.reporting import Reporting
from cmg.alerting.owned import store
from cmg.alerting.owned.asking import AskFar, AskHere
from cmg.alerting.owned.evaluating import OwnedParts, OwnedRules
from cmg.alerting.owned.recording import Recorder
from cmg.alerting.owned.routes import OwnedRuleStates
from cmg.alerting.owned.templates import template
from cmg.alerting.store import AlertFilter
from cmg.identity.models import Actor, ApiKey, Budget, Workspace
from cmg.identity.snapshot import Snapshot
from cmg.kit.clock import at
from cmg.kit.errors import Conflict, NotFound
from cmg.ledger.figures.workspaces import WorkspaceFigures
from cmg.ledger.usage_sink import UsageSink
from cmg.timeseries.promql.engine import Engine
from cmg.timeseries.rules.trials.samples import TrialSamples
from rooms.ledger.spools import usage_payload
from support.alerting_world import document, tiers

NANO = 1_000_000_000
COST_RULE = {"expr": "increase(cmg_workspace_cost_usd_total[5m]) > 1", "severity": "P2", "summary": "{{ $value }} USD"}
LAST = at(4e9)


def _actor(workspace: str) -> Actor:
    return Actor("key:me", frozenset({"admin"}), workspace, "127.0.0.1", "me")


class House:
    """Two workspaces `a` and `b` with people of their own, and a monitor that evaluates their rules."""

    def __init__(self, database, clock, instruments, desk, configuring) -> None:
        self.database, self.clock, self.instruments = database, clock, instruments
        self.desk, self.configuring = desk, configuring
        self.alerts = Alerts(desk, database, clock)
        key = ApiKey(id="k-a", workspace_id="a", name="k", budget=Budget(period="month", usd_nano=10 * NANO))
        self.snapshot = Snapshot({"k-a": key}, {one: Workspace(id=one, name=one) for one in "ab"})
        self.samples, self.leads = TrialSamples(), True
        self.rules = self.made()

    def made(self, ask=None) -> OwnedRules:
        parts = OwnedParts(
            database=self.database,
            recorder=Recorder(WorkspaceFigures(self.database, lambda: self.snapshot, self.clock), self.samples.keep),
            ask=ask or AskHere(Engine(self.samples, self.clock)),
            news=lambda workspace: News(
                Reporting(self.alerts, workspace, lambda: self.leads, "workspace-rules"), self.clock, "workspace-rules"
            ),
            known=dict,
            clock=self.clock,
        )
        return OwnedRules(parts, self.instruments)

    async def write(self, workspace: str, name: str, **fields) -> None:
        rule = document("alert-rules", {**COST_RULE, **fields})
        await self.configuring.put(_actor(workspace), "alert-rules", name, rule)

    async def spend(self, workspace: str, usd: float, calls: int = 1, status: str = "ok") -> None:
        sink = UsageSink()
        one = {"workspace_id": workspace, "key_id": f"k-{workspace}", "status": status, "at": self.clock.time()}
        async with self.database.transaction() as conn:
            await sink.write(conn, [usage_payload(**one, cost_nano=int(usd * NANO)) for _ in range(calls)])

    async def minutes(self, count: int) -> None:
        for _ in range(count):
            self.clock.advance(60)
            await self.rules.round()

    async def firing(self, workspace: str) -> list[str]:
        found = await self.alerts.page(_actor(workspace), AlertFilter(LAST, "", active=True))
        return sorted(one.name for one in found)


@pytest.fixture
async def house(database, clock, instruments, desk, configuring) -> House:
    for workspace in "ab":
        await database.execute(
            "INSERT INTO workspaces (id, name, timezone, created_at, updated_at) VALUES ($1, $1, 'UTC', now(), now())",
            workspace,
        )
        for kind, named in tiers().items():
            for name, body in named.items():
                await configuring.put(_actor(workspace), kind, name, document(kind, body))
    return House(database, clock, instruments, desk, configuring)


async def test_spending_fires_in_the_workspace_that_spent_and_is_told_to_its_people_alone(house):
    await house.write("a", "costly")
    await house.write("b", "costly")
    await house.minutes(2)
    await house.spend("a", 3)
    await house.minutes(2)
    assert (await house.firing("a"), await house.firing("b"), await house.firing("default")) == (["costly"], [], [])
    (group,) = house.desk.worlds["a"].groups.values()
    assert (group.severity, group.policy_id) == ("P2", "default")
    assert "USD" in group.title
    assert not house.desk.worlds.get("b") or not house.desk.worlds["b"].groups
    await house.minutes(7)
    assert await house.firing("a") == [], "five minutes later nothing was spent within five minutes"


async def test_a_rule_waits_for_its_time_also_over_a_restart(house):
    await house.write("a", "budget", expr=template("budget").rule(0.5).expr, for_seconds=1800)
    await house.spend("a", 6)
    await house.minutes(27)
    assert await house.firing("a") == []
    house.rules = house.made()
    await house.minutes(5)
    assert await house.firing("a") == [], "ten minutes of grace, as in Prometheus"
    await house.minutes(7)
    assert await house.firing("a") == ["budget"], "it did not wait for half an hour anew"


async def test_a_rule_that_is_removed_or_disabled_fires_no_more(house):
    await house.write("a", "one", expr="cmg_workspace_cost_usd_total > 1")
    await house.write("a", "two", expr="cmg_workspace_cost_usd_total > 1")
    await house.spend("a", 3)
    await house.minutes(1)
    assert await house.firing("a") == ["one", "two"]
    await house.configuring.remove(_actor("a"), "alert-rules", "one")
    await house.write("a", "two", expr="cmg_workspace_cost_usd_total > 1", enabled=False)
    await house.minutes(1)
    assert await house.firing("a") == []
    assert await house.database.fetchval("SELECT count(*) FROM alerting_rule_states") == 0


async def test_a_rule_removed_while_nobody_evaluated_ends_after_the_start(house):
    await house.write("a", "one", expr="cmg_workspace_cost_usd_total > 1")
    await house.spend("a", 3)
    await house.minutes(1)
    await house.configuring.remove(_actor("a"), "alert-rules", "one")
    house.rules = house.made()
    await house.minutes(1)
    assert await house.firing("a") == []


async def test_errors_of_calls_make_the_template_fire(house):
    await house.write("a", "errors", **template("error-rate").rule().model_dump(include={"expr", "for_seconds"}))
    await house.spend("a", 0, calls=1)
    await house.minutes(3)
    await house.spend("a", 0, calls=30)
    await house.spend("a", 0, calls=10, status="cut")
    await house.minutes(4)
    assert await house.firing("a") == ["errors"]


async def test_one_that_stands_by_tells_and_writes_nothing(house):
    house.leads = False
    await house.write("a", "one", expr="cmg_workspace_cost_usd_total > 1")
    await house.spend("a", 3)
    await house.minutes(2)
    assert await house.firing("a") == []
    assert await store.every_state(house.database) == {}
    house.leads = True
    await house.minutes(1)
    assert await house.firing("a") == ["one"]


async def test_a_rule_that_fails_says_so_and_the_others_go_on(house):
    await house.write("a", "good", expr="cmg_workspace_cost_usd_total > 1")
    bad = json.dumps({**COST_RULE, "expr": 'cmg_workspace_cost_usd_total{workspace="b"}'})
    await house.database.execute(
        "INSERT INTO alerting_documents VALUES ('a', 'alert-rules', 'bad', $1::text::jsonb, 1, now(), 'x')", bad
    )
    await house.spend("a", 3)
    await house.spend("b", 9)
    await house.minutes(1)
    assert await house.firing("a") == ["good"]
    states = OwnedRuleStates(house.database)
    assert 'workspace="b"' in (await states.show(_actor("a"), "bad"))[0].error
    (active,) = (await states.show(_actor("a"), "good"))[0].active
    assert (active.state, active.labels["workspace"], active.value) == ("firing", "a", 3.0)
    with pytest.raises(NotFound):
        await states.show(_actor("b"), "good")


async def test_rules_that_take_too_long_do_not_keep_others_waiting(house):
    async def slow(text: str, at_ms: int, within_s: float):
        if 'workspace="a"' in text:
            house.clock.advance(6)
        return await AskHere(Engine(house.samples, house.clock))(text, at_ms, within_s)

    for name in ("one", "two", "three"):
        await house.write("a", name, expr="cmg_workspace_cost_usd_total > 1")
    await house.write("b", "one", expr="cmg_workspace_cost_usd_total > 1")
    await house.spend("b", 3)
    house.rules = house.made(slow)
    await house.minutes(1)
    assert await house.firing("b") == ["one"]
    errors = {rule: one.error for (workspace, rule), one in (await store.every_state(house.database)).items()}
    assert "longer than 10 s" in errors["two"]


async def test_a_workspace_whose_alerts_fail_does_not_keep_others_waiting(house, monkeypatch):
    for workspace in "ab":
        await house.write(workspace, "one", expr="cmg_workspace_cost_usd_total > 1")
        await house.spend(workspace, 3)
    receive = house.alerts.receive

    async def failing(workspace, reports):
        if workspace == "a":
            raise RuntimeError("odd")
        return await receive(workspace, reports)

    monkeypatch.setattr(house.alerts, "receive", failing)
    await house.minutes(1)
    assert (await house.firing("a"), await house.firing("b")) == ([], ["one"])
    monkeypatch.setattr(house.alerts, "receive", receive)
    await house.minutes(1)
    assert await house.firing("a") == ["one"], "what could not be told is told at the next moment"


async def test_a_rule_with_an_odd_summary_does_not_keep_others_waiting(house):
    await house.write("a", "good", expr="cmg_workspace_cost_usd_total > 1")
    odd = json.dumps({**COST_RULE, "summary": "{{ query `up` }}"})
    await house.database.execute(
        "INSERT INTO alerting_documents VALUES ('a', 'alert-rules', 'odd', $1::text::jsonb, 1, now(), 'x')", odd
    )
    await house.spend("a", 3)
    await house.minutes(1)
    assert await house.firing("a") == ["good"]


async def test_without_the_database_the_rules_go_on_with_what_is_known(house, monkeypatch):
    from cmg.storage.errors import DatabaseAway

    await house.write("a", "one", expr="cmg_workspace_cost_usd_total > 1")
    await house.spend("a", 3)
    house.leads = False
    await house.minutes(1)

    async def away(*_, **__):
        raise DatabaseAway("away")

    monkeypatch.setattr(house.database, "fetch", away)
    await house.minutes(1)
    one = house.rules._evaluated["a", "one"]
    assert [active.state for active in one.state.active] == ["firing"]


async def test_the_state_says_which_policy_takes_its_alerts_or_that_nobody_is_told(house):
    states = OwnedRuleStates(house.database)
    await house.write("a", "one")
    assert (await states.show(_actor("a"), "one"))[1] == "default"
    await house.configuring.remove(_actor("a"), "escalation-policies", "default")
    assert (await states.show(_actor("a"), "one"))[1] is None


async def test_a_workspace_has_a_bounded_number_of_rules(house):
    for number in range(50):
        await house.write("a", f"r{number}")
    with pytest.raises(Conflict, match="50"):
        await house.write("a", "one-more")
    await house.write("a", "r1", severity="P4")
    await house.write("b", "its-own")


async def test_a_prometheus_elsewhere_is_asked_with_the_workspace_in_every_selector(house):
    asked = []

    class Far:
        async def answer(self, endpoint, form):
            asked.append((endpoint, form["query"][0], form["timeout"][0]))
            metric = {"workspace": "a", "job": "cmg-workspaces", "instance": "x:1"}
            other = {**metric, "instance": "y:1"}
            rows = [{"metric": metric, "value": [1.5, "2"]}, {"metric": other, "value": [1.5, "3"]}]
            return 200, json.dumps({"status": "success", "data": {"resultType": "vector", "result": rows}}).encode()

    await house.write("a", "one")
    house.rules = house.made(AskFar(Far()))
    await house.minutes(1)
    ((endpoint, query, timeout),) = asked
    assert (endpoint, timeout) == ("query", "5000ms")
    assert '{__name__="cmg_workspace_cost_usd_total", workspace="a"}[300000ms]' in query
    (active,) = house.rules._evaluated["a", "one"].state.active
    assert active.labels == {"alertname": "one", "category": "workspace", "severity": "P2", "workspace": "a"}
    assert active.value == 3.0


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (503, {"status": "error", "errorType": "unavailable", "error": "gone"}, "gone"),
        (422, {"status": "error", "errorType": "execution", "error": "too many"}, "too many"),
        (200, {"status": "success", "data": {"resultType": "matrix", "result": []}}, "without a vector"),
        (200, {"odd": 1}, "cannot be read"),
    ],
)
async def test_what_a_prometheus_elsewhere_cannot_answer_is_an_error_of_the_rule(house, status, body, told):
    class Far:
        async def answer(self, *_):
            return status, json.dumps(body).encode()

    await house.write("a", "one")
    house.rules = house.made(AskFar(Far()))
    await house.minutes(1)
    assert told in house.rules._evaluated["a", "one"].state.error
