"""Messages of incidents go out by the real channels of alerting, to fakes of their APIs."""

from collections.abc import AsyncIterator

import pytest

from cmg.alerting.setup.configuring import Configuring
from cmg.alerting.setup.documents import KINDS
from cmg.incidents.communication.announcing import Announcer
from cmg.incidents.communication.sending import ChannelMessenger
from cmg.incidents.models import Communication
from cmg.kit.clock import SystemClock
from cmg.storage.sealing.sealer import Sealer
from rooms.incidents.conftest import ANA, World
from support.fake_receivers import Receivers, channels_at, receiving


@pytest.fixture
async def receivers(world: World) -> AsyncIterator[Receivers]:
    """The fakes, and a channel to each in the service's own workspace."""
    sealer = Sealer(lambda: ["k" * 44])
    configuring = Configuring(world.database, world.audit, world.clock, sealer)
    async with receiving() as found:
        for name, body in channels_at(found.url).items():
            await configuring.put(ANA, "channels", name, KINDS["channels"].model_validate(body))
        messenger = ChannelMessenger(world.database, sealer, SystemClock())
        world.announcer = Announcer(world.database, world.desk, messenger, world.clock)
        yield found


async def say(world: World, number: int, kind: str, *channels: str) -> Communication:
    fields = {"kind": kind, "audience": "internal", "text": "Words.", "channels": list(channels)}
    return await world.announcer.announce(ANA, number, fields)


async def test_each_channel_gets_the_message_under_one_reference(world: World, receivers: Receivers) -> None:
    made = await world.declare()
    said = await say(world, made.id, "initial", "hook", "slack", "sms:+15550199")
    assert [(one["channel"], one["outcome"]) for one in said.deliveries] == [
        ("hook", "sent"),
        ("slack", "sent"),
        ("sms", "sent"),
    ]
    [hook] = [one for one in receivers.got if one.path == "/hook"]
    assert (hook.body["reference"], hook.body["severity"], hook.body["status"]) == (
        f"{made.name}/{said.id}",
        "P2",
        "firing",
    )
    assert "Words." in hook.body["text"]
    assert (await world.announcer.of([made.id]))[0].deliveries == said.deliveries


async def test_the_end_of_an_incident_resolves_what_it_began_elsewhere(world: World, receivers: Receivers) -> None:
    made = await world.declare()
    await say(world, made.id, "initial", "pagerduty")
    await world.desk.resolve(ANA, made.id)
    await say(world, made.id, "resolution", "pagerduty")
    bodies = [one.body for one in receivers.got if one.path == "/v2/enqueue"]
    assert [one["event_action"] for one in bodies] == ["trigger", "resolve"]
    assert bodies[0]["dedup_key"] == bodies[1]["dedup_key"]


async def test_one_that_cannot_take_it_now_is_asked_once_more(world: World, receivers: Receivers) -> None:
    receivers.failures = [(503, {"retry-after": "0"}, {})]
    made = await world.declare()
    said = await say(world, made.id, "initial", "hook")
    assert (said.deliveries[0]["outcome"], len(receivers.got)) == ("sent", 2)


async def test_what_fails_is_told_and_the_others_go_out(world: World, receivers: Receivers) -> None:
    receivers.failures = []
    made = await world.declare()
    said = await say(world, made.id, "initial", "nobody", "sms", "hook")
    outcomes = {one["channel"]: (one["outcome"], one["detail"]) for one in said.deliveries}
    assert outcomes["nobody"][0] == outcomes["sms"][0] == "failed"
    assert "no channel of this name" in outcomes["nobody"][1]
    assert outcomes["hook"][0] == "sent"
