"""Messages of incidents go out by the channels that alerting knows, those of the service's own workspace."""

import asyncio
from collections.abc import Sequence

import aiohttp

from cmg.alerting.channels.kinds import KINDS, lacking
from cmg.alerting.channels.sending.message import Destination, Refused, TryLater
from cmg.alerting.channels.sending.message import Message as Notice
from cmg.alerting.models import SEVERITIES
from cmg.alerting.setup.compiled import Setup
from cmg.alerting.store import AlertingStore
from cmg.identity.models import DEFAULT_WORKSPACE
from cmg.incidents.models import severity_of
from cmg.incidents.ports import Delivery, Message
from cmg.kit.clock import Clock
from cmg.storage.database import Database
from cmg.storage.sealing.sealer import CannotOpen, Sealer
from cmg.telemetry.logs import get_logger

_SEND_S = 15.0
_PATIENCE_S = 5.0  # for one that cannot take it now; then it has failed, and somebody looks at it
_log = get_logger("cmg.incidents.communication")


class ChannelMessenger:
    """A channel is named by its id, or `id:address` where it needs one (a number, an e-mail address)."""

    def __init__(self, database: Database, sealer: Sealer, clock: Clock) -> None:
        self._database, self._sealer, self._clock = database, sealer, clock
        self._alerting = AlertingStore()

    async def send(self, message: Message, channels: Sequence[str]) -> Sequence[Delivery]:
        """To all at once; each has failed that does not take it within a quarter of a minute. Raises `DatabaseAway`."""
        setup = await self._alerting.setup(self._database, DEFAULT_WORKSPACE)
        notice = Notice(
            reference=message.reference,
            group=message.group,
            occasion="resolved" if message.over else "page",
            severity=SEVERITIES[severity_of(message.severity) - 1],
            subject=message.subject,
            body=message.body,
            at=self._clock.time(),
        )
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            return await asyncio.gather(*(self._deliver(notice, one, setup, session) for one in channels))

    async def _deliver(self, notice: Notice, named: str, setup: Setup, session: aiohttp.ClientSession) -> Delivery:
        name, _, address = named.partition(":")
        try:
            async with asyncio.timeout(_SEND_S):
                return Delivery(name, "sent", await self._sent(notice, name, address, setup, session))
        except (Refused, TryLater) as error:
            return Delivery(name, "failed", str(error)[:300])
        except TimeoutError:
            return Delivery(name, "failed", f"it was not sent within {_SEND_S:g} s")
        except Exception as error:  # noqa: BLE001  a channel that crashes must not keep the others from sending
            _log.error("a channel crashed", exc_info=error, channel=name)
            return Delivery(name, "failed", f"the channel crashed: {type(error).__name__}")

    async def _sent(self, notice: Notice, name: str, address: str, setup: Setup, session: aiohttp.ClientSession) -> str:
        channel = setup.channels.get(name)
        if channel is None:
            raise Refused("there is no channel of this name; `PUT /admin/v1/notification-channels/{id}` makes one")
        if missing := lacking(channel):
            raise Refused(f"the channel has no {' and no '.join(missing)}")
        try:
            secrets = {key: self._sealer.open(sealed) for key, sealed in channel.secrets.items()}
        except CannotOpen as error:
            raise Refused(str(error)) from error
        to = Destination(address, channel.settings, secrets)
        try:
            return await KINDS[channel.kind].send(notice, to, session)
        except TryLater as error:
            await self._clock.sleep(min(error.after_s or 1.0, _PATIENCE_S))
            return await KINDS[channel.kind].send(notice, to, session)
