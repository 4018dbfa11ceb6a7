"""An incident's life on a real database: what may be changed when, and that all of it is written down."""

from datetime import timedelta

import pytest

from cmg.alerting.setup.configuring import Configuring
from cmg.alerting.setup.documents import Handling
from cmg.app.incidents.status import fingerprint
from cmg.audit.trail import Wanted
from cmg.config import Settings
from cmg.incidents.models import incident_id
from cmg.kit.clock import rfc3339
from cmg.kit.errors import Conflict, InvalidRequest, NotFound
from cmg.storage.sealing.sealer import Sealer
from rooms.incidents.conftest import ANA, World


async def test_a_declared_incident_is_investigated_and_known_by_its_name(world: World) -> None:
    made = await world.declare(components={"api": "major_outage"}, commander="ben")
    assert (made.name, made.status, made.severity) == (f"INC-{made.id}", "investigating", 2)
    assert incident_id(made.name) == incident_id(str(made.id)) == made.id
    assert await world.desk.get(made.id) == made
    assert await world.told(made) == [("declared", "SEV-2 declared: Calls fail")]
    trail = await world.audit.list(Wanted(None, action="incident.declare"))
    assert [(entry.actor, entry.target) for entry in trail.items] == [("key:ana", made.name)]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"title": ""}, "title"),
        ({"severity": "SEV-5"}, "severity"),
        ({"severity": None}, "severity"),
        ({"components": {"nobody": "major_outage"}}, "components.nobody"),
        ({"components": {"api": "operational"}}, "components.api"),
        ({"started_at": "2030-01-01T00:00:00Z"}, "started_at"),
        ({"started_at": "2026-11-24T11:59:00Z", "detected_at": "2026-11-24T11:58:00Z"}, "detected_at"),
        ({"colour": "red"}, "colour"),
        ({"title": "a\x00b"}, "title"),
    ],
)
async def test_a_wrong_field_is_named(world: World, fields: dict, param: str) -> None:
    with pytest.raises(InvalidRequest) as told:
        await world.declare(**fields)
    assert told.value.param == param


async def test_every_change_is_a_line_of_the_timeline(world: World) -> None:
    made = await world.declare()
    world.clock.advance(60)
    fields = {"severity": "SEV-1", "commander": "ben", "status": "identified", "components": {"api": "partial_outage"}}
    changed = await world.desk.change(ANA, made.id, fields)
    assert (changed.severity, changed.commander, changed.status) == (1, "ben", "identified")
    assert changed.acknowledged_at == changed.identified_at == world.clock.now()
    assert await world.told(made) == [
        ("declared", "SEV-2 declared: Calls fail"),
        ("status", "Status: investigating → identified"),
        ("severity", "Severity: SEV-2 → SEV-1"),
        ("role", "Commander: ben"),
        ("change", "Components: api partial_outage"),
    ]


async def test_a_change_of_nothing_leaves_no_trace(world: World) -> None:
    made = await world.declare(commander="ben")
    before = await world.desk.acknowledge(ANA, made.id)
    world.clock.advance(5)
    assert await world.desk.acknowledge(ANA, made.id) == before
    assert len(await world.told(made)) == 2


async def test_notes_stand_where_they_happened(world: World) -> None:
    made = await world.declare(started_at="2026-11-24T11:00:00Z")
    world.clock.advance(60)
    await world.desk.note(ANA, made.id, "Restarted it.")
    await world.desk.note(ANA, made.id, "A customer called.", rfc3339(world.clock.time() - 1800))
    assert [text for _, text in await world.told(made)] == [
        "A customer called.",
        "SEV-2 declared: Calls fail",
        "Restarted it.",
    ]
    with pytest.raises(InvalidRequest, match="last 30 days"):
        await world.desk.note(ANA, made.id, "Too old.", "2020-01-01T00:00:00Z")


async def test_a_resolved_incident_is_reopened_or_left_alone(world: World) -> None:
    made = await world.declare()
    with pytest.raises(Conflict, match="only a resolved one"):
        await world.desk.reopen(ANA, made.id, "why")
    resolved = await world.desk.resolve(ANA, made.id, "Rolled back.")
    assert (resolved.status, resolved.resolved_at) == ("resolved", world.clock.now())
    with pytest.raises(Conflict, match="severity can no longer be changed"):
        await world.desk.change(ANA, made.id, {"severity": "SEV-1"})
    with pytest.raises(Conflict, match="resolved already"):
        await world.desk.resolve(ANA, made.id)
    assert (await world.desk.change(ANA, made.id, {"cause": "A full disk."})).cause == "A full disk."
    again = await world.desk.reopen(ANA, made.id, "It came back.")
    assert (again.status, again.resolved_at) == ("investigating", None)


async def test_null_empties_a_field_but_not_the_title(world: World) -> None:
    made = await world.declare(commander="ben", components={"api": "major_outage"}, public=True)
    fields = dict.fromkeys(("commander", "components", "public", "factors"))
    changed = await world.desk.change(ANA, made.id, fields)
    assert (changed.commander, changed.components, changed.public, changed.factors) == ("", {}, False, ())
    with pytest.raises(InvalidRequest) as told:
        await world.desk.change(ANA, made.id, {"title": None})
    assert told.value.param == "title"


async def test_lists_go_on_behind_a_page(world: World) -> None:
    made = [await world.declare(severity=f"SEV-{1 + place % 2}") for place in range(5)]
    first, following = await world.desk.list(None, None, None, 2)
    rest, end = await world.desk.list(None, None, following, 3)
    assert [one.id for one in (*first, *rest)] == [one.id for one in reversed(made)]
    assert end is None
    await world.desk.resolve(ANA, made[0].id)
    assert [one.id for one in (await world.desk.list("resolved", None, None, 9))[0]] == [made[0].id]
    assert len((await world.desk.list("open", "SEV-2", None, 9))[0]) == 2
    for wrong in ({"state": "odd"}, {"severity": "P1"}, {"cursor": "x"}):
        with pytest.raises(InvalidRequest):
            await world.desk.list(**{"state": None, "severity": None, "cursor": None, "limit": 9, **wrong})


async def test_an_incident_that_is_not_there_is_told(world: World) -> None:
    with pytest.raises(NotFound, match="INC-99"):
        await world.desk.note(ANA, 99, "Hello.")
    with pytest.raises(InvalidRequest, match="INC-42"):
        incident_id("INC-x")


async def test_the_timeline_holds_deploys_and_administration_around_the_trouble(world: World) -> None:
    await world.operation.mark(ANA, {"title": "version 2", "id": "build-7", "at": "2026-11-24T11:40:00Z"})
    await world.operation.mark(ANA, {"title": "long ago", "at": "2026-11-24T09:00:00Z"})
    made = await world.declare(started_at="2026-11-24T11:55:00Z")
    world.clock.advance(30)
    announced = {"title": "Move", "starts_at": "2026-11-24T13:00:00Z", "ends_at": "2026-11-24T14:00:00Z"}
    await world.operation.announce(ANA, announced)
    configuring = Configuring(world.database, world.audit, world.clock, Sealer(lambda: ["a key"]))
    await configuring.put(ANA, "handling", "default", Handling())
    await world.desk.resolve(ANA, made.id)
    world.clock.advance(30)
    await world.operation.mark(ANA, {"title": "after its end"})
    assert sorted(await world.told(made)) == [
        ("audit", "maintenance.announce maintenance 1"),
        ("config", "alerting.put handling/default"),
        ("declared", "SEV-2 declared: Calls fail"),
        ("deploy", "deploy: version 2"),
        ("status", "Resolved."),
    ]
    assert (await world.told(made))[0][0] == "deploy"


async def test_a_marker_told_twice_is_one(world: World) -> None:
    first = await world.operation.mark(ANA, {"title": "version 2", "id": "build-7", "details": {"sha": "abc"}})
    again = await world.operation.mark(ANA, {"title": "another name", "id": "build-7"})
    assert again == first
    items, following = await world.operation.markers(None, None, 10)
    assert (items, following) == ([first], None)
    with pytest.raises(InvalidRequest, match="http"):
        await world.operation.mark(ANA, {"title": "x", "link": "javascript:alert(1)"})


async def test_markers_of_a_kind_that_no_text_can_be_are_refused(world: World) -> None:
    with pytest.raises(InvalidRequest, match="`kind`"):
        await world.operation.markers(None, "de\x00ploy", 10)


async def test_what_is_old_goes_and_what_is_open_stays(world: World) -> None:
    still = await world.declare()
    await world.operation.mark(ANA, {"title": "version 2"})
    world.clock.advance(timedelta(days=1200).total_seconds())
    assert await world.desk.purge(timedelta(days=1100), timedelta(days=90)) == 1
    assert (await world.desk.get(still.id)).open


async def test_a_start_with_other_settings_is_marked(world: World) -> None:
    for settings in ("aa", "aa", "bb"):
        await world.operation.started("1.0", "host-1", settings)
    await world.operation.started("1.0", "host-2", "cc")
    world.clock.advance(3600)
    await world.operation.started("1.0", "host-1", "bb")
    items, _ = await world.operation.markers(None, None, 20)
    assert [(one.kind, one.source) for one in reversed(items)] == [
        ("start", "host-1"),
        ("start", "host-1"),
        ("config", "host-1"),
        ("start", "host-2"),
        ("start", "host-1"),
    ]


def test_the_fingerprint_of_the_settings_knows_no_secret() -> None:
    def told(**values: object) -> str:
        return fingerprint(Settings(**values))

    assert told(admin_password="a", master_key="b") == told() == told(database_url="postgresql://x:y@z/w")
    assert told(port=9000) != told()
