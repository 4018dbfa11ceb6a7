"""Whom this room needs and does not know: the application puts the real ones in."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from cmg.incidents.status.models import Span


class Delivery(msgspec.Struct, frozen=True):
    """What became of a message on one channel; `outcome` is sent, failed or not_sent."""

    channel: str
    outcome: str
    detail: str = ""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A communication to bring to people. `reference` is the same for the same message, for receivers that compare.

    `group` is that of all messages of an incident; `over`: it tells of its end.
    """

    reference: str
    group: str
    over: bool
    subject: str
    body: str
    severity: str


class Messenger(Protocol):
    """Brings messages to channels."""

    async def send(self, message: Message, channels: Sequence[str]) -> Sequence[Delivery]:
        """Send to each channel; says of each what became of it, and never raises for a channel that fails."""
        ...


class Components(Protocol):
    """How the components of the status page are, as this machine sees it now."""

    async def states(self) -> Mapping[str, str]:
        """Component → a status in the status page's words."""
        ...

    async def past(self, since: datetime, until: datetime) -> Sequence[Span]:
        """What the history of health knows of a time, of each component the oldest first. Raises `DatabaseAway`."""
        ...


class Samples(Protocol):
    """Prometheus' API on the time series of this machine, or on a real Prometheus."""

    async def answer(self, endpoint: str, form: Mapping[str, Sequence[str]]) -> tuple[int, bytes]:
        """Status and JSON of one call; `endpoint` as `query_range`."""
        ...


class ProbeFailed(Exception):
    """A probe did not get the answer that it should; the message says what it got."""


class Prober(Protocol):
    """Tries the service from outside."""

    async def chat(self) -> float:
        """Seconds that a call of `sim/echo` through a gateway took. Raises `ProbeFailed`."""
        ...

    async def level(self) -> str:
        """The level that `/health` tells. Raises `ProbeFailed`."""
        ...
