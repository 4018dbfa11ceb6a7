"""Saying something of an incident: the text is filled, kept, shown on the status page, and sent to channels."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from cmg.identity.forms.text import array, one_of, text
from cmg.identity.models import Actor
from cmg.incidents import store
from cmg.incidents.communication.templates import Text, filled
from cmg.incidents.desk import Desk
from cmg.incidents.models import AUDIENCES, KINDS, OPEN, SEVERITIES, Communication, Incident
from cmg.incidents.ports import Delivery, Message, Messenger
from cmg.kit.clock import Clock
from cmg.kit.errors import Conflict
from cmg.storage.database import Database

STATUS_PAGE = "status-page"
COMMUNICATIONS_MAX = 500
_CHANNELS_MAX = 20


class Announcer:
    """Communications of incidents."""

    def __init__(self, database: Database, desk: Desk, messenger: Messenger, clock: Clock) -> None:
        self._database, self._desk, self._messenger, self._clock = database, desk, messenger, clock

    async def preview(self, number: int, fields: Mapping[str, Any]) -> Text:
        """The text as it would be sent. Raises `InvalidRequest`, `NotFound`."""
        kind, audience, words = _wanted(fields)
        return filled(await self._desk.get(number), kind, audience, words, self._clock.now())

    async def announce(self, by: Actor, number: int, fields: Mapping[str, Any]) -> Communication:
        """Keep a message, then send it. Customers' messages stand on the status page of a public incident.

        The message is stored before it is sent, so what was sent is never unknown; what became of it follows.
        """
        kind, audience, words = _wanted(fields)
        channels = array(fields.get("channels") or [], "channels", _CHANNELS_MAX, _channel)
        async with self._desk.changing(by, number, "incident.communicate") as change:
            incident = change.incident
            _fits(incident, kind)
            made = filled(incident, kind, audience, words, change.at)
            said = _said(incident, made, by, kind=kind, audience=audience, at=change.at)
            if kind == "initial" and incident.triaged_at is None and incident.commander:
                change.become(triaged_at=change.at)
            change.tell("communication", by.name, f"{kind} ({audience}): {made.subject}")
            said = msgspec.structs.replace(said, id=await store.add_communication(change.conn, said))
        return await self._sent(said, incident, channels)

    async def of(self, numbers: Sequence[int], audiences: Sequence[str] = AUDIENCES) -> list[Communication]:
        """What was said of some incidents, oldest first."""
        return await store.communications(self._database, numbers, audiences, COMMUNICATIONS_MAX * len(numbers))

    async def _sent(self, said: Communication, incident: Incident, channels: Sequence[str]) -> Communication:
        found: list[Delivery] = []
        if said.audience == "customer":
            shown = incident.public
            found.append(Delivery(STATUS_PAGE, "sent" if shown else "not_sent", "" if shown else "it is not public"))
        if channels:
            reference = f"{incident.name}/{said.id}"
            severity = SEVERITIES[incident.severity - 1]
            message = Message(
                reference=reference,
                group=incident.name,
                over=said.kind == "resolution",
                subject=said.subject,
                body=said.body,
                severity=severity,
            )
            found += await self._messenger.send(message, channels)
        told = tuple(msgspec.structs.asdict(one) for one in found)
        await store.save_deliveries(self._database, said.id, told)
        return msgspec.structs.replace(said, deliveries=told)


def _wanted(fields: Mapping[str, Any]) -> tuple[str, str, str]:
    kind = one_of(fields.get("kind"), "kind", KINDS)
    audience = one_of(fields.get("audience"), "audience", AUDIENCES)
    return kind, audience, text(fields.get("text") or "", "text", most=8000, lines=True)


def _channel(value: Any, field: str) -> str:
    return text(value, field, least=1, most=100)


def _fits(incident: Incident, kind: str) -> None:
    """A resolution is told when there is one, and nobody hears of an update behind it."""
    if kind in ("resolution", "post_incident") and incident.status in OPEN:
        raise Conflict(f"{incident.name} is {incident.status}; resolve it before telling of the end", param="kind")
    if kind in ("initial", "update") and incident.status not in OPEN:
        raise Conflict(f"{incident.name} is {incident.status}; there is nothing to update", param="kind")


def _said(incident: Incident, made: Text, by: Actor, **more: Any) -> Communication:
    status = "postmortem" if more["kind"] == "post_incident" else incident.status
    return Communication(
        incident_id=incident.id,
        status="resolved" if status == "closed" else status,
        components=dict(incident.components),
        subject=made.subject,
        body=made.body,
        actor=by.name,
        **more,
    )
