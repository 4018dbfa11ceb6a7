"""What is said: the templates hold what their audience may read, and what was sent is kept with what became of it."""

import pytest

from cmg.incidents.models import AUDIENCES, KINDS
from cmg.kit.errors import Conflict, InvalidRequest
from rooms.incidents.conftest import ANA, World

SECRETS = ("Calls fail", "disk", "ben", "SEV-", "INC-", "key:")


async def test_customers_never_read_what_is_internal(world: World) -> None:
    made = await world.declare(
        commander="ben", components={"api": "major_outage"}, public=True, summary="A disk is full"
    )
    await world.desk.change(ANA, made.id, {"cause": "a full disk"})
    for kind in ("initial", "update"):
        text = await world.announcer.preview(made.id, {"kind": kind, "audience": "customer"})
        assert "API: unavailable" in text.body
        assert not [word for word in SECRETS if word in text.subject + text.body]
    await world.desk.resolve(ANA, made.id)
    for kind in ("resolution", "post_incident"):
        text = await world.announcer.preview(made.id, {"kind": kind, "audience": "customer", "text": "Sorry."})
        assert "Sorry." in text.body
        assert not [word for word in SECRETS if word in text.subject + text.body]


async def test_those_who_work_on_it_read_what_they_need(world: World) -> None:
    made = await world.declare(commander="ben", components={"api": "major_outage"}, summary="A disk is full")
    text = await world.announcer.preview(made.id, {"kind": "initial", "audience": "internal"})
    assert text.subject == f"[SEV-2] {made.name} declared: Calls fail"
    for part in ("A disk is full", "Commander: ben", "API (unavailable)", "2026-11-24 12:00 UTC"):
        assert part in text.body


async def test_a_message_is_kept_with_what_became_of_it(world: World) -> None:
    world.channels.dead = ("sms",)
    made = await world.declare(public=True, commander="ben")
    fields = {"kind": "initial", "audience": "customer", "text": "We look.", "channels": ["mail", "sms"]}
    said = await world.announcer.announce(ANA, made.id, fields)
    assert [(one["channel"], one["outcome"]) for one in said.deliveries] == [
        ("status-page", "sent"),
        ("mail", "sent"),
        ("sms", "failed"),
    ]
    assert await world.announcer.of([made.id]) == [said]
    assert [(name, one.reference) for name, one in world.channels.sent] == [("mail", f"{made.name}/{said.id}")]
    assert ("communication", f"initial (customer): {said.subject}") in await world.told(made)
    assert (await world.desk.get(made.id)).triaged_at == world.clock.now()


async def test_an_internal_incident_is_not_claimed_to_be_on_the_status_page(world: World) -> None:
    made = await world.declare()
    said = await world.announcer.announce(ANA, made.id, {"kind": "initial", "audience": "customer"})
    assert [one["outcome"] for one in said.deliveries] == ["not_sent"]


async def test_a_message_fits_the_state_of_the_incident(world: World) -> None:
    made = await world.declare()
    with pytest.raises(Conflict, match="resolve it before"):
        await world.announcer.announce(ANA, made.id, {"kind": "resolution", "audience": "internal"})
    await world.desk.resolve(ANA, made.id)
    with pytest.raises(Conflict, match="nothing to update"):
        await world.announcer.announce(ANA, made.id, {"kind": "update", "audience": "internal"})
    with pytest.raises(InvalidRequest, match="kind"):
        await world.announcer.announce(ANA, made.id, {"kind": "gossip", "audience": "internal"})


async def test_there_is_a_text_for_every_kind_and_audience(world: World) -> None:
    made = await world.declare()
    for kind in KINDS:
        for audience in AUDIENCES:
            text = await world.announcer.preview(made.id, {"kind": kind, "audience": audience, "text": "Words."})
            assert text.subject
            assert "Words." in text.body
