"""Looks after incidents that are not finished: steps that ran out of time are told, and gauges say what is open."""

from datetime import timedelta

from cmg.incidents import store
from cmg.incidents.models import ENTRIES_MAX, SEVERITIES, Entry, Incident
from cmg.incidents.workflow import boxes, missed
from cmg.kit.clock import Clock
from cmg.storage.database import Database
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.logs import get_logger

EVERY_S = 30.0
_FORGOTTEN = timedelta(days=14)  # since it was closed without a review
_MOST = 500
_NAMES = ("detect", "triage", "investigate", "resolve", "review")
_log = get_logger("cmg.incidents")


class Attendant:
    """One of a cluster is enough; several do no harm."""

    def __init__(self, database: Database, clock: Clock, instruments: Instruments) -> None:
        self._database, self._clock, self._instruments = database, clock, instruments
        self._told: set[tuple[int, str]] = set()

    async def run(self) -> None:
        """Attend for ever."""
        while True:
            try:
                await self.attend()
            except Exception as error:  # noqa: BLE001  whatever it is, the next look may be right
                _log.warning("incidents could not be attended to", error=repr(error))
            await self._clock.sleep(EVERY_S)

    async def attend(self) -> None:
        """One look. Raises `DatabaseAway`."""
        now = self._clock.now()
        counts = await store.open_counts(self._database)
        for place, name in enumerate(SEVERITIES, 1):
            self._instruments.series("cmg_incidents_open", name).set(counts.get(place, 0))
        late = dict.fromkeys(_NAMES, 0)
        for incident in await store.unfinished(self._database, now - _FORGOTTEN, _MOST):
            for box in boxes(incident, now):
                late[box.name] += box.state == "missed" and box.done_at is None
            await self._tell(incident)
        for name, count in late.items():
            self._instruments.series("cmg_incidents_late_open", name).set(count)

    async def _tell(self, incident: Incident) -> None:
        """A line for each step that took too long, once."""
        for box in missed(incident, self._clock.now()):
            if incident.closed_at is not None or (incident.id, box.name) in self._told:
                continue
            told = f"The step {box.name} was not done in time: it was due at {box.due_at:%Y-%m-%d %H:%M} UTC"
            entry = Entry(
                at=box.due_at or incident.updated_at, kind="time_box", actor="system", text=told, ref=f"box:{box.name}"
            )
            async with self._database.transaction() as conn:
                if await store.count_entries(conn, incident.id) < ENTRIES_MAX:
                    await store.add_entry(conn, incident.id, entry)
            self._told.add((incident.id, box.name))
