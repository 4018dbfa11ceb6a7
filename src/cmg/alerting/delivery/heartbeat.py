"""The watchdog: a URL outside is called while everything works; whoever watches it notices when the calls cease."""

from collections.abc import Callable

import aiohttp

from cmg.alerting.channels.sending.http_call import Call, called
from cmg.alerting.channels.sending.message import Refused, TryLater
from cmg.alerting.desk import Desk
from cmg.kit.clock import Clock
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.logs import get_logger

_PACE_S = 5.0
_log = get_logger("cmg.alerting.heartbeat")


class Heartbeat:
    """`wrong` says why nothing is to be called now, as when the pager is late; empty when all works."""

    def __init__(
        self,
        desk: Desk,
        wrong: Callable[[], str],
        clock: Clock,
        instruments: Instruments,
        session: Callable[[], aiohttp.ClientSession],
    ) -> None:
        self._desk, self._wrong, self._clock = desk, wrong, clock
        self._instruments, self._session = instruments, session
        self._called: dict[tuple[str, str], float] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.round()
            await self._clock.sleep(_PACE_S)

    async def round(self) -> None:
        """Call every heartbeat that is due, of the workspaces that this process knows: the pager's."""
        for workspace_id, world in list(self._desk.worlds.items()):
            for name, check in world.setup.heartbeats.items():
                now, key = self._clock.time(), (workspace_id, name)
                if now - self._called.get(key, 0) < check.every_seconds:
                    continue
                self._called[key] = now
                self._instruments.series("cmg_heartbeats_total", await self._call(name, check.url)).inc()

    async def _call(self, name: str, url: str) -> str:
        wrong = self._wrong()
        if wrong:
            _log.warning("a heartbeat is withheld", heartbeat=name, why=wrong)
            return "withheld"
        try:
            await called(self._session(), Call("POST", url))
        except (TryLater, Refused) as error:
            _log.warning("a heartbeat was not taken", heartbeat=name, error=str(error))
            return "failed"
        return "sent"
