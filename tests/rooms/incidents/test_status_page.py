"""The status page: what it says, to people and to programs, and that it outlives the database."""

import itertools
import re
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import pytest

from cmg.incidents.status.models import Day, Span, uptime
from cmg.incidents.status.page import _percent
from cmg.incidents.status.published import OLD_S, PATHS, PublishedFile, StatusAnswers
from cmg.kit.asgi import Request
from cmg.kit.errors import NotFound, Unavailable
from cmg.storage.database import Database
from rooms.incidents.conftest import ANA, World

ATOM = "{http://www.w3.org/2005/Atom}"


async def answer(world: World, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """What a stranger gets."""
    told: list[Any] = []

    async def send(message: Any) -> None:
        told.append(message)

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": raw, "query_string": b""}
    await StatusAnswers(PublishedFile(world.file._path), world.clock).handle(Request(scope, None, "::1"), send)
    found = {name.decode(): value.decode() for name, value in told[0]["headers"]}
    return told[0]["status"], found, b"".join(one["body"] for one in told[1:])


async def document(world: World, name: str) -> Any:
    status, _, body = await answer(world, f"/status/api/v2/{name}")
    assert status == 200
    return msgspec.json.decode(body)


async def html(world: World, path: str = "/status") -> str:
    return (await answer(world, path))[2].decode()


async def outage(world: World) -> Any:
    """A public incident of which customers were told."""
    made = await world.declare(public=True, components={"api": "major_outage"}, title="db-7 is <full>")
    fields = {"kind": "initial", "audience": "customer", "text": "We are <b>sorry</b> & look."}
    await world.announcer.announce(ANA, made.id, fields)
    return made


async def test_all_is_well_until_somebody_says_otherwise(world: World) -> None:
    await world.board().renew()
    assert "All systems operational" in await html(world)
    assert (await document(world, "status.json"))["status"]["indicator"] == "none"
    await outage(world)
    await world.declare(title="internal", components={"memory": "major_outage"})
    await world.board().renew()
    page, summary = await html(world), await document(world, "summary.json")
    assert "Some systems are unavailable" in page
    assert "We are &lt;b&gt;sorry&lt;/b&gt; &amp; look." in page
    assert "db-7" not in page
    assert summary["status"]["indicator"] == "critical"
    states = {one["id"]: one["status"] for one in summary["components"]}
    assert states == {
        "api": "major_outage",
        "memory": "operational",
        "upstreams": "operational",
        "administration": "operational",
    }


async def test_json_has_the_shape_of_statuspage(world: World) -> None:
    made = await outage(world)
    await world.desk.change(ANA, made.id, {"status": "monitoring"})
    await world.announcer.announce(ANA, made.id, {"kind": "update", "audience": "customer"})
    await world.board().renew()
    [incident] = (await document(world, "summary.json"))["incidents"]
    assert (incident["id"], incident["name"], incident["status"]) == (str(made.id), "Trouble with API", "monitoring")
    assert (incident["impact"], incident["resolved_at"]) == ("major", None)
    assert [one["status"] for one in incident["incident_updates"]] == ["monitoring", "investigating"]
    assert incident["monitoring_at"] == "2026-11-24T12:00:00.000Z"
    assert incident["incident_updates"][0]["affected_components"][0]["code"] == "api"
    await world.desk.resolve(ANA, made.id)
    await world.announcer.announce(ANA, made.id, {"kind": "post_incident", "audience": "customer"})
    await world.board().renew()
    assert (await document(world, "incidents/unresolved.json"))["incidents"] == []
    [ended] = (await document(world, "incidents.json"))["incidents"]
    assert (ended["status"], ended["resolved_at"]) == ("postmortem", "2026-11-24T12:00:00.000Z")
    assert (await document(world, "status.json"))["status"]["indicator"] == "none"


# As Statuspage's API documents them: typed clients refuse an object that lacks one.
COMPONENT = (
    "id name status created_at updated_at position description showcase start_date group_id page_id group "
    "only_show_if_degraded"
)
UPDATE = (
    "id status body incident_id created_at updated_at display_at affected_components deliver_notifications "
    "custom_tweet tweet_id"
)


async def test_no_field_is_missing_that_clients_of_statuspage_read(world: World) -> None:
    await outage(world)
    times = {"starts_at": "2026-11-24T13:00:00Z", "ends_at": "2026-11-24T14:00:00Z"}
    await world.operation.announce(ANA, {"title": "New disks", "components": ["api"], **times})
    await world.board().renew()
    summary = await document(world, "summary.json")
    [incident], [maintenance] = summary["incidents"], summary["scheduled_maintenances"]
    for one in (*summary["components"], *incident["components"], *maintenance["components"]):
        assert set(one) == set(COMPONENT.split())
        assert one["created_at"] == f"{one['start_date']}T00:00:00.000Z" == "2026-11-24T00:00:00.000Z"
    for one in (*incident["incident_updates"], *maintenance["incident_updates"]):
        assert set(one) == set(UPDATE.split())
    assert set(maintenance) - set(incident) == {"scheduled_for", "scheduled_until"}


async def test_maintenances_come_run_and_end_by_their_times(world: World) -> None:
    fields = {"title": "New disks", "body": "Short cuts.", "components": ["api"]}
    times = {"starts_at": "2026-11-24T13:00:00Z", "ends_at": "2026-11-24T14:00:00Z"}
    await world.operation.announce(ANA, {**fields, **times})
    seen = []
    world.seen.now = {"api": "partial_outage"}
    for _ in range(3):
        await world.board().renew()
        lists = {
            name: await document(world, f"scheduled-maintenances{name}.json") for name in ("", "/upcoming", "/active")
        }
        state = (await document(world, "components.json"))["components"][0]["status"]
        counts = [len(one["scheduled_maintenances"]) for one in lists.values()]
        seen.append((lists[""]["scheduled_maintenances"][0]["status"], counts, state))
        assert "New disks" in await html(world, "/status/history")
        world.clock.advance(3600)
    assert seen == [
        ("scheduled", [1, 1, 0], "partial_outage"),
        ("in_progress", [1, 0, 1], "under_maintenance"),
        ("completed", [1, 0, 0], "partial_outage"),
    ]


async def test_feeds_are_well_formed_and_hold_what_was_told(world: World) -> None:
    made = await outage(world)
    await world.board().renew()
    rss = ET.fromstring((await answer(world, "/status/history.rss"))[2])
    [item] = rss.findall("channel/item")
    assert item.findtext("title") == "Trouble with API"
    assert "We are <b>sorry</b> & look." in str(item.findtext("description"))
    atom = ET.fromstring((await answer(world, "/status/history.atom"))[2])
    [entry] = atom.findall(f"{ATOM}entry")
    assert entry.findtext(f"{ATOM}id") == f"https://status.example/status#incident-{made.id}"
    assert "sorry" in str(entry.findtext(f"{ATOM}content"))


class _Page(HTMLParser):
    """What a strict browser and a screen reader look for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "link", "path", "input"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag != "path":
            assert self.open.pop() == tag


async def test_the_page_needs_no_script_and_says_in_words_what_it_draws(world: World) -> None:
    await outage(world)
    await world.board().renew()
    for path in ("/status", "/status/history"):
        _, headers, body = await answer(world, path)
        page = _Page(body.decode())
        assert page.open == []
        assert not [tag for tag, _ in page.tags if tag in {"script", "img", "iframe"}]
        assert not [name for _, attributes in page.tags for name in attributes if name in {"style", "onclick"}]
        assert ("html", {"lang": "en"}) in page.tags
        assert all(attributes["aria-label"] for tag, attributes in page.tags if tag == "svg")
        levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h\d", tag)]
        assert levels[0] == 1
        assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
        assert "default-src 'none'; style-src 'sha256-" in headers["content-security-policy"]
        assert len(body) < 40_000


async def test_answers_are_compressed_cached_and_complete(world: World) -> None:
    await world.board().renew()
    for path in PATHS:
        status, headers, body = await answer(world, path)
        assert (status, headers["cache-control"]) == (200, "public, max-age=15")
        _, packed, small = await answer(world, path, accept_encoding="gzip, br")
        assert packed["content-encoding"] == "gzip"
        assert len(small) < len(body)
        assert (await answer(world, path, if_none_match=headers["etag"]))[0] == 304
        head = await answer(world, path, "HEAD")
        assert (head[1]["content-length"], head[2]) == (str(len(body)), b"")
    with pytest.raises(NotFound):
        await answer(world, "/status/other")


async def test_uptime_is_what_was_observed(world: World) -> None:
    board = world.board()
    world.seen.now = {"api": "operational"}
    for state in ["operational"] * 40 + ["major_outage"] * 10 + ["operational"] * 50:
        world.seen.now = {"api": state}
        await board.renew()
        world.clock.advance(15)
    world.clock.advance(7200)  # nobody looked: that is neither up nor down
    picture = await board.renew()
    today = picture.history("api")[-1]
    assert (today.major_s, today.operational_s) == (150, 1335)
    assert today.state == "major_outage"
    assert uptime(picture.history("api")) == pytest.approx(1335 / 1485)
    page = await html(world)
    assert "89.89 % uptime in 90 days" in page
    assert "24 Nov 2026: major outage 2 min" in page


async def test_a_second_machine_counts_no_second_twice(world: World) -> None:
    boards = [world.board(), world.board()]
    for _ in range(20):
        for board in boards:
            await board.renew()
        world.clock.advance(15)
    for board in boards:
        picture = await board.renew()
    assert picture.history("memory")[-1].operational_s == 285  # the last look is written with the next one


async def test_a_day_ends_at_midnight(world: World) -> None:
    board = world.board()
    world.clock.advance(12 * 3600 - 30)
    for _ in range(4):
        await board.renew()
        world.clock.advance(20)
    picture = await board.renew()
    assert [day.operational_s for day in picture.history("api")[-2:]] == [30, 30]


async def test_the_page_goes_on_without_the_database_and_counts_its_absence(world: World) -> None:
    made, board = await outage(world), world.board()
    await board.renew()
    gone = Database("postgresql://nobody@127.0.0.1:1/none", clock=world.clock, instruments=world.instruments)
    await gone.open()
    board._database = gone
    world.seen.now = {"administration": "major_outage"}
    for _ in range(9):
        world.clock.advance(15)
        picture = await board.renew()
    assert picture.states["administration"] == "major_outage"
    assert [one["id"] for one in (await document(world, "incidents.json"))["incidents"]] == [str(made.id)]
    assert "Incidents as last read at" in await html(world)
    board._database = world.database
    picture = await board.renew()
    assert picture.history("administration")[-1].major_s == 135
    await gone.close()


async def test_ninety_days_are_filled_from_the_history_of_health_once(world: World) -> None:
    """A service that has a history and no page yet: each outage is on its day, and nothing is counted twice."""
    now = world.clock.now()
    first = now - timedelta(days=120)
    edges = [(first, "operational")]
    for back in (100, 60, 30, 1):  # the first one is older than the page shows
        begins = (now - timedelta(days=back)).replace(hour=23, minute=30)
        edges += [(begins, "major_outage"), (begins + timedelta(hours=1), "operational")]
    ends = [at for at, _ in edges[1:]] + [now]
    world.seen.before = [Span("api", state, at, until) for (at, state), until in zip(edges, ends, strict=True)]
    for _ in range(3):
        picture = await world.board().renew()
        world.clock.advance(15)
    days = {day.day: day for day in picture.history("api")}
    down = {day: one.major_s for day, one in days.items() if one.major_s}
    midnights = [(now - timedelta(days=back)).date() for back in (60, 30, 1)]
    assert down == {day: 1800.0 for one in midnights for day in (one, one + timedelta(days=1))}
    assert sum(one.observed_s for one in days.values()) == pytest.approx((now - at_midnight(min(days))).total_seconds())
    assert (await html(world)).count("major outage 30 min") == 6
    assert world.seen.asked[0] == (now - timedelta(days=90), now)
    await world.board().renew()
    gone = Database("postgresql://nobody@127.0.0.1:1/none", clock=world.clock, instruments=world.instruments)
    await gone.open()
    world.database = gone
    assert (await world.board().renew()).history("api")[-2].major_s == 1800, "from the file, without the database"
    await gone.close()


async def test_after_a_kill_only_the_time_since_the_last_count_is_asked_for(world: World) -> None:
    board = world.board()
    for _ in range(3):
        await board.renew()
        world.clock.advance(15)
    counted = world.clock.now() - timedelta(seconds=30)
    world.clock.advance(600)
    outage_ends = counted + timedelta(seconds=300)
    world.seen.before = [Span("administration", "major_outage", counted - timedelta(seconds=15), outage_ends)]
    picture = await world.board().renew()
    assert world.seen.asked[-1] == (counted, world.clock.now())
    assert picture.history("administration")[-1].major_s == 300, "what was counted already counts once"


async def test_a_history_that_cannot_be_read_does_not_stop_the_page(world: World) -> None:
    async def broken(*_: object) -> list[Span]:
        raise ValueError("a bad row")

    board = world.board()
    world.seen.past = broken
    for _ in range(3):
        picture = await board.renew()
        world.clock.advance(15)
    assert picture.history("api")[-1].operational_s == 15


def at_midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


async def test_a_new_process_begins_with_what_the_file_says(world: World) -> None:
    made = await outage(world)
    await world.board().renew()
    gone = Database("postgresql://nobody@127.0.0.1:1/none", clock=world.clock, instruments=world.instruments)
    await gone.open()
    world.database = gone
    world.clock.advance(3600)
    await world.board().renew()
    assert [one["id"] for one in (await document(world, "incidents.json"))["incidents"]] == [str(made.id)]
    await gone.close()


async def test_a_page_that_is_not_renewed_says_so(world: World) -> None:
    await world.board().renew()
    world.clock.advance(OLD_S - 1)
    assert "minutes old" not in await html(world)
    world.clock.advance(62)
    assert "This page is 3 minutes old" in await html(world)
    assert (await answer(world, "/status"))[1]["age"] == "181"


async def test_a_damaged_file_is_no_page(world: World) -> None:
    with pytest.raises(Unavailable):
        await answer(world, "/status")
    await world.board().renew()
    path = world.folder / "status.bin"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(Unavailable):
        await answer(world, "/status")
    await world.board().renew()
    assert (await answer(world, "/status"))[0] == 200


async def test_the_file_holds_nothing_internal(world: World) -> None:
    made = await outage(world)
    await world.desk.change(ANA, made.id, {"cause": "the intern", "commander": "ben"})
    await world.board().renew()
    content = (world.folder / "status.bin").read_bytes()
    assert not [word for word in (b"intern", b"ben", b"key:ana", b"db-7") if word in content]


def test_a_day_shows_its_worst_minute_and_uptime_is_never_rounded_up() -> None:
    day = Day(day=date(2026, 11, 24), component="api", operational_s=86_300, partial_s=59)
    assert day.state == "operational"
    assert msgspec.structs.replace(day, partial_s=60).state == "partial_outage"
    assert _percent(uptime([msgspec.structs.replace(day, partial_s=1)])) == "99.99 %"
    assert uptime([]) is None
