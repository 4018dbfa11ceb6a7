"""Replies to an SMS: `ack`, `1` or `resolve 7f3a90bc`, from the number of somebody who was told."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl

from cmg.alerting.alerts import Act, Alerts
from cmg.alerting.answering import signatures
from cmg.alerting.answering.answers import BadSignature, acknowledge_once
from cmg.alerting.channels.sending.message import SHORT, reference_of
from cmg.alerting.escalation import actions
from cmg.alerting.models import Group
from cmg.alerting.setup.compiled import Setup
from cmg.identity.models import Actor
from cmg.kit.errors import NotFound
from cmg.storage.sealing.sealer import Sealer
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.logs import get_logger

Outcome = Literal["done", "unknown_number", "unknown_reference", "unclear"]
_WORDS = {
    **dict.fromkeys(("1", "ack", "acknowledge", "acknowledged"), "acknowledge"),
    **dict.fromkeys(("2", "resolve", "resolved", "done"), "resolve"),
}
_REPLY = re.compile(r"([a-z0-9]{1,20})(?:[\s:#-]+(?:ref\s*)?([0-9a-f]{4,24}))?[\s.!]*")
_SHOWN = 3
_HELP = "Reply `ack REF` or `resolve REF`; REF stands at the end of each message."
_log = get_logger("cmg.alerting.replies")


@dataclass(frozen=True)
class _Open:
    """A live group that a number heard of, and the references of what it was told."""

    group: Group
    references: tuple[str, ...]


class Replies:
    """Twilio's webhook for messages that come in. `url`: as people outside reach the service."""

    def __init__(self, alerts: Alerts, sealer: Sealer, url: str | None, instruments: Instruments) -> None:
        self._alerts, self._sealer, self._instruments = alerts, sealer, instruments
        self._url = None if url is None else url.rstrip("/")

    async def received(self, place: tuple[str, str], headers: Mapping[str, str], body: bytes, client: str) -> str:
        """What is said back; empty for a stranger. `place`: workspace and channel. Raises `BadSignature`."""
        fields = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
        setup = await self._alerts.setup(place[0])
        if not self._signed(setup, place, headers, fields):
            raise BadSignature("the request is not signed by Twilio with this channel's `auth_token`")
        number = _digits(fields.get("From", ""))
        who = _whose(setup, number)
        if who is None:
            outcome, said = "unknown_number", ""
            _log.warning("an SMS came from a number that is nobody's", channel=place[1])
        else:
            by = Actor(f"sms:{who}", frozenset(), place[0], client)
            outcome, said = await self._answered(by, number, fields.get("Body", ""))
        self._instruments.series("cmg_alert_replies_total", outcome).inc()
        return said

    def _signed(
        self, setup: Setup, place: tuple[str, str], headers: Mapping[str, str], fields: Mapping[str, str]
    ) -> bool:
        channel = setup.channels.get(place[1])
        if channel is None or channel.kind != "sms" or self._url is None or not channel.secrets.get("auth_token"):
            return False
        secret = self._sealer.open(channel.secrets["auth_token"])
        return signatures.by_twilio(secret, headers, f"{self._url}/hooks/sms/{place[0]}/{place[1]}", fields)

    async def _answered(self, by: Actor, number: str, text: str) -> tuple[Outcome, str]:
        told = _REPLY.fullmatch(text.strip().lower()[:160])
        action = _WORDS.get(told[1]) if told is not None else None
        if told is None or action is None:
            return "unclear", _HELP
        heard = await self._heard(by.workspace_id, number)
        if told[2] is not None:
            named = [one for one in heard if any(each.startswith(told[2]) for each in one.references)]
            if len(named) != 1:
                return "unknown_reference", f"No open alert has the reference {told[2]}."
            return await self._done(by, named[0].group, action)
        waiting = [one for one in heard if action == "resolve" or one.group.status == "open"]
        if not waiting:
            return "unknown_reference", "You were told of no alert that is open."
        if len(waiting) > 1:
            lines = [f"{one.references[0][:SHORT]} {one.group.title[:60]}" for one in waiting[:_SHOWN]]
            return "unclear", "\n".join([f"{len(waiting)} are open. Reply `{told[1]} REF`:", *lines])
        return await self._done(by, waiting[0].group, action)

    async def _heard(self, workspace_id: str, number: str) -> list[_Open]:
        """The live groups that a number was told of, the newest first, each with its references, newest first."""
        found: dict[str, tuple[Group, list[str]]] = {}
        for group, one in await self._alerts.told(workspace_id):
            if _digits(one.address) == number:
                found.setdefault(group.id, (group, []))[1].append(reference_of(one.key))
        return [_Open(group, tuple(references)) for group, references in found.values()]

    async def _done(self, by: Actor, group: Group, action: str) -> tuple[Outcome, str]:
        act: Act = actions.resolve if action == "resolve" else acknowledge_once
        try:
            after = await self._alerts.act(by, group.id, action, act)
        except NotFound:
            return "unknown_reference", f"It is resolved already: {group.title}"[:160]
        return "done", f"{after.status.capitalize()}: {group.title}"[:160]


def _whose(setup: Setup, number: str) -> str | None:
    """The responder who has a number on a channel for SMS."""
    for name, responder in setup.responders.items():
        for contact in responder.contacts:
            channel = setup.channels.get(contact.channel)
            if number and channel is not None and channel.kind == "sms" and _digits(contact.address) == number:
                return name
    return None


def _digits(address: str) -> str:
    """A number without the blanks and strokes that people write."""
    return re.sub(r"[^0-9+]", "", address)
