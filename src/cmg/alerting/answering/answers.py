"""What an answer does: the use cases behind links, buttons and keys that were pressed."""

from collections.abc import Mapping
from datetime import datetime
from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec

from cmg.alerting.alerts import Act, Alerts
from cmg.alerting.answering import signatures
from cmg.alerting.answering.links import JUDGING, BadLink, Links, Token
from cmg.alerting.escalation import actions
from cmg.alerting.feedback.judging import Feedback
from cmg.alerting.models import Group
from cmg.alerting.setup.documents import Channel, ChannelKind
from cmg.alerting.world import Changes
from cmg.identity.models import Actor
from cmg.kit.clock import Clock
from cmg.kit.errors import InvalidRequest, NotFound, Unauthenticated
from cmg.storage.sealing.sealer import Sealer

T = TypeVar("T")
_DIGITS = {"1": "acknowledge", "2": "resolve"}
_EVENTS = {"incident.acknowledged": "acknowledge", "incident.resolved": "resolve"}
_DEDUP = "cmg-"
_SKEW_S = 60.0  # that PagerDuty's clock may be behind ours


class BadSignature(Unauthenticated):
    """401: the signature is missing or wrong, or nothing here is signed that way."""

    code = "bad_signature"


class _Event(msgspec.Struct):
    event_type: str
    occurred_at: datetime | None = None
    data: dict[str, object] = {}
    agent: dict[str, object] | None = None


class _PagerDuty(msgspec.Struct):
    event: _Event


class _Button(msgspec.Struct):
    value: str = ""


class _Pressed(msgspec.Struct):
    actions: list[_Button] = []
    user: dict[str, object] = {}


class Answers:
    """Every method checks first, and does nothing to a group that is answered already."""

    def __init__(self, alerts: Alerts, links: Links, sealer: Sealer, clock: Clock, feedback: Feedback) -> None:
        self._feedback = feedback
        self._alerts, self._links, self._sealer, self._clock = alerts, links, sealer, clock

    async def look(self, token: str) -> tuple[Token, Group]:
        """What a link would do, and to which group. Raises `BadLink`, `NotFound`."""
        told = self._read(token)
        return told, await self._group(told)

    async def act(self, token: str, client: str, who: str = "") -> Group:
        """Do what a link says. Raises `BadLink`, `NotFound`."""
        told = self._read(token)
        return await self._done(told, told.action, who or f"link:{told.who}", client)

    async def pressed_in_slack(
        self, place: tuple[str, str], headers: Mapping[str, str], body: bytes, client: str
    ) -> Group:
        """Slack's interaction callback. `place`: workspace and channel. Raises `BadSignature`, `BadLink`."""
        secret = await self._secret(place, ("slack",), "signing_secret")
        if not signatures.by_slack(secret, headers, body, self._clock.time()):
            raise BadSignature("the request is not signed by Slack with this channel's `signing_secret`")
        pressed = _decoded(_Pressed, _form(body).get("payload", "").encode())
        value = pressed.actions[0].value if pressed.actions else ""
        told = self._read(value)
        if (told.workspace, told.channel) != place:
            raise BadLink("this button belongs to another channel")
        return await self._done(told, told.action, f"slack:{pressed.user.get('id', 'somebody')}"[:100], client)

    async def heard_from_pagerduty(
        self, place: tuple[str, str], headers: Mapping[str, str], body: bytes, client: str
    ) -> Group | None:
        """PagerDuty's webhook, version 3; None for what is none of ours. Raises `BadSignature`, `NotFound`."""
        secret = await self._secret(place, ("pagerduty",), "webhook_secret")
        if not signatures.by_pagerduty(secret, headers, body):
            raise BadSignature("the request is not signed by PagerDuty with this channel's `webhook_secret`")
        event = _decoded(_PagerDuty, body).event
        key, action = str(event.data.get("incident_key") or ""), _EVENTS.get(event.event_type)
        if action is None or not key.startswith(_DEDUP):
            return None
        who = str((event.agent or {}).get("summary") or "somebody")
        told = Token(place[0], key.removeprefix(_DEDUP), "acknowledge", 0, who, place[1])
        try:
            group = await self._group(told)
        except NotFound:
            return None  # it was deleted meanwhile; PagerDuty gives up a webhook that refuses often
        if action == "acknowledge" and _old(event, group):
            return group
        return await self._done(told, action, f"pagerduty:{who}"[:100], client)

    async def pressed_in_a_call(self, token: str, headers: Mapping[str, str], body: bytes, client: str) -> str:
        """Twilio's callback of a call; returns what is spoken. Raises `BadSignature`, `BadLink`, `NotFound`."""
        told, fields = self._read(token), _form(body)
        secret = await self._secret((told.workspace, told.channel), ("voice", "sms"), "auth_token")
        if told.action != "call" or not signatures.by_twilio(secret, headers, self._links.call_url(token), fields):
            raise BadSignature("the request is not signed by Twilio with this channel's `auth_token`")
        action = _DIGITS.get(fields.get("Digits", ""))
        if action is None:
            return "Nothing was done."
        group = await self._done(told, action, f"call:{told.who}", client)
        return "It is resolved." if group.status == "resolved" else "It is acknowledged."

    def _read(self, token: str) -> Token:
        return self._links.read(token, self._clock.time())

    async def _group(self, told: Token) -> Group:
        return await self._alerts.group(told.workspace, told.group)

    async def _done(self, told: Token, action: str, who: str, client: str) -> Group:
        if action not in {"acknowledge", "resolve", *JUDGING}:
            raise BadLink("this link is for calls alone")
        group = await self._group(told)
        by = Actor(who, frozenset(), told.workspace, client)
        if action == "useful" or action == "noise":  # noqa: PLR1714  mypy narrows it only so
            await self._feedback.judge(by, told.group, action)
            return group
        if not group.live or (action == "acknowledge" and group.status == "acknowledged"):
            return group
        act: Act = actions.resolve if action == "resolve" else acknowledge_once
        return await self._alerts.act(by, told.group, action, act)

    async def _secret(self, place: tuple[str, str], kinds: tuple[ChannelKind, ...], name: str) -> str:
        """A channel's secret. Whoever guesses names learns nothing by it: what is not there is a wrong signature."""
        channel: Channel | None = (await self._alerts.setup(place[0])).channels.get(place[1])
        if channel is None or channel.kind not in kinds or not channel.secrets.get(name):
            raise BadSignature(f"there is no such channel with the secret `{name}`")
        return self._sealer.open(channel.secrets[name])


def _old(event: _Event, group: Group) -> bool:
    """Whether an acknowledgement is of before the escalation began again: its signature holds for ever, it does not."""
    return event.occurred_at is not None and event.occurred_at.timestamp() < group.begun_at - _SKEW_S


def acknowledge_once(changes: Changes, group: Group, by: str) -> None:
    """Acknowledge what is not acknowledged: somebody may have been quicker."""
    if group.status != "acknowledged":
        actions.acknowledge(changes, group, by)


def _form(body: bytes) -> dict[str, str]:
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def _decoded(kind: type[T], body: bytes) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        raise InvalidRequest(f"this is not what is sent here: {error}") from error
