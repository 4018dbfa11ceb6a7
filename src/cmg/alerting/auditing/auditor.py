"""The auditor: it runs where jobs run, not in the pager's loop, and works while that one is dead."""

from collections.abc import Iterable
from datetime import timedelta

from cmg.alerting.auditing import store
from cmg.alerting.auditing.findings import KINDS, LATE_S, MESSAGE_LATE_S, Finding, of_groups
from cmg.alerting.auditing.mending import mend
from cmg.alerting.delivery.sender import Sender
from cmg.alerting.desk import Desk
from cmg.kit.clock import Clock
from cmg.storage.database import Database
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.logs import get_logger

EVERY_S = 30.0
LEASE_S = 90.0
_BATCHES = 20
_log = get_logger("cmg.alerting.auditing")


class Auditor:
    """`desk` and `sender` are its own, so that nothing that holds up the pager's holds up these.

    What is wrong at two looks after another counts: the pager may just be at it. Timers and messages are claimed as the
    pager claims them, so what both do is done once.
    """

    def __init__(self, database: Database, desk: Desk, sender: Sender, clock: Clock, instruments: Instruments) -> None:
        self._database, self._desk, self._sender = database, desk, sender
        self._clock, self._instruments = clock, instruments
        self._seen: frozenset[Finding] = frozenset()
        self._unrouted: frozenset[Finding] = frozenset()
        for kind in KINDS:  # a counter that an alert reads is there from 0 on
            instruments.series("cmg_escalation_audit_findings_total", kind)

    async def run(self, me: str) -> None:
        """Look for ever, one process of a cluster at a time; `me` names this one."""
        while True:
            await self._clock.sleep(EVERY_S)
            try:
                if await self._leads(me):
                    await self.look()
            except Exception as error:  # noqa: BLE001  whatever it is, the next look may be right
                _log.warning("alerting could not be audited", error=repr(error))

    async def _leads(self, me: str) -> bool:
        now = self._clock.now()
        span = (now, now + timedelta(seconds=LEASE_S))
        return await self._desk.store.take_lease(self._database, "auditor", me, span)

    async def look(self) -> list[Finding]:
        """Find what is wrong; put right and return what was wrong at the last look too. Raises `DatabaseAway`."""
        found = frozenset(await self._found())
        confirmed = sorted(found & self._seen, key=lambda one: (one.workspace_id, one.kind, one.what))
        unrouted = frozenset(one for one in confirmed if one.kind == "unrouted")
        news = [one for one in confirmed if one not in self._unrouted]
        self._seen, self._unrouted = found - set(news) | unrouted, unrouted
        self._tell(news)
        for workspace in sorted({one.workspace_id for one in news if one.kind != "unrouted"}):
            await self._mend(workspace, [one for one in news if one.workspace_id == workspace])
        self._instruments.series("cmg_escalation_audited_timestamp_seconds").set(self._clock.time())
        return news

    async def _found(self) -> list[Finding]:
        now = self._clock.time()
        live = await store.live(self._database, now - LATE_S)
        policies = await store.policies(self._database, {one.workspace_id for one in live})
        overdue = await store.overdue(self._database, now - LATE_S, now - MESSAGE_LATE_S)
        return [*of_groups(live, policies, now), *overdue]

    def _tell(self, findings: Iterable[Finding]) -> None:
        for one in findings:
            self._instruments.series("cmg_escalation_audit_findings_total", one.kind).inc()
            _log.error("an escalation does not go as it should", kind=one.kind, group=one.group_id, what=one.what)

    async def _mend(self, workspace: str, findings: list[Finding]) -> None:
        """Do it and send it. What this process knew of the workspace is forgotten first: the tables count."""
        self._desk.worlds.pop(workspace, None)
        await self._desk.change(workspace, lambda changes: mend(changes, findings))
        for _ in range(_BATCHES):
            if not await self._sender.send_due(workspace):
                break
