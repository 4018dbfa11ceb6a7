"""Answers from outside: a link, a button, a key: signed, for one group, and never by looking alone."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from urllib.parse import urlencode

import httpx
import pytest
from fastapi import Request

from cmg.alerting.answering import signatures
from cmg.alerting.answering.answers import Answers
from cmg.alerting.answering.links import LIFE_S, BadLink, Links, Token
from cmg.alerting.answering.replies import Replies
from cmg.alerting.api import answer_routes
from cmg.alerting.escalation.timers import advance
from cmg.alerting.models import Report
from cmg.app.control_plane import documented
from cmg.kit.clock import rfc3339
from support.alerting_world import document
from support.fake_receivers import channels_at
from support.manual_clock import START

DOWN = Report(labels={"alertname": "Down", "severity": "critical"})
URL = "https://cmg.example.org"


@pytest.fixture
def links() -> Links:
    return Links(lambda: ["a master key of the tests"], URL)


@pytest.fixture
async def group(configured, admin, alerts, receivers) -> str:
    """The id of a group that waits for an answer; its channels have secrets to check by."""
    channels = channels_at(receivers.url)
    channels["slack"]["secrets"]["signing_secret"] = "shh"
    channels["pagerduty"]["secrets"]["webhook_secret"] = "pd"
    for name in ("slack", "pagerduty", "voice", "sms"):
        await configured.put(admin, "channels", name, document("channels", channels[name]))
    await alerts.receive("default", [DOWN])
    (made,) = await alerts.groups(admin, None, None, 10)
    return str(made.id)


@pytest.fixture
async def client(alerts, links, sealer, clock, feedback, instruments) -> AsyncIterator[httpx.AsyncClient]:
    replies = Replies(alerts, sealer, URL, instruments)
    app = documented([answer_routes.router(Answers(alerts, links, sealer, clock, feedback), replies)])

    @app.middleware("http")
    async def stranger(request: Request, go_on):
        request.state.caller, request.state.client = None, "203.0.113.7"
        return await go_on(request)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://cmg") as made:
        yield made


@pytest.fixture
def token(links, group, clock):
    def made(action: str = "acknowledge", *, channel: str = "slack", until: float = 60) -> str:
        return links.token(Token("default", group, action, int(clock.time() + until), "ada", channel))

    return made


@pytest.fixture
def status(alerts, admin, group):
    async def now() -> tuple[str, str | None]:
        found = (await alerts.story(admin, group)).group
        return found.status, found.by

    return now


async def test_looking_at_a_link_does_nothing_and_its_button_acts(client, token, status):
    link = f"/act/{token()}"
    for _ in range(2):
        page = await client.get(link)
        assert (page.status_code, '<form method="post">' in page.text) == (200, True)
        assert "form-action 'self'" in page.headers["content-security-policy"]
    assert await status() == ("open", None)
    acted = await client.post(link)
    assert (acted.status_code, "Acknowledged by link:ada" in acted.text) == (200, True)
    assert await status() == ("acknowledged", "link:ada")
    assert "Acknowledged already" in (await client.get(link)).text


async def test_an_acknowledgement_is_not_made_longer_by_the_same_link(client, token, alerts, admin, group, clock):
    link = f"/act/{token(until=7200)}"
    await client.post(link)
    before = (await alerts.story(admin, group)).group.until
    clock.advance(600)
    await client.post(link)
    assert (await alerts.story(admin, group)).group.until == before


async def test_a_link_resolves(client, token, status):
    await client.post(f"/act/{token('resolve')}")
    assert (await status())[0] == "resolved"


@pytest.mark.parametrize("wrong", ["changed", "old", "other key", "cut", "call"])
async def test_a_link_that_is_not_ours_or_too_old_does_nothing(client, token, status, group, wrong):
    other = Links(lambda: ["another master key"], URL)
    made = {
        "changed": "A" + token()[1:],
        "old": token(until=-1),
        "other key": other.token(Token("default", group, "acknowledge", 2**40, "ada")),
        "cut": token()[:-1],
        "call": token("call"),
    }[wrong]
    assert (await client.post(f"/act/{made}")).status_code == 401
    assert await status() == ("open", None)


def test_a_link_made_under_an_older_master_key_is_read():
    old, new = Links(lambda: ["the old master key"], URL), Links(lambda: ["new one", "the old master key"], URL)
    told = Token("default", "g", "resolve", 100, "ada")
    assert new.read(old.token(told), 1) == told
    with pytest.raises(BadLink):
        old.read(new.token(told), 1)


def slack(token: str, clock, *, secret: str = "shh", age_s: float = 0) -> tuple[bytes, dict[str, str]]:
    payload = {"type": "block_actions", "user": {"id": "U1"}, "actions": [{"action_id": "cmg", "value": token}]}
    body, at = urlencode({"payload": json.dumps(payload)}).encode(), str(int(clock.time() - age_s))
    told = hmac.new(secret.encode(), f"v0:{at}:".encode() + body, hashlib.sha256).hexdigest()
    return body, {"x-slack-request-timestamp": at, "x-slack-signature": f"v0={told}"}


async def test_slacks_button_acknowledges(client, token, status, clock):
    body, headers = slack(token(), clock)
    answer = await client.post("/hooks/slack/default/slack", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    assert await status() == ("acknowledged", "slack:U1")


@pytest.mark.parametrize("wrong", ["secret", "old", "channel", "none"])
async def test_a_button_that_slack_did_not_sign_does_nothing(client, token, status, clock, wrong):
    secret = "guessed" if wrong == "secret" else "shh"
    body, headers = slack(token(channel="other" if wrong == "channel" else "slack"), clock, secret=secret,
                          age_s=600 if wrong == "old" else 0)  # fmt: skip
    sent = {} if wrong == "none" else headers
    answer = await client.post("/hooks/slack/default/slack", content=body, headers=sent)
    assert (answer.status_code, await status()) == (401, ("open", None))


@pytest.mark.parametrize(
    ("event", "becomes"), [("incident.acknowledged", "acknowledged"), ("incident.resolved", "resolved")]
)
async def test_what_is_done_in_pagerduty_is_done_here(client, status, group, event, becomes):
    data = {"id": "PGR0VU2", "type": "incident", "incident_key": f"cmg-{group}"}
    told = {"event": {"event_type": event, "agent": {"summary": "Tenex Engineer"}, "data": data}}
    body = json.dumps(told).encode()
    good = "v1=" + hmac.new(b"pd", body, hashlib.sha256).hexdigest()
    bad = await client.post(
        "/hooks/pagerduty/default/pagerduty", content=body, headers={"x-pagerduty-signature": "v1=0"}
    )
    assert (bad.status_code, await status()) == (401, ("open", None))
    headers = {"x-pagerduty-signature": f"v1=00,{good}"}
    answer = await client.post("/hooks/pagerduty/default/pagerduty", content=body, headers=headers)
    assert answer.json() == {"group": group}
    assert await status() == (becomes, "pagerduty:Tenex Engineer")


async def test_an_acknowledgement_in_pagerduty_that_is_sent_again_later_holds_nothing_up(
    client, status, group, clock, desk
):
    """Its signature has no time in it: whoever caught one could keep everybody quiet with it."""

    async def told(key: str) -> httpx.Response:
        data = {"incident_key": key, "id": "P1"}
        event = {"event_type": "incident.acknowledged", "occurred_at": rfc3339(START + 5), "data": data}
        body = json.dumps({"event": event}).encode()
        headers = {"x-pagerduty-signature": "v1=" + hmac.new(b"pd", body, hashlib.sha256).hexdigest()}
        return await client.post("/hooks/pagerduty/default/pagerduty", content=body, headers=headers)

    assert (await told(f"cmg-{group}")).json() == {"group": group}
    assert (await status())[0] == "acknowledged"
    clock.advance(61 * 60)
    await desk.change("default", advance)
    assert (await status())[0] == "open"
    assert (await told(f"cmg-{group}")).json() == {"group": group}
    assert (await status())[0] == "open"
    assert (await told("cmg-" + "0" * 32)).json() == {"group": None}, "one that is there no more is no failure"


@pytest.mark.parametrize(("digits", "becomes"), [("1", "acknowledged"), ("2", "resolved"), ("7", "open")])
async def test_a_key_pressed_in_a_call_acts(client, token, links, status, digits, becomes):
    call = token("call", channel="voice")
    fields = {"CallSid": "CA1", "Digits": digits, "From": "+15550100"}
    told = links.call_url(call) + "".join(name + fields[name] for name in sorted(fields))
    headers = {"x-twilio-signature": _sha1(b"t", told), "content-type": "application/x-www-form-urlencoded"}
    refused = await client.post(f"/hooks/twilio/{call}", content=urlencode({**fields, "To": "x"}), headers=headers)
    assert (refused.status_code, await status()) == (401, ("open", None))
    answer = await client.post(f"/hooks/twilio/{call}", content=urlencode(fields), headers=headers)
    assert (answer.status_code, answer.text.startswith("<Response><Say>")) == (200, True)
    assert (await status())[0] == becomes


def _sha1(secret: bytes, told: str) -> str:

    return base64.b64encode(hmac.new(secret, told.encode(), hashlib.sha1).digest()).decode()


def test_slacks_documented_example_is_signed_right():
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&"
        b"channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&"
        b"response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&"
        b"trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    headers = {
        "x-slack-request-timestamp": "1531420618",
        "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
    }
    secret = "8f742231b10e8888abcd99yyyzzz85a5"
    assert signatures.by_slack(secret, headers, body, 1531420618)
    assert not signatures.by_slack(secret, headers, body + b"x", 1531420618)
    for odd in ("\xb2", "\xb9531420618", "-1", "1" * 13):  # digits to Python that are no numbers to it
        assert not signatures.by_slack(secret, {**headers, "x-slack-request-timestamp": odd}, body, 1531420618)


@pytest.mark.usefixtures("group")
async def test_messages_carry_links_where_the_service_has_a_public_url(monitor, links, receivers, clock):
    pager = monitor("a")
    pager._sender.links = links
    await pager.round()
    sms = next(one.body["Body"] for one in receivers.got if one.path.endswith("/Messages.json"))
    url = next(line for line in sms.splitlines() if line.startswith(URL))
    assert links.read(url.rpartition("/")[2], clock.time()).action == "acknowledge"
    with pytest.raises(BadLink, match="too old"):
        links.read(url.rpartition("/")[2], clock.time() + LIFE_S + 1)
    call = next(one.body["Twiml"] for one in receivers.got if one.path.endswith("/Calls.json"))
    assert f'<Gather numDigits="1" timeout="10" method="POST" action="{URL}/hooks/twilio/' in call
