"""The pager is killed by kill -9 where it hurts, or has no database: no page is missed, and a repeat is known as one.

Five groups of alerts go up four tiers by SMS and by webhook, a minute counting for a second (as in a drill that pages).
Each test prints its counts; they stand in ADR 0018.
"""

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from support.fake_receivers import Got, Receivers, channels_at, receiving
from support.postgres import OwnPostgres
from support.processes import kill, wait_until
from support.service import WITHOUT_EMBEDDER, Service, ServiceOptions, eventually

NAMES = [f"Kill{letter}" for letter in "ABCDE"]
TIERS = ["ada", "bob", "mia", "sam"]
KINDS = ("sms", "webhook")
BATCH = len(NAMES) * len(KINDS)
WAIT_S = 60.0
Page = tuple[str, str, str]
"""Kind of channel, tier, group."""


@dataclass
class Lab:
    """A service, its database, and whoever is told."""

    service: Service
    database: OwnPostgres
    receivers: Receivers

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        status, answer = await asyncio.to_thread(self.service.call, method, path, body)
        assert status < 300, (path, answer)
        return answer

    async def until(self, condition: Callable[[], object], what: str, timeout_s: float = WAIT_S) -> float:
        """Wait; returns the seconds it took."""
        began = time.monotonic()
        await asyncio.to_thread(wait_until, condition, timeout_s, what)
        return time.monotonic() - began

    def pages(self, run: str) -> dict[Page, list[str]]:
        """Page → the references under which it arrived, of one run."""
        found: dict[Page, list[str]] = defaultdict(list)
        for one in self.receivers.got:
            told = _page(one)
            if told is not None and run in str(one.body):
                found[told[0]].append(told[1])
        return found

    def tier(self, run: str, number: int) -> int:
        """How many pages of a tier arrived, repeats too."""
        return sum(len(told) for page, told in self.pages(run).items() if page[1] == TIERS[number])

    async def fire(self, run: str) -> None:
        labels = [{"alertname": name, "severity": "P1", "run": run} for name in NAMES]
        body = {"alerts": [{"labels": one, "annotations": {"summary": f"{run} {one['alertname']}"}} for one in labels]}
        await self.call("POST", "/admin/v1/alerts", body)

    async def killed(self) -> None:
        """End the process that pages by kill -9, and wait for the one in its place."""
        (pager,) = self.service.pids("backstage")
        kill(pager)
        await self.until(lambda: set(self.service.pids("backstage")) - {pager}, "another process takes over")

    async def repeats(self) -> dict[str, int]:
        """What the service counts as perhaps sent twice."""
        text = await self.call("GET", "/metrics")
        counted = [
            line.split() for line in str(text).splitlines() if line.startswith("cmg_notification_repeats_total{")
        ]
        return {name.split('kind="')[1].split('"')[0]: int(float(value)) for name, value in counted}


def _page(got: Got) -> tuple[Page, str] | None:
    """Which page a request was, and its reference."""
    if got.path.endswith("/Messages.json"):
        lines = got.body["Body"].splitlines()
        kind, tier, reference = "sms", TIERS[int(got.body["To"][-1])], lines[-1]
        name = next((one for one in NAMES if one in got.body["Body"]), "")
    elif got.path.startswith("/hook/"):
        kind, tier, reference = "webhook", got.path.rsplit("/", 1)[1], got.headers["x-cmg-delivery"]
        name = next((one for one in NAMES if one in json.dumps(got.body)), "")
    else:
        return None
    return ((kind, tier, name), reference) if name else None


async def prepare(lab: Lab, run: str, minutes: tuple[int, ...]) -> None:
    """People and channels, the tiers of a run, and the drill that makes its minutes short."""
    channels = channels_at(lab.receivers.url)
    for name, kind in (("sms", "sms"), ("hook", "webhook")):
        await lab.call("PUT", f"/admin/v1/notification-channels/{name}", {**channels[name], "per_minute": 6000})
        assert channels[name]["kind"] == kind
    for number, who in enumerate(TIERS):
        sms = {"channel": "sms", "address": f"+1555000{number}"}
        hook = {"channel": "hook", "address": f"{lab.receivers.url}/hook/{who}"}
        await lab.call("PUT", f"/admin/v1/responders/{who}", {"name": who, "contacts": [sms, hook]})
    steps = [
        {"after_minutes": after, "targets": [{"responder": who}]} for after, who in zip(minutes, TIERS, strict=True)
    ]
    policy = {"name": run, "steps": steps, "channels": {"P1": list(KINDS)}}
    await lab.call("PUT", f"/admin/v1/escalation-policies/{run}", policy)
    matchers = [{"label": "run", "value": run}]
    await lab.call("PUT", f"/admin/v1/alert-routes/{run}", {"policy": run, "matchers": matchers})
    alone = {"correlate_by": [], "storm_groups": 1000, "wait_seconds": 0, "group_by": ["alertname", "run"]}
    await lab.call("PUT", "/admin/v1/alert-handling/default", alone)
    now = datetime.now(UTC)
    times = {"starts_at": now.isoformat(), "ends_at": (now + timedelta(hours=1)).isoformat()}
    await lab.call("PUT", f"/admin/v1/drills/{run}", {"matchers": matchers, **times, "page": True, "minute_seconds": 1})


def told(case: str, pages: dict[Page, list[str]], tiers: list[str], counted: int) -> None:
    """Print a case's counts. Every page is there; what came twice has one reference, and was counted."""
    due = [(kind, tier, name) for kind in KINDS for tier in tiers for name in NAMES]
    missed = [one for one in due if one not in pages]
    twice = sum(len(pages[one]) - 1 for one in due if one in pages)
    print(f"| {case} | {len(due)} | {len(due) - len(missed)} | {len(missed)} | {twice} | {counted} |")
    assert missed == []
    assert all(len(set(pages[one])) == 1 for one in due), "a repeat has the reference of the first"
    assert twice <= counted, "and is counted"


@pytest.fixture
async def lab(own_postgres: OwnPostgres) -> AsyncIterator[Lab]:
    service = Service(ServiceOptions(WITHOUT_EMBEDDER, environ={"CMG_DATABASE_URL": own_postgres.dsn}))
    await asyncio.to_thread(service.start)
    try:
        async with receiving() as receivers:
            yield Lab(service, own_postgres, receivers)
    finally:
        await asyncio.to_thread(service.close)


async def test_a_pager_that_is_killed_in_an_escalation_misses_nobody(lab: Lab) -> None:
    """Killed with the first tier claimed and not sent, the second sent and not kept, and while the third is due."""
    await prepare(lab, "kills", (0, 36, 72, 86))
    lab.receivers.deaf = True
    began = time.monotonic()
    await lab.fire("kills")
    await _claimed(lab, BATCH)
    await lab.killed()
    lab.receivers.deaf = False
    await lab.until(lambda: lab.tier("kills", 0) >= BATCH, "the first tier is told")
    first = await _settled(lab)
    told("claimed, not sent", lab.pages("kills"), ["ada"], first)
    assert lab.tier("kills", 0) == BATCH, "what was never sent is sent once"

    lab.receivers.speaking.clear()
    await lab.until(lambda: lab.tier("kills", 1) >= BATCH, "the second tier is sent")
    await lab.killed()
    lab.receivers.speaking.set()
    await lab.until(lambda: lab.tier("kills", 1) >= 2 * BATCH, "the second tier is told again")
    second = await _settled(lab)
    told("sent, not kept", lab.pages("kills"), ["bob"], second - first)
    assert lab.tier("kills", 1) == 2 * BATCH, "each of them came twice, no more"

    await asyncio.sleep(max(0.0, began + 70 - time.monotonic()))
    await lab.killed()
    await lab.until(lambda: lab.tier("kills", 3) >= BATCH, "the last tier is told")
    told("between two tiers", lab.pages("kills"), ["mia", "sam"], await _settled(lab) - second)
    assert (lab.tier("kills", 2), lab.tier("kills", 3)) == (BATCH, BATCH)


async def test_an_escalation_without_the_database_misses_nobody(lab: Lab) -> None:
    """PostgreSQL is stopped for all of it; in the second one the pager is killed besides. Then everything is kept."""
    await prepare(lab, "away", (0, 4, 8, 12))
    await prepare(lab, "killed", (0, 4, 8, 24))
    await asyncio.sleep(6)  # the local copy is written every five seconds
    await asyncio.to_thread(lab.database.stop)
    await lab.fire("away")
    await lab.until(lambda: lab.tier("away", 3) >= BATCH, "the last tier is told")
    told("no database", lab.pages("away"), TIERS, 0)
    await lab.fire("killed")
    await lab.until(lambda: lab.tier("killed", 1) >= BATCH, "the second tier is told")
    await asyncio.sleep(2)
    await lab.killed()
    await lab.until(lambda: lab.tier("killed", 3) >= BATCH, "the last tier is told")
    told("no database, and killed", lab.pages("killed"), TIERS, 0)
    await asyncio.to_thread(lab.database.start)
    kept = 2 * len(TIERS) * BATCH
    await eventually(lambda: _with_state(lab, "sent", at_least=kept), WAIT_S, "the database knows of every message")
    await asyncio.sleep(3)
    assert {len(one) for run in ("away", "killed") for one in lab.pages(run).values()} == {1}


async def _claimed(lab: Lab, count: int) -> None:
    """Wait until so many messages are claimed."""
    await eventually(lambda: _with_state(lab, "sending", at_least=count), WAIT_S, f"{count} messages are claimed")


async def _settled(lab: Lab) -> int:
    """Wait until nothing is being sent; how many repeats were counted so far."""
    await eventually(lambda: _with_state(lab, "sending", at_most=0), WAIT_S, "nothing is being sent")
    return sum((await lab.repeats()).values())


async def _with_state(lab: Lab, state: str, at_least: int = 0, at_most: int = 10_000) -> bool:
    """Whether the database holds so many messages in a state; no, while it does not answer."""
    try:
        connection = await asyncpg.connect(lab.database.dsn)
    except (OSError, asyncpg.PostgresError):
        return False
    try:
        query = "SELECT count(*) FROM alerting_notifications WHERE state = $1"
        return at_least <= await connection.fetchval(query, state) <= at_most
    finally:
        await connection.close()
