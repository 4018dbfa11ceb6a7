"""The pager without its database: it goes on from the local copy, and nobody is paged twice when it comes back."""

import errno
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cmg.alerting.alerts import Alerts
from cmg.alerting.delivery.pager import Pager
from cmg.alerting.delivery.sender import Sender
from cmg.alerting.desk import Desk
from cmg.alerting.escalation.actions import acknowledge
from cmg.alerting.escalation.timers import advance
from cmg.alerting.models import Report
from cmg.alerting.standby.local_copy import LocalCopy
from cmg.storage.errors import DatabaseAway
from support.alerting_world import TIERS, document
from support.fake_receivers import Receivers, channels_at

DOWN = Report(labels={"alertname": "Down", "severity": "critical"})


class Unsteady:
    """The real database, which can go away; `after_commit`: it commits, and the answer is lost."""

    def __init__(self, database) -> None:
        self._database = database
        self.away = self.after_commit = False

    @asynccontextmanager
    async def transaction(self, timeout_s: float = 5):
        self._ask()
        async with self._database.transaction(timeout_s) as conn:
            yield conn
        if self.after_commit:
            self.away = True
            self._ask()

    async def fetch(self, *given, **named):
        self._ask()
        return await self._database.fetch(*given, **named)

    async def fetchval(self, *given, **named):
        self._ask()
        return await self._database.fetchval(*given, **named)

    def _ask(self) -> None:
        if self.away:
            raise DatabaseAway("the database is away")


@pytest.fixture
def unsteady(database) -> Unsteady:
    return Unsteady(database)


@pytest.fixture
async def people(configuring, admin, receivers) -> None:
    await configuring.put(admin, "channels", "sms", document("channels", channels_at(receivers.url)["sms"]))
    for who in TIERS:
        body = {"name": who, "contacts": [{"channel": "sms", "address": f"+1555{len(who)}{who}"}]}
        await configuring.put(admin, "responders", who, document("responders", body))
    steps = [{"after_minutes": minutes, "targets": [{"responder": who}]} for who, minutes in TIERS.items()]
    policy = {"name": "All", "steps": steps}
    await configuring.put(admin, "escalation-policies", "default", document("escalation-policies", policy))
    await configuring.put(admin, "handling", "default", document("handling", {"wait_seconds": 0}))


@pytest.fixture
def monitor(unsteady, audit, clock, instruments, sealer, session, tmp_path: Path):
    """Makes a monitor on a machine's data dir."""

    def made(machine: str = "one") -> Pager:
        desk = Desk(unsteady, audit, clock, LocalCopy(tmp_path / machine))
        return Pager(desk, Sender(desk, sealer, clock, instruments, lambda: session), clock, instruments, machine)

    return made


def alerts_of(pager: Pager, unsteady, clock) -> Alerts:
    return Alerts(pager._desk, unsteady, clock)


async def passed(clock, pager: Pager, minutes: float) -> None:
    for _ in range(int(minutes * 2)):
        clock.advance(30)
        await pager.round()


def told(receivers: Receivers) -> list[str]:
    return [one.body["To"] for one in receivers.got]


EVERYBODY = [f"+1555{len(who)}{who}" for who in TIERS]
pytestmark = pytest.mark.usefixtures("people")


async def test_a_whole_escalation_without_the_database_and_no_second_page_after(
    monitor, unsteady, receivers, clock, database
):
    pager = monitor()
    await pager.round()
    unsteady.away = True
    await alerts_of(pager, unsteady, clock).receive("default", [DOWN])
    await pager.round()
    await passed(clock, pager, 61)
    assert told(receivers) == EVERYBODY
    unsteady.away = False
    await passed(clock, pager, 30)
    assert told(receivers) == EVERYBODY
    rows = await database.fetch("SELECT state FROM alerting_notifications")
    assert [row["state"] for row in rows] == ["sent"] * 4
    assert await database.fetchval("SELECT count(*) FROM alerting_alerts WHERE active") == 1
    assert await database.fetchval("SELECT count(*) FROM alerting_decisions") >= 5
    assert not pager._desk.standby.waits("default")


async def test_it_goes_away_in_the_middle_and_the_next_tier_is_told_in_its_time(monitor, unsteady, receivers, clock):
    pager = monitor()
    await alerts_of(pager, unsteady, clock).receive("default", [DOWN])
    await pager.round()
    await passed(clock, pager, 10)
    unsteady.away = True
    await passed(clock, pager, 10)
    assert told(receivers) == EVERYBODY[:2]
    unsteady.away = False
    await passed(clock, pager, 41)
    assert told(receivers) == EVERYBODY


async def test_a_process_that_is_killed_meanwhile_goes_on_from_its_files(monitor, unsteady, receivers, clock):
    pager = monitor()
    await pager.round()
    unsteady.away = True
    await alerts_of(pager, unsteady, clock).receive("default", [DOWN])
    await pager.round()
    await passed(clock, pager, 20)
    after = monitor()
    await passed(clock, after, 41)
    assert told(receivers) == EVERYBODY
    unsteady.away = False
    await passed(clock, after, 5)
    assert told(receivers) == EVERYBODY


async def test_a_line_that_a_kill_cut_takes_nothing_with_it(monitor, unsteady, receivers, clock, database, tmp_path):
    pager = monitor()
    await pager.round()
    unsteady.away = True
    await alerts_of(pager, unsteady, clock).receive("default", [DOWN])
    await pager.round()
    (spool,) = (tmp_path / "one").glob("*.spool")
    with spool.open("ab") as opened:
        opened.write(b'{"now":17,"alerts":{"a')
    await passed(clock, monitor(), 61)
    assert told(receivers) == EVERYBODY
    unsteady.away = False
    await passed(clock, monitor(), 5)
    assert told(receivers) == EVERYBODY
    assert await database.fetchval("SELECT count(*) FROM alerting_notifications WHERE state = 'sent'") == 4


async def test_people_are_woken_though_the_disk_is_full_as_well(monitor, unsteady, receivers, clock, monkeypatch):
    pager = monitor()
    await pager.round()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pager._desk.standby, "append", full)
    monkeypatch.setattr(pager._desk.standby, "save", full)
    unsteady.away = True
    await alerts_of(pager, unsteady, clock).receive("default", [DOWN])
    await pager.round()
    await passed(clock, pager, 61)
    assert told(receivers) == EVERYBODY
    unsteady.away = False
    await passed(clock, pager, 5)
    references = [one.body["Body"].splitlines()[-1] for one in receivers.got]
    assert len(set(references)) == len(EVERYBODY), "whoever is told again is told under the same reference"


async def test_an_acknowledgement_without_the_database_stops_it_and_is_kept(
    monitor, unsteady, receivers, clock, database
):
    pager = monitor()
    await pager.round()
    unsteady.away = True
    await alerts_of(pager, unsteady, clock).receive("default", [DOWN])
    await pager.round()
    world = pager._desk.worlds["default"]
    (group,) = world.groups.values()
    await pager._desk.change("default", lambda changes: acknowledge(changes, changes.world.groups[group.id], "ada"))
    await passed(clock, pager, 30)
    unsteady.away = False
    await passed(clock, pager, 5)
    assert told(receivers) == EVERYBODY[:1]
    assert await database.fetchval("SELECT status FROM alerting_groups") == "acknowledged"


async def test_what_was_acknowledged_elsewhere_meanwhile_stays_so(monitor, unsteady, receivers, clock, database, audit):
    pager = monitor()
    await alerts_of(pager, unsteady, clock).receive("default", [DOWN])
    await pager.round()
    unsteady.away = True
    await passed(clock, pager, 16)
    elsewhere = Desk(database, audit, clock)
    await elsewhere.change("default", lambda changes: acknowledge(changes, *changes.world.groups.values(), "bob"))
    unsteady.away = False
    await passed(clock, pager, 30)
    assert told(receivers) == EVERYBODY[:2], "nobody after the acknowledgement"
    assert await database.fetchval("SELECT status FROM alerting_groups") == "acknowledged"


async def test_one_that_stands_by_does_not_page_without_the_database(monitor, unsteady, receivers, clock):
    one, other = monitor("one"), monitor("other")
    await alerts_of(one, unsteady, clock).receive("default", [DOWN])
    await one.round()
    await other.round()
    unsteady.away = True
    clock.advance(16 * 60)
    with pytest.raises(DatabaseAway):
        await other.round()
    await one.round()
    assert told(receivers) == EVERYBODY[:2]


async def test_a_commit_whose_answer_was_lost_pages_nobody_twice(monitor, unsteady, receivers, clock):
    pager = monitor()
    await alerts_of(pager, unsteady, clock).receive("default", [DOWN])
    unsteady.after_commit = True
    await pager._desk.take_lease("pager", "one", 3600)
    await pager.round()
    await passed(clock, pager, 5)
    unsteady.away = unsteady.after_commit = False
    await passed(clock, pager, 5)
    assert told(receivers) == EVERYBODY[:1]


async def test_the_copy_holds_no_secret_in_the_clear(monitor, unsteady, clock, tmp_path):
    pager = monitor()
    await alerts_of(pager, unsteady, clock).receive("default", [DOWN])
    await pager.round()
    (file,) = (tmp_path / "one").glob("*.world")
    assert file.stat().st_mode & 0o777 == 0o600
    assert b"sealed:" in file.read_bytes()
    assert b'auth_token\\":\\"t' not in file.read_bytes()


def _call(*groups: str) -> Report:
    labels = {"alertname": "IncidentDeclared", "severity": "P1", "sev": "SEV-1", "cmg_incident": "INC-1"}
    return Report(labels=labels, annotations={"summary": "INC-1", "cmg_groups": " ".join(groups)})


@pytest.mark.parametrize("raised_by", ["rule", "hand"])
async def test_a_sev_1_calls_every_tier_without_the_database_and_nobody_again_after(
    raised_by, monitor, unsteady, receivers, clock
):
    pager = monitor()
    await pager.round()
    alerts = alerts_of(pager, unsteady, clock)
    if raised_by == "hand":
        await alerts.receive("default", [DOWN])
        await pager.round()
        assert told(receivers) == EVERYBODY[:1]
        (group,) = pager._desk.worlds["default"].groups
        await alerts.receive("default", [_call(group)])  # and before anybody is called, the database goes
    unsteady.away = True
    if raised_by == "rule":
        await alerts.receive("default", [Report(labels={**DOWN.labels, "incident": "SEV-1"})])
        (group,) = pager._desk.worlds["default"].groups
    await passed(clock, pager, 1)
    assert sorted(told(receivers)) == sorted(EVERYBODY)
    await passed(clock, pager, 40)
    unsteady.away = False
    await passed(clock, pager, 1)
    await alerts.receive("default", [_call(group)])
    await passed(clock, pager, 15)
    assert sorted(told(receivers)) == sorted(EVERYBODY), "nobody is called a second time, before or after"


async def test_a_pager_that_is_killed_between_the_claim_and_the_end_calls_no_tier_too_little(
    monitor, unsteady, receivers, clock
):
    pager = monitor()
    await pager.round()
    await alerts_of(pager, unsteady, clock).receive("default", [_call()])
    unsteady.away = True
    await pager._desk.change("default", advance)
    clock.advance(30)
    after = monitor()  # a new process on the same data dir, still without the database
    await passed(clock, after, 2)
    assert sorted(told(receivers)) == sorted(EVERYBODY)
