"""What a drill came to: only the rules that should fire are measured; what fired beside them is told."""

from cmg.alerting.models import Alert, Group, Notification
from cmg.app.drills.measuring import Measure, Seen, Times, measures
from cmg.app.drills.scenarios import SCENARIOS
from support.alerting_world import setup_of, tiers

BEGAN, ENDED = 1000.0, 1200.0
TIMES = Times(BEGAN, ENDED, minute_s=2)
POLICIES = setup_of(tiers()).policies


def alert(name: str, quantity: str, starts_at: float, group: str) -> Alert:
    labels = {"alertname": name, "quantity": quantity}
    return Alert(fingerprint=name, labels=labels, starts_at=starts_at, seen_at=starts_at, group_id=group)


def group(name: str, severity: str = "P2", resolved_at: float | None = None) -> Group:
    status = "open" if resolved_at is None else "resolved"
    return Group(
        id=name, key=name, labels={}, title=name, severity=severity, opened_at=BEGAN, policy_id="default",
        status=status, begun_at=BEGAN + 70, resolved_at=resolved_at,
    )  # fmt: skip


def message(key: str, group_id: str, step: str, sent_at: float) -> Notification:
    return Notification(
        key=key, group_id=group_id, occasion="page", target="responder:ada", channel="sms", address="1", step=step,
        subject="", body="", severity="P2", created_at=sent_at, due_at=sent_at, state="sent", sent_at=sent_at,
    )  # fmt: skip


def seen() -> Seen:
    """A slow database: DatabaseAway first, the slow statements after it; both were told and are over."""
    found = Seen()
    found.add(
        [alert("Away", "database", 1010, "beside"), alert("Slow", "database_query_time", 1060, "expected")],
        [group("beside", resolved_at=1230), group("expected", resolved_at=1300)],
        [
            message("a", "beside", "tier 1 1.0", 1011),
            message("b", "expected", "tier 1 1.0", 1062),
            message("c", "expected", "tier 2 2.0", 1101),
        ],
    )
    return found


def taken(whole: Seen, name: str = "database-slow") -> dict[str, Measure]:
    return {one.what: one for one in measures(SCENARIOS[name], whole, TIMES, POLICIES)}


def test_what_fired_beside_is_told_and_not_measured():
    found = taken(seen())
    assert (found["detection"].seconds, found["detection"].note) == (60, "Slow")
    assert (found["notification"].seconds, found["escalation"].seconds) == (2, 31)
    assert (found["recovery"].seconds, found["recovery"].note) == (100, "also practised: Away")
    assert all(one.met for one in found.values())


def test_what_fired_beside_alone_is_no_detection():
    whole = seen()
    del whole.alerts["Slow"]
    found = taken(whole)
    assert (found["detection"].seconds, found["detection"].met) == (None, False)
    assert (found["notification"].seconds, found["recovery"].seconds) == (None, None)


def test_what_is_not_over_is_not_recovered():
    whole = seen()
    whole.groups["expected"] = group("expected")
    assert not taken(whole)["recovery"].met


def test_no_drill_takes_for_practice_what_it_does_not_cause():
    """Rules about money, security and error budgets stay real in every drill."""
    quantities = {one for scenario in SCENARIOS.values() for one in (*scenario.quantities, *scenario.beside)}
    assert not quantities & {"availability", "latency", "budget", "cost", "authentication"}
