"""Sends what is due: claimed first, sent within a deadline, and what became of it kept."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence

import aiohttp

from cmg.alerting.answering.links import Links
from cmg.alerting.channels import twilio
from cmg.alerting.channels.kinds import KINDS, lacking
from cmg.alerting.channels.sending.message import Destination, Message, Refused, TryLater, message_of
from cmg.alerting.delivery.claiming import Outcome, claim, settle
from cmg.alerting.desk import Desk
from cmg.alerting.models import Notification, Timer
from cmg.alerting.setup.compiled import Setup
from cmg.alerting.setup.documents import Channel
from cmg.alerting.world import Changes
from cmg.kit.clock import Clock
from cmg.storage.sealing.sealer import CannotOpen, Sealer
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.logs import get_logger

_SEND_S = 20.0
_ASK_S = 5.0  # the pager waits for it
_OF_CHANNEL = 10  # sends that are under way at a time
_MINUTE_S = 60.0
QUIET_RECEIPT = "drill: not sent"
_log = get_logger("cmg.alerting.delivery")


class Sender:
    """At least once: a message whose sender died is sent again, under the same reference, and counted as a repeat.

    With `links` a message has what its receiver may do by following one.
    """

    def __init__(
        self,
        desk: Desk,
        sealer: Sealer,
        clock: Clock,
        instruments: Instruments,
        session: Callable[[], aiohttp.ClientSession],
    ) -> None:
        self._desk, self._sealer, self._clock, self._instruments = desk, sealer, clock, instruments
        self._session = session
        self.links: Links | None = None
        self._times: dict[tuple[str, str], deque[float]] = {}
        self._under_way: Counter[tuple[str, str]] = Counter()

    async def send_due(self, workspace_id: str) -> int:
        """Send a batch of what is due; returns how many messages that was. Raises `DatabaseAway`."""
        claimed = await self._desk.change(
            workspace_id, lambda changes: claim(changes, self._free(workspace_id, changes.world.setup))
        )
        if not claimed:
            return 0
        for one in claimed:  # once kept, not within the decision: one that is overtaken is made again, or never was
            self._under_way[workspace_id, one.channel] += 1
            self._times.setdefault((workspace_id, one.channel), deque(maxlen=6000)).append(self._clock.time())
        setup = self._desk.worlds[workspace_id].setup
        try:
            found = await asyncio.gather(*(self._send(workspace_id, one, setup) for one in claimed))
        finally:
            self._under_way.subtract((workspace_id, one.channel) for one in claimed)
        outcomes = {one.key: one for one in found}
        await self._desk.change(workspace_id, lambda changes: settle(changes, claimed, outcomes))
        self._count(claimed, outcomes, setup)
        return len(claimed)

    async def test(self, channel: Channel, address: str) -> str:
        """Send a test message now, outside any group; returns the receipt. Raises `TryLater`, `Refused`."""
        text = "This is a test. Nothing is wrong; whoever reads this is reached."
        message = Message("test", "test", "test", "P4", "[P4] Test of a notification channel", text, self._clock.time())
        return await self._sent(channel, address, message)

    async def answered(self, timer: Timer, setup: Setup) -> bool:
        """Whether somebody picked up the call that a redial is about; no, when nobody can say."""
        channel_id, address, _, receipt = timer.notification.split("\n")
        channel = setup.channels.get(channel_id)
        if channel is None:
            return False
        try:
            async with asyncio.timeout(_ASK_S):
                return not await twilio.unanswered(receipt, self._place(channel, address), self._session())
        except (TryLater, Refused, TimeoutError, CannotOpen) as error:
            _log.warning("whether a call was answered is not known", error=str(error))
            return False

    def _free(self, workspace_id: str, setup: Setup) -> dict[str, int]:
        """How many messages each channel may send now: in this minute, and beside those that are under way."""
        since, free = self._clock.time() - _MINUTE_S, {}
        for name, channel in setup.channels.items():
            times = self._times.get((workspace_id, name), deque())
            while times and times[0] <= since:
                times.popleft()
            under_way = self._under_way[workspace_id, name]
            free[name] = min(channel.per_minute - len(times), _OF_CHANNEL - under_way)
        return free

    async def _send(self, workspace_id: str, one: Notification, setup: Setup) -> Outcome:
        channel = setup.channels.get(one.channel)
        if one.facts.get("drill") == "quiet":
            return Outcome(one.key, receipt=QUIET_RECEIPT)
        if channel is None:
            return Outcome(one.key, error=f"the channel {one.channel} is gone")
        try:
            async with asyncio.timeout(_SEND_S):
                receipt = await self._sent(channel, one.address, self._message(workspace_id, one))
        except TryLater as error:
            return Outcome(one.key, error=str(error), again=True, after_s=error.after_s)
        except Refused as error:
            return Outcome(one.key, error=str(error))
        except TimeoutError:
            return Outcome(one.key, error=f"it was not sent within {_SEND_S:g} s", again=True)
        except Exception as error:  # noqa: BLE001  a channel that crashes must not stop the others
            _log.error("a channel crashed", exc_info=error, kind=channel.kind)
            return Outcome(one.key, error=f"the channel crashed: {type(error).__name__}")
        return Outcome(one.key, receipt=receipt or "sent")

    def _message(self, workspace_id: str, one: Notification) -> Message:
        now = self._clock.time()
        return message_of(one, now, {} if self.links is None else self.links.of(workspace_id, one, now))

    async def _sent(self, channel: Channel, address: str, message: Message) -> str:
        missing = lacking(channel)
        if missing:
            raise Refused(f"the channel has no {' and no '.join(missing)}")
        return await KINDS[channel.kind].send(message, self._place(channel, address), self._session())

    def _place(self, channel: Channel, address: str) -> Destination:
        try:
            secrets = {name: self._sealer.open(sealed) for name, sealed in channel.secrets.items()}
        except CannotOpen as error:
            raise Refused(str(error)) from error
        return Destination(address, channel.settings, secrets)

    def _count(self, claimed: Sequence[Notification], outcomes: Mapping[str, Outcome], setup: Setup) -> None:
        for one in claimed:
            kind = setup.channels[one.channel].kind if one.channel in setup.channels else "gone"
            outcome = outcomes[one.key]
            word = "sent" if outcome.receipt else "again" if outcome.again else "failed"
            word = "drill" if outcome.receipt == QUIET_RECEIPT else word
            self._instruments.series("cmg_notifications_total", kind, word).inc()
            if one.repeats and word == "sent":
                self._instruments.series("cmg_notification_repeats_total", kind).inc()


def end_answered(changes: Changes, answered: Sequence[str]) -> None:
    """Somebody picked up: there is nothing to dial again."""
    for name in answered:
        timer = changes.world.timers.get(name)
        if timer is not None:
            changes.end_timer(timer)
