"""What every channel is given, and what it answers."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import aiohttp

from cmg.alerting.models import Notification, Occasion, Severity

SHORT = 8


class TryLater(Exception):
    """The receiver cannot take it now (429, 5xx, no connection); `after_s` is what it asked for, if it did."""

    def __init__(self, why: str, after_s: float | None = None) -> None:
        super().__init__(why)
        self.after_s = after_s


class Refused(Exception):
    """The receiver will never take it (a wrong address, a wrong secret)."""


_LINKED = {
    "acknowledge": "Acknowledge",
    "resolve": "Resolve",
    "useful": "It was useful",
    "noise": "It was noise",
}


@dataclass(frozen=True)
class Message:
    """`reference` is the same for a message however often it is sent, `group` for all messages of a group.

    `at`: when it is sent. `links`: what its receiver may do, by an URL each (`acknowledge`, `resolve`, `call`; of
    one that is over `useful`, `noise`).
    """

    reference: str
    group: str
    occasion: Occasion
    severity: Severity
    subject: str
    body: str
    at: float
    facts: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        """Whether there is nothing left to do."""
        return self.occasion == "resolved"


@dataclass(frozen=True)
class Destination:
    """Where to: the address of a person on a channel, and the channel's own settings and opened secrets."""

    address: str
    settings: Mapping[str, str]
    secrets: Mapping[str, str]

    def setting(self, name: str, default: str | None = None) -> str:
        """A setting. Raises `Refused` when it is needed and not there."""
        value = self.settings.get(name) or default
        if value is None:
            raise Refused(f"the channel has no setting `{name}`")
        return value

    def secret(self, name: str) -> str:
        """A secret. Raises `Refused`."""
        if not self.secrets.get(name):
            raise Refused(f"the channel has no secret `{name}`")
        return self.secrets[name]

    def to(self, setting: str) -> str:
        """The person's address, else the channel's own. Raises `Refused`."""
        return self.address or self.setting(setting)


class Send(Protocol):
    """Sends one message; returns what the receiver calls it. Raises `TryLater`, `Refused`."""

    async def __call__(self, message: Message, to: Destination, session: aiohttp.ClientSession) -> str:
        """See the class."""
        ...


def reference_of(key: str) -> str:
    """24 hex digits that stand for a message's key; an SMS shows the first `SHORT` of them."""
    return hashlib.sha256(key.encode()).hexdigest()[:24]


def message_of(one: Notification, at: float, links: Mapping[str, str]) -> Message:
    """The message of a row of the outbox, as it is sent now."""
    reference = reference_of(one.key)
    named = [f"{told}: {links[action]}" for action, told in _LINKED.items() if action in links]
    body = "\n".join([one.body, *named])
    return Message(reference, one.group_id, one.occasion, one.severity, one.subject, body, at, one.facts, links)
