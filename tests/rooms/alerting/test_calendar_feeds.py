"""Feeds for calendar programs: what they hold is what the schedule says, and whoever has no address reads nothing."""

import math
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from fastapi import FastAPI, Request
from icalendar import Calendar, Event

from cmg.alerting.api import feed_routes
from cmg.alerting.calendar.duties import MOST, duties, window
from cmg.alerting.calendar.feeds import Feeds
from cmg.alerting.calendar.models import Feed, Kind
from cmg.alerting.calendar.rendering import rendered
from cmg.alerting.oncall.schedules import on_call
from cmg.alerting.setup.compiled import Setup
from cmg.app.control_plane import documented
from cmg.audit.trail import Wanted
from cmg.identity.models import ApiKey, Caller, Workspace
from support.alerting_world import document, setup_of, tiers

HOUR_S = 3600
SPRING, AUTUMN = datetime(2026, 3, 20, 12, tzinfo=UTC), datetime(2026, 10, 20, 12, tzinfo=UTC)


def world(timezone: str) -> dict[str, Any]:
    """Two schedules: weekly with night shifts at odd hours and somebody who stands in, and one of 8-hour shifts."""
    documents = tiers()
    documents["responders"]["ada"]["name"] = "Ada, Countess; of \\ Löwenzahn, who has a name that is longer than a line"
    nights = {"people": ["mia"], "kind": "daily", "starts_on": "2026-01-01", "hours": "22:30-02:30"}
    stands_in = [
        {"person": "sam", "starts_at": f"{day}T23:00:00Z", "ends_at": f"{until}T06:15:00Z"}
        for day, until in (("2026-03-28", "2026-03-30"), ("2026-10-31", "2026-11-02"))
    ]
    weekly = {"people": ["ada", "bob"], "kind": "weekly", "starts_on": "2026-01-05", "handover": "02:30"}
    eight = {"people": ["ada", "bob", "mia"], "kind": "custom", "shift_hours": 8, "starts_on": "2026-01-01"}
    documents["schedules"] = {
        "main": {"name": "Main", "timezone": timezone, "layers": [weekly, nights], "overrides": stands_in},
        "eight": {"name": "Eight", "timezone": timezone, "layers": [{**eight, "weekdays": ["mon", "tue", "sun"]}]},
    }
    return documents


def feed_of(kind: Kind, subject: str) -> Feed:
    return Feed("default", "abc", kind, subject, b"", SPRING, "me")


def shown(setup: Setup, feed: Feed, now: datetime) -> tuple[bytes, list[Event]]:
    """The calendar as it is sent, and its events as another program reads them."""
    raw = rendered(feed, "On call", duties(setup, feed, {}, now))
    return raw, list(Calendar.from_ical(raw).events)


def told_at(events: list[Event], moments: range, field: str) -> list[list[str]]:
    """For each moment what the events then say."""
    spans = [(one.start.timestamp(), one.end.timestamp(), str(one[field])) for one in events]
    found: list[list[str]] = [[] for _ in moments]
    for starts, ends, text in spans:
        first = max(0, math.ceil((starts - moments.start) / moments.step))
        for at in range(first, min(len(moments), math.ceil((ends - moments.start) / moments.step))):
            found[at].append(text)
    return found


@pytest.mark.parametrize("now", [SPRING, AUTUMN], ids=["spring", "autumn"])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
@pytest.mark.parametrize("schedule", ["main", "eight"])
def test_a_schedules_feed_says_the_same_as_the_schedule_at_every_half_hour(schedule, zone, now):
    """The window holds the change of the clocks of both countries, in each direction."""
    setup = setup_of(world(zone))
    _, events = shown(setup, feed_of("schedules", schedule), now)
    start, end = window(now)
    offsets = {datetime.fromtimestamp(at, ZoneInfo(zone)).utcoffset() for at in range(int(start), int(end), 86_400)}
    assert len(offsets) == 2, "clocks change within it"
    moments = range(int(start), int(end), HOUR_S // 2)
    for at, told in zip(moments, told_at(events, moments, "description"), strict=True):
        who = on_call(setup.schedules[schedule], at)
        assert len(told) == (who is not None), datetime.fromtimestamp(at, UTC)
        assert who is None or f"({who})" in told[0], datetime.fromtimestamp(at, UTC)


@pytest.mark.parametrize("person", ["ada", "mia", "sam"])
def test_a_persons_feed_holds_every_schedule(person):
    setup = setup_of(world("Europe/Berlin"))
    _, events = shown(setup, feed_of("responders", person), AUTUMN)
    start, end = window(AUTUMN)
    moments = range(int(start), int(end), HOUR_S)
    for at, told in zip(moments, told_at(events, moments, "summary"), strict=True):
        expected = [f"On call: {one.name}" for one in setup.schedules.values() if on_call(one, at) == person]
        assert sorted(told) == sorted(expected), datetime.fromtimestamp(at, UTC)


def test_the_text_is_rfc_5545():
    """Lines end with CR LF and have 75 octets at most; names survive with their commas and letters."""
    setup = setup_of(world("Europe/Berlin"))
    raw, events = shown(setup, feed_of("schedules", "main"), SPRING)
    lines = raw.split(b"\r\n")
    assert lines[0] == b"BEGIN:VCALENDAR"
    assert lines[-2:] == [b"END:VCALENDAR", b""]
    assert max(map(len, lines)) <= 75
    assert b"\n" not in raw.replace(b"\r\n", b"")
    calendar = Calendar.from_ical(raw)
    assert {"VERSION", "PRODID", "NAME", "REFRESH-INTERVAL"} <= set(calendar)
    assert len({one.uid for one in events}) == len(events)
    assert all({"UID", "DTSTAMP", "DTSTART", "DTEND", "SUMMARY"} <= set(one) for one in events)
    assert all(one.start < one.end and one.start.utcoffset() == timedelta(0) for one in events)
    assert f"{setup.responders['ada'].name}: Main" in {str(one["summary"]) for one in events}


def test_a_shift_stays_the_same_event_as_time_goes_by_and_when_its_end_changes():
    documents = world("Europe/Berlin")
    setup, feed = setup_of(documents), feed_of("schedules", "main")
    first = {one.uid: one.start for one in shown(setup, feed, SPRING)[1]}
    later = {one.uid: one.start for one in shown(setup, feed, SPRING + timedelta(days=40))[1]}
    common = first.keys() & later.keys()
    assert len(common) > 100
    assert all(first[uid] == later[uid] for uid in common)
    documents["schedules"]["main"]["overrides"] = []
    without = {one.uid for one in shown(setup_of(documents), feed, SPRING)[1]}
    changed = first.keys() - without
    assert 0 < len(changed) < 6, "what somebody stood in for, and the rest of the shifts around it"


def test_shifts_of_an_hour_do_not_make_a_calendar_without_end():
    documents = world("Europe/Berlin")
    layer = {"people": ["ada", "bob"], "kind": "custom", "shift_hours": 1, "starts_on": "2026-01-01"}
    documents["schedules"]["main"] = {"name": "Main", "layers": [layer]}
    _, events = shown(setup_of(documents), feed_of("schedules", "main"), SPRING)
    assert len(events) == MOST
    assert min(one.end for one in events) > SPRING
    assert max(one.end for one in events) > SPRING + timedelta(days=80)


@pytest.fixture
async def client(alerts, database, audit, clock, configuring, admin) -> AsyncIterator[httpx.AsyncClient]:
    """The routes, and the schedules of the tests."""
    documents = world("Europe/Berlin")
    for kind in ("channels", "responders", "schedules"):
        for name, body in documents[kind].items():
            await configuring.put(admin, kind, name, document(kind, body))
    app: FastAPI = documented([feed_routes.router(Feeds(alerts, database, audit, clock), "https://cmg.example/")])

    @app.middleware("http")
    async def caller(request: Request, go_on):
        workspace = request.headers.get("workspace", "default")
        scopes = request.headers.get("scopes", "admin").split()
        key = ApiKey(id="me", workspace_id=workspace, name="me", scopes=tuple(scopes))
        request.state.caller = Caller(key, Workspace(id=workspace, name=workspace), frozenset(scopes), "127.0.0.1")
        return await go_on(request)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://cmg.example") as made:
        yield made


async def made(client: httpx.AsyncClient, **fields: object) -> dict[str, Any]:
    answer = await client.post("/admin/v1/calendar-feeds", json=fields or {"schedule": "main"})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_an_address_is_all_that_a_calendar_program_needs(client, database):
    feed = await made(client)
    answer = await client.get(feed["url"], headers={"scopes": ""})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/calendar; charset=utf-8")
    assert len(Calendar.from_ical(answer.content).events) > 100
    (listed,) = (await client.get("/admin/v1/calendar-feeds")).json()["items"]
    assert (listed["schedule"], listed["responder"], listed["expires_at"]) == ("main", None, None)
    assert listed["read_at"] is not None
    secret = feed["url"].rsplit("_", 1)[1].removesuffix(".ics")
    kept = await database.fetchval("SELECT alerting_feeds::text FROM alerting_feeds")
    assert len(secret) == 40
    assert secret not in kept
    assert secret not in str(listed)


async def test_nothing_is_sent_again_until_a_schedule_changes(client, configuring, admin, clock):
    feed = await made(client, responder="ada")
    first = await client.get(feed["url"])
    again = await client.get(feed["url"], headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    clock.advance(60)
    body = {**world("Europe/Berlin")["schedules"]["main"], "overrides": []}
    await configuring.put(admin, "schedules", "main", document("schedules", body))
    changed = await client.get(feed["url"], headers={"if-none-match": first.headers["etag"]})
    assert changed.status_code == 200
    assert changed.content != first.content


async def test_an_address_that_was_replaced_or_revoked_opens_nothing(client, audit):
    feed = await made(client)
    rotated = (await client.post(f"/admin/v1/calendar-feeds/{feed['id']}/rotate")).json()
    assert (await client.get(feed["url"])).status_code == 404
    assert (await client.get(rotated["url"])).status_code == 200
    assert (await client.delete(f"/admin/v1/calendar-feeds/{feed['id']}")).status_code == 204
    assert (await client.get(rotated["url"])).status_code == 404
    assert (await client.post(f"/admin/v1/calendar-feeds/{feed['id']}/rotate")).status_code == 404
    actions = [one.action for one in (await audit.list(Wanted("default"))).items]
    assert actions[:3] == ["calendar.revoke", "calendar.rotate", "calendar.create"]


async def test_an_address_can_have_an_end(client, clock, alerts, database, audit):
    feed = await made(client, schedule="main", expires_at="2026-11-25T12:00:00Z")
    assert (await client.get(feed["url"])).status_code == 200
    clock.advance(86_400)
    assert (await client.get(feed["url"])).status_code == 404
    feeds = Feeds(alerts, database, audit, clock)
    assert await feeds.purge() == 0
    clock.advance(91 * 86_400)
    await made(client)
    assert await feeds.purge() == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "schedule"),
        ({"schedule": "main", "responder": "ada"}, "schedule"),
        ({"schedule": "none"}, "schedule"),
        ({"responder": "nobody"}, "responder"),
        ({"schedule": "main", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"schedule": "main", "more": 1}, "more"),
    ],
)
async def test_a_wrong_feed_is_refused_with_the_fields_name(client, body, field):
    answer = await client.post("/admin/v1/calendar-feeds", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, field), answer.text


async def test_feeds_are_the_workspaces_own(client, configuring, admin):
    feed = await made(client)
    elsewhere = {"workspace": "other"}
    assert (await client.get("/admin/v1/calendar-feeds", headers=elsewhere)).json()["items"] == []
    assert (await client.delete(f"/admin/v1/calendar-feeds/{feed['id']}", headers=elsewhere)).status_code == 404
    rotated = await client.post(f"/admin/v1/calendar-feeds/{feed['id']}/rotate", headers=elsewhere)
    assert rotated.status_code == 404
    assert (await client.post("/admin/v1/calendar-feeds", headers={"scopes": "admin:read"}, json={})).status_code == 403
    wrong = feed["url"].replace(".ics", "")[:-1] + ("a" if feed["url"][-5] != "a" else "b") + ".ics"
    for url in (wrong, f"/calendars/cal_{feed['id']}_.ics", "/calendars/x.ics"):
        assert (await client.get(url)).status_code == 404
    await configuring.remove(admin, "schedules", "main")
    assert (await client.get(feed["url"])).status_code == 404


async def test_feeds_have_a_bound(client, database):
    await database.execute(
        "INSERT INTO alerting_feeds (workspace_id, id, kind, subject, secret_hash, created_at, created_by)"
        " SELECT 'default', lpad(n::text, 12, 'a'), 'schedules', 'main', 'x', now(), 'me'"
        " FROM generate_series(1, 200) n"
    )
    assert (await client.post("/admin/v1/calendar-feeds", json={"schedule": "main"})).status_code == 409
    page = (await client.get("/admin/v1/calendar-feeds?limit=150")).json()
    rest = await client.get(f"/admin/v1/calendar-feeds?limit=150&cursor={page['next']}")
    assert len(page["items"]) + len(rest.json()["items"]) == 200
