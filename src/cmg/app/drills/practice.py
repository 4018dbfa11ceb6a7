"""What alerting is told of a drill: which alerts are practice, from when on, and which still are when it is over."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cmg.alerting.models import Alert
from cmg.alerting.setup.documents import Drill, Matcher
from cmg.alerting.store import AlertFilter
from cmg.app.drills.scenarios import AFTERMATH_S, LASTING, LASTS_S, SEEN_LATE_S, Scenario
from cmg.app.wiring.services import Services
from cmg.identity.models import COMMAND_LINE, DEFAULT_WORKSPACE
from cmg.kit.clock import Clock
from cmg.kit.errors import Conflict

_LAST = datetime(9999, 1, 1, tzinfo=UTC)
_SETTLE_S = 3.0  # until every process goes by the drill's document
_QUIET_S = 300.0
_LOOK_S = 2.0
_MOST = 500


@dataclass
class Practice:
    """The documents of one drill; `lasts_s`: how long it takes at most. `page`: people are told."""

    services: Services
    clock: Clock
    name: str
    scenario: Scenario
    lasts_s: float
    page: bool
    minute_s: int
    _began: datetime = field(default=_LAST, init=False)

    async def check(self) -> None:
        """Raises `Conflict` where another drill is on, or what should be noticed fires already and does not end."""
        setup, now = await self.services.alerts.setup(DEFAULT_WORKSPACE), self.clock.now()
        others = [one for one, drill in setup.drills.items() if drill.alerts_until is None and drill.ends_at > now]
        if others:
            raise Conflict(f"the drill {others[0]} is on; one at a time")
        patience = self.clock.time() + _QUIET_S
        while firing := await self._firing():
            if self.clock.time() >= patience:
                raise Conflict(f"{', '.join(sorted({one.name for one in firing}))}: fires already, so it shows nothing")
            await self.clock.sleep(_LOOK_S)

    async def _firing(self) -> list[Alert]:
        services = self.services
        active = AlertFilter(_LAST, "", active=True, limit=_MOST)
        found = await services.desk.store.alerts(services.database, DEFAULT_WORKSPACE, active)
        return [one for one in found if one.labels.get("quantity") in self.scenario.quantities]

    async def begin(self) -> None:
        """From now on what the fault moves is practice."""
        self._began = self.clock.now()
        await self._put(self.name, self._drill(self._moved, self._began + timedelta(seconds=self.lasts_s)))
        await self.clock.sleep(_SETTLE_S)

    async def end(self, *, over: bool) -> None:
        """What fires still is real from now on. Not so new messages of errors, which cannot be over for their window.

        Where all is over, what rules begin to tell of the time before is practice for some minutes more.
        """
        now = self.clock.now()
        noticed = now + timedelta(seconds=SEEN_LATE_S)
        lasting = self._drill([LASTING], now + timedelta(seconds=LASTS_S))
        await self._put("new-messages", lasting.model_copy(update={"alerts_until": noticed}))
        if over:
            after = self._drill(self._moved, now + timedelta(seconds=AFTERMATH_S))
            await self._put(self.name, after.model_copy(update={"alerts_until": noticed}))
        else:
            await self.services.configuring.remove(COMMAND_LINE, "drills", self.name)

    @property
    def _moved(self) -> list[str]:
        return [*self.scenario.quantities, *self.scenario.beside, LASTING]

    def _drill(self, quantities: Sequence[str], ends_at: datetime) -> Drill:
        return Drill(
            matchers=[Matcher(label="quantity", op="=~", value="|".join(quantities))],
            starts_at=self._began,
            ends_at=ends_at,
            page=self.page,
            minute_seconds=self.minute_s,
        )

    async def _put(self, name: str, drill: Drill) -> None:
        await self.services.configuring.put(COMMAND_LINE, "drills", name, drill)
