"""Each channel against its API's documented requests and answers, with 429, 5xx and refusals."""

import base64
import hashlib
import hmac
import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from cmg.alerting.channels.kinds import KINDS, lacking
from cmg.alerting.channels.sending.message import Destination, Message, Refused, TryLater
from cmg.alerting.channels.twilio import unanswered
from cmg.alerting.channels.web_push import encrypted
from cmg.alerting.setup.documents import Channel
from support.fake_receivers import Receivers, channels_at

GROUP = "0192f0c1d2e37a4b8c9d0e1f2a3b4c5d"
PAGE = Message(
    reference="9f86d081884c7d659a2feaa0",
    group=GROUP,
    occasion="page",
    severity="P1",
    subject="[P1] Database is <down> & out (3 alerts)",
    body="Group 2a3b4c5d, tier 1.\n- DatabaseDown since 12:00: no answer",
    at=1_790_000_000.0,
    facts={"service": "cmg", "component": "database", "alertname": "DatabaseDown"},
)


def over(message: Message = PAGE, occasion: str = "resolved") -> Message:
    return replace(message, occasion=occasion)


async def send(receivers: Receivers, session: Any, name: str, message: Message = PAGE, address: str = "") -> str:
    channel = Channel.model_validate(channels_at(receivers.url)[name])
    assert lacking(channel) == []
    return await KINDS[channel.kind].send(message, Destination(address, channel.settings, channel.secrets), session)


async def test_a_webhook_is_signed_over_time_and_body(receivers, session):
    await send(receivers, session, "hook")
    (got,) = receivers.got
    told = got.headers["x-cmg-timestamp"].encode() + b"." + got.raw
    assert got.headers["x-cmg-signature"] == "v1=" + hmac.new(b"hush", told, hashlib.sha256).hexdigest()
    assert got.headers["x-cmg-delivery"] == got.body["reference"] == PAGE.reference
    assert (got.body["status"], got.body["severity"], got.body["facts"]["component"]) == ("firing", "P1", "database")


async def test_a_callback_fills_in_the_group_and_carries_its_token(receivers, session):
    await send(receivers, session, "back")
    (got,) = receivers.got
    assert (got.method, got.path) == ("POST", f"/back/{GROUP}")
    assert (got.headers["authorization"], got.headers["idempotency-key"]) == ("Bearer bear", PAGE.reference)


async def test_slack_posts_a_message_that_cannot_be_markup(receivers, session):
    assert await send(receivers, session, "slack", address="@ada") == "1503435956.000247"
    (got,) = receivers.got
    assert (got.body["channel"], got.headers["authorization"]) == ("@ada", "Bearer xoxb")
    assert got.body["text"] == "[P1] Database is &lt;down&gt; &amp; out (3 alerts)"


async def test_slacks_own_errors_are_told_apart(receivers, session):
    receivers.failures = [
        (200, {}, {"ok": False, "error": "ratelimited"}),
        (200, {}, {"ok": False, "error": "invalid_auth"}),
    ]
    with pytest.raises(TryLater):
        await send(receivers, session, "slack")
    with pytest.raises(Refused, match="invalid_auth"):
        await send(receivers, session, "slack")


async def test_an_sms_goes_through_twilio_with_its_reference(receivers, session):
    assert (await send(receivers, session, "sms", address="+4915112345678")).startswith("SM")
    (got,) = receivers.got
    assert (got.path, got.basic) == ("/2010-04-01/Accounts/AC1/Messages.json", ("AC1", "t"))
    assert (got.body["To"], got.body["From"]) == ("+4915112345678", "+15550100")
    assert got.body["Body"].endswith("Ref 9f86d081")
    assert "DatabaseDown" in got.body["Body"]


async def test_a_call_speaks_and_says_whether_anybody_picked_up(receivers, session):
    receipt = await send(receivers, session, "voice", address="+4915112345678")
    (got,) = receivers.got
    assert got.path.endswith("/Calls.json")
    assert got.body["Twiml"].count("&lt;down&gt; &amp; out") == 2
    channel = Channel.model_validate(channels_at(receivers.url)["voice"])
    to = Destination("", channel.settings, channel.secrets)
    assert await unanswered(receipt, to, session)
    receivers.call_status = "completed"
    assert not await unanswered(receipt, to, session)


@pytest.mark.parametrize(
    ("occasion", "action"),
    [("page", "trigger"), ("remind", "trigger"), ("acknowledged", "acknowledge"), ("resolved", "resolve")],
)
async def test_pagerduty_is_told_what_happened_to_the_group(receivers, session, occasion, action):
    assert await send(receivers, session, "pagerduty", over(occasion=occasion)) == f"cmg-{GROUP}"
    (got,) = receivers.got
    assert (got.body["event_action"], got.body["routing_key"]) == (action, "R0")
    assert ("payload" in got.body) == (action == "trigger")
    if action == "trigger":
        payload = got.body["payload"]
        assert (payload["severity"], payload["source"], payload["component"]) == ("critical", "cmg", "database")
        assert payload["class"] == "DatabaseDown"


async def test_ntfy_gets_topic_and_priority(receivers, session):
    assert await send(receivers, session, "ntfy", address="ada-phone") == "hwQ2YpKdmg"
    (got,) = receivers.got
    assert (got.body["topic"], got.body["priority"], got.headers["authorization"]) == ("ada-phone", 5, "Bearer tk")


async def test_a_group_is_one_jira_issue_with_comments(receivers, session):
    assert await send(receivers, session, "jira") == "OPS-1"
    assert await send(receivers, session, "jira", over()) == "OPS-1"
    made = next(one for one in receivers.got if one.path == "/rest/api/3/issue")
    assert made.basic == ("a@b.c", "j")
    assert made.body["fields"]["project"] == {"key": "OPS"}
    assert made.body["fields"]["labels"] == [f"cmg-{GROUP}", "severity-P1"]
    assert made.body["fields"]["description"]["type"] == "doc"
    assert receivers.got[-1].path == "/rest/api/3/issue/OPS-1/comment"


async def test_a_group_is_one_servicenow_incident_that_is_resolved_with_it(receivers, session):
    assert await send(receivers, session, "servicenow") == "a1b2"
    assert await send(receivers, session, "servicenow", over()) == "a1b2"
    made = next(one for one in receivers.got if one.method == "POST")
    assert (made.body["correlation_id"], made.body["urgency"]) == (f"cmg-{GROUP}", "1")
    assert (receivers.got[-1].method, receivers.got[-1].body["state"]) == ("PATCH", "6")


BY_DATE = {"retry-after": "Sun, 29 Nov 2026 10:00:07 GMT", "date": "Sun, 29 Nov 2026 10:00:00 GMT"}


@pytest.mark.parametrize("name", sorted(set(channels_at("")) - {"jira", "servicenow"}))
@pytest.mark.parametrize(
    ("status", "headers", "after"),
    [
        (429, BY_DATE, 7),
        (429, {"retry-after": "Sun, 99 Nov"}, None),
        (429, {"retry-after": "7"}, 7),
        (429, {"retry-after": "\xb2"}, None),
        (500, {}, None),
        (503, {}, None),
    ],
)
async def test_a_busy_receiver_is_tried_again_when_it_says(receivers, session, name, status, headers, after):
    receivers.failures = [(status, headers, {"message": "not now"})]
    with pytest.raises(TryLater) as told:
        await send(receivers, session, name, address="+15550123" if name in {"sms", "voice"} else "")
    assert told.value.after_s == after
    assert str(status) in str(told.value)


@pytest.mark.parametrize("name", sorted(channels_at("")))
async def test_a_refusal_is_for_good_and_tells_no_secret(receivers, session, name):
    receivers.failures = [(401, {}, {"message": "who are you?"})]
    with pytest.raises(Refused) as told:
        await send(receivers, session, name)
    secret = next(iter(channels_at("")[name]["secrets"].values()))
    assert secret not in str(told.value).split()


@pytest.mark.parametrize("name", ["slack", "sms", "voice", "pagerduty", "ntfy", "jira", "servicenow"])
async def test_an_answer_that_comes_in_pieces_is_no_failure(receivers, session, name):
    """Half an answer would be sent again: twice where the receiver cannot tell."""
    receivers.in_pieces = True
    assert await send(receivers, session, name, address="+15550123" if name in {"sms", "voice"} else "")


async def test_nobody_there_is_for_now(session):
    channel = Channel.model_validate(channels_at("http://127.0.0.1:9")["hook"])
    with pytest.raises(TryLater, match="no connection"):
        await KINDS["webhook"].send(PAGE, Destination("", channel.settings, channel.secrets), session)


def _b64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_a_push_is_encrypted_as_the_standards_example():
    # RFC 8291, appendix A
    own = ec.derive_private_key(int.from_bytes(_b64("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw")), ec.SECP256R1())
    public = _b64("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4")
    sealed = encrypted(
        b"When I grow up, I want to be a watermelon",
        public,
        _b64("BTBZMqHH6r4Tts7J_aSIgg"),
        own,
        _b64("DGv6ra1nlYgDCS1FRnbzlw"),
    )
    assert sealed == _b64(
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_"
        "yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )


@pytest.mark.parametrize("letter", ["x", "\u6c34", "\U0001f525", '"', "\n"])
async def test_a_push_fits_whatever_its_letters(receivers, session, letter):
    """Push services refuse a body of more than 4,096 bytes."""
    await _pushed(receivers, session, replace(PAGE, body=letter * 4000))
    (got,) = receivers.got
    assert 3500 < len(got.raw) <= 4096


async def _pushed(receivers: Receivers, session: Any, message: Message) -> Destination:
    keys = {"p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
            "auth": "BTBZMqHH6r4Tts7J_aSIgg"}  # fmt: skip
    browser = json.dumps({"endpoint": f"{receivers.url}/push/abc", "expirationTime": None, "keys": keys})
    secrets = {"vapid_private_key": "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"}
    to = Destination(browser, {"subject": "mailto:ops@example.org"}, secrets)
    await KINDS["push"].send(message, to, session)
    return to


async def test_a_push_carries_a_token_for_its_service(receivers, session):
    to = await _pushed(receivers, session, PAGE)
    (got,) = receivers.got
    assert (got.headers["content-encoding"], got.headers["topic"]) == ("aes128gcm", PAGE.reference)
    token = got.headers["authorization"].split("t=")[1].split(",")[0]
    claims = json.loads(_b64(token.split(".")[1]))
    assert claims == {"aud": receivers.url, "exp": 1_790_000_000 + 43_200, "sub": "mailto:ops@example.org"}
    with pytest.raises(Refused):
        await KINDS["push"].send(PAGE, Destination("no json", to.settings, to.secrets), session)
