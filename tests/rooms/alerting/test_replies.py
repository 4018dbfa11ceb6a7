"""Replies to SMS: signed by Twilio, from somebody who was told, about one group; all else is refused and counted."""

import base64
import hashlib
import hmac
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

import httpx
import pytest
from fastapi import Request

from cmg.alerting.answering.answers import Answers, BadSignature
from cmg.alerting.answering.links import Links
from cmg.alerting.answering.replies import Replies
from cmg.alerting.api import answer_routes
from cmg.alerting.models import Report
from cmg.app.control_plane import documented
from support.alerting_world import document
from support.fake_receivers import Receivers, channels_at

URL = "https://cmg.example.org"
PATH = "/hooks/sms/default/sms"
ADA, BOB = "+15550001", "+15550002"
Reply = Callable[..., Awaitable[str]]
pytestmark = pytest.mark.usefixtures("people")


@pytest.fixture
async def people(configuring, admin, receivers) -> None:
    sms = channels_at(receivers.url)["sms"]
    sms["settings"]["replies"] = "yes"
    await configuring.put(admin, "channels", "sms", document("channels", sms))
    for who, number in (("ada", "+1 555-0001"), ("bob", BOB)):
        body = {"name": who, "contacts": [{"channel": "sms", "address": number}]}
        await configuring.put(admin, "responders", who, document("responders", body))
    policy = {"name": "All", "steps": [{"after_minutes": 0, "targets": [{"responder": "ada"}]}]}
    await configuring.put(admin, "escalation-policies", "default", document("escalation-policies", policy))
    alone = {"wait_seconds": 0, "correlate_by": [], "storm_groups": 1000}
    await configuring.put(admin, "handling", "default", document("handling", alone))


@pytest.fixture
async def client(alerts, sealer, clock, instruments, feedback) -> AsyncIterator[httpx.AsyncClient]:
    answers = Answers(alerts, Links(lambda: ["key"], URL), sealer, clock, feedback)
    app = documented([answer_routes.router(answers, Replies(alerts, sealer, URL, instruments))])

    @app.middleware("http")
    async def twilio(request: Request, go_on):
        request.state.caller, request.state.client = None, "203.0.113.7"
        return await go_on(request)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://cmg") as made:
        yield made


def signed(fields: dict[str, str], token: str = "t", url: str = URL + PATH) -> dict[str, str]:
    """As Twilio's documents say: SHA-1 over the URL and every field in order."""
    text = url + "".join(name + fields[name] for name in sorted(fields))
    made = base64.b64encode(hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()).decode()
    return {"x-twilio-signature": made, "content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
def reply(client) -> Reply:
    """Sends a text as Twilio passes it on; returns what is written back."""

    async def sent(text: str, number: str = ADA) -> str:
        fields = {"From": number, "To": "+15550100", "Body": text, "MessageSid": "SM1", "NumMedia": "0"}
        answer = await client.post(PATH, content=urlencode(fields), headers=signed(fields))
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/xml; charset=utf-8")
        return "".join(ET.fromstring(answer.text).itertext())

    return sent


@pytest.fixture
def told(monitor, alerts, receivers: Receivers):
    """Lets alerts page Ada; returns the reference of each as her phone shows it."""

    async def page(*names: str) -> list[str]:
        before = len(receivers.got)
        for name in names:
            await alerts.receive("default", [Report(labels={"alertname": name, "severity": "critical"})])
        await monitor("a").round()
        texts = {one.body["Body"] for one in receivers.got[before:]}
        found = {name: re.search(r"Ref ([0-9a-f]{8})$", text) for name in names for text in texts if name in text}
        assert all(f"Reply: ack {found[name][1]}" in text for name in names for text in texts if name in text)
        return [found[name][1] for name in names]

    return page


@pytest.fixture
def groups(alerts, admin):
    async def now() -> dict[str, tuple[str, str | None]]:
        return {one.title: (one.status, one.by) for one in await alerts.groups(admin, None, None, 10)}

    return now


def counted(instruments, outcome: str) -> float:
    return instruments.series("cmg_alert_replies_total", outcome)._value.get()


@pytest.mark.parametrize(
    "text", ["1", "ack", " ACK! ", "Ack {ref}", "1 {ref}", "ack ref {ref}", "ack #{ref}", "ack {short}"]
)
async def test_a_reply_acknowledges(told, reply, groups, instruments, text):
    (ref,) = await told("Down")
    assert await reply(text.format(ref=ref, short=ref[:4])) == "Acknowledged: Down"
    assert await groups() == {"Down": ("acknowledged", "sms:ada")}
    assert counted(instruments, "done") == 1


async def test_two_resolves(told, reply, groups):
    (ref,) = await told("Down")
    assert await reply(f"2 {ref}") == "Resolved: Down"
    assert await groups() == {"Down": ("resolved", "sms:ada")}


async def test_with_several_open_it_is_asked_which(told, reply, groups, instruments):
    first, second = await told("Down", "Slow")
    asked = await reply("ack")
    assert asked.startswith("2 are open. Reply `ack REF`:")
    assert first in asked
    assert second in asked
    assert counted(instruments, "unclear") == 1
    assert await reply(f"ack {second}") == "Acknowledged: Slow"
    assert (await groups())["Down"] == ("open", None)
    assert await reply("ack") == "Acknowledged: Down", "it is the only one left"


async def test_a_second_reply_does_not_make_it_longer(told, reply, alerts, admin, clock):
    (ref,) = await told("Down")
    await reply(f"ack {ref}")
    (before,) = await alerts.groups(admin, None, None, 10)
    clock.advance(600)
    assert await reply(f"ack {ref}") == "Acknowledged: Down"
    assert (await alerts.groups(admin, None, None, 10))[0].until == before.until


async def test_strangers_hear_nothing_and_are_counted(told, reply, groups, instruments):
    (ref,) = await told("Down")
    for number in ("+15559999", "", "5550001"):
        assert await reply(f"ack {ref}", number) == ""
    assert await groups() == {"Down": ("open", None)}
    assert counted(instruments, "unknown_number") == 3


async def test_what_one_was_not_told_of_cannot_be_answered(told, reply, groups, instruments):
    """Bob has the reference, but he was not told."""
    (ref,) = await told("Down")
    for text in (f"ack {ref}", "ack"):
        assert "no" in (await reply(text, BOB)).lower()
    assert await reply("ack 00000000") == "No open alert has the reference 00000000."
    assert await groups() == {"Down": ("open", None)}
    assert counted(instruments, "unknown_reference") == 3


@pytest.mark.parametrize(
    "text", ["", "what is it?", "3", "ack ack ack", "ack " + "f" * 25, "\x00", "ack 1; drop table"]
)
async def test_what_is_not_understood_is_answered_with_how_to(told, reply, groups, instruments, text):
    await told("Down")
    assert (await reply(text)).startswith("Reply `ack REF`")
    assert await groups() == {"Down": ("open", None)}
    assert counted(instruments, "unclear") == 1


@pytest.mark.parametrize("wrong", ["token", "url", "field", "channel", "nothing"])
async def test_what_twilio_did_not_sign_does_nothing(told, client, groups, instruments, wrong):
    (ref,) = await told("Down")
    fields = {"From": ADA, "Body": f"ack {ref}"}
    headers = {
        "token": signed(fields, token="other"),
        "url": signed(fields, url=URL + "/hooks/sms/default/other"),
        "field": signed({**fields, "Body": "2"}),
        "channel": signed(fields, url=URL + "/hooks/sms/default/none"),
        "nothing": {"content-type": "application/x-www-form-urlencoded"},
    }[wrong]
    path = PATH if wrong != "channel" else "/hooks/sms/default/none"
    answer = await client.post(path, content=urlencode(fields), headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "bad_signature")
    assert await groups() == {"Down": ("open", None)}
    assert sum(counted(instruments, one) for one in ("done", "unknown_number", "unknown_reference", "unclear")) == 0


async def test_without_a_public_url_nothing_can_be_checked(alerts, sealer, instruments):
    fields = {"From": ADA, "Body": "ack"}
    with pytest.raises(BadSignature):
        await Replies(alerts, sealer, None, instruments).received(
            ("default", "sms"), signed(fields, url=PATH), urlencode(fields).encode(), "x"
        )
