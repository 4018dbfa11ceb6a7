"""Backstage's side of the status page: looks, remembers, renders, writes the file."""

import asyncio
from datetime import datetime, timedelta

import msgspec

from cmg.incidents import store
from cmg.incidents.models import COMPONENTS, Incident
from cmg.incidents.ports import Components
from cmg.incidents.status import store as days_store
from cmg.incidents.status.feeds import atom, rss
from cmg.incidents.status.models import DAYS, Picture, Told, states_now
from cmg.incidents.status.observing import Observations, keep_spans
from cmg.incidents.status.page import history_page, status_page
from cmg.incidents.status.published import ATOM, HTML, JSON, RSS, Page, Published, PublishedFile, page
from cmg.incidents.status.statuspage import documents
from cmg.kit.clock import Clock
from cmg.storage.database import Database
from cmg.storage.errors import DatabaseAway
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.logs import get_logger

EVERY_S = 15.0
_LOOK_S = 5.0
_SHOWN = 200
_UPDATES = 2000
_log = get_logger("cmg.incidents.status")


class Board:
    """What `/status` shows. `title` and `url` (without a slash at its end) are the settings'."""

    def __init__(
        self,
        database: Database,
        components: Components,
        file: PublishedFile,
        clock: Clock,
        instruments: Instruments,
        named: tuple[str, str],
    ) -> None:
        self._database, self._components, self._file, self._clock = database, components, file, clock
        self._instruments = instruments
        self._title, self._url = named
        self._observations = Observations()
        before = file.read()
        self._told = before.picture.told if before is not None else Told()
        self._told_at = before.picture.told_at if before is not None else None
        self._began: datetime | None = None
        self._filled = False

    async def run(self) -> None:
        """Renew the page for ever."""
        while True:
            try:
                await self.renew()
            except Exception as error:  # noqa: BLE001  whatever it is, the page must go on when it is over
                _log.warning("the status page cannot be renewed", error=repr(error))
            await self._clock.sleep(EVERY_S)

    async def renew(self) -> Picture:
        """Look now and write the file. While the database is away, what was last read of it stays."""
        seen = await self._look()
        self._began = self._began or self._clock.now()
        try:
            await self._fill(self._began)
            await self._observations.keep(self._database)
            self._told, self._told_at = await self._read(), self._clock.now()
        except DatabaseAway:
            _log.debug("the status page goes on without the database")
        now = self._clock.now()
        picture = Picture(
            title=self._title,
            url=self._url,
            at=now,
            told_at=self._told_at,
            states=states_now(seen, self._told, now),
            told=self._told,
        )
        self._observations.see(picture.states, now)
        self._instruments.series("cmg_status_entries_waiting").set(self._observations.waiting)
        pages = await asyncio.to_thread(rendered, picture)
        await asyncio.to_thread(self._file.write, Published(now.timestamp(), picture, pages))
        return picture

    async def _fill(self, began: datetime) -> None:
        """Count, once, what was observed before this process and no page counted: it was killed, or there was none."""
        if self._filled:
            return
        oldest = began - timedelta(days=DAYS)
        counted = await days_store.counted(self._database, oldest.date())
        since = min(counted[name] for name in COMPONENTS) if counted.keys() >= COMPONENTS.keys() else oldest
        try:
            await keep_spans(self._database, await self._components.past(max(since, oldest), began))
        except DatabaseAway:
            raise
        except Exception as error:  # noqa: BLE001  the page of now is worth more than its past
            _log.warning("the history of health cannot be read", error=repr(error))
        self._filled = True

    async def _look(self) -> dict[str, str]:
        """The states as they are seen; a component that cannot be looked at in time is not claimed to work."""
        try:
            async with asyncio.timeout(_LOOK_S):
                return dict(await self._components.states())
        except TimeoutError:
            _log.warning("the components did not tell their state in time")
            return {"administration": "degraded_performance"}

    async def _read(self) -> Told:
        now = self._clock.now()
        since = now - timedelta(days=DAYS)
        incidents = await store.shown_incidents(self._database, since, _SHOWN)
        numbers = [one.id for one in incidents]
        updates = await store.communications(self._database, numbers, ["customer"], _UPDATES)
        maintenances = await store.shown_maintenances(self._database, since, _SHOWN)
        days = await days_store.days(self._database, since.date())
        return Told(
            incidents=tuple(_without_internals(one) for one in incidents),
            updates=tuple(msgspec.structs.replace(one, deliveries=(), actor="") for one in updates),
            maintenances=tuple(msgspec.structs.replace(one, created_by="") for one in maintenances),
            days=tuple(days),
        )


def rendered(picture: Picture) -> dict[str, Page]:
    """The page of every path."""
    pages = {
        "/status": page(HTML, status_page(picture)),
        "/status/history": page(HTML, history_page(picture)),
        "/status/history.rss": page(RSS, rss(picture)),
        "/status/history.atom": page(ATOM, atom(picture)),
    }
    for name, document in documents(picture).items():
        pages[f"/status/api/v2/{name}"] = page(JSON, msgspec.json.encode(document))
    return pages


def _without_internals(incident: Incident) -> Incident:
    """What a stranger may know of it: the file holds nothing else."""
    return Incident(
        id=incident.id,
        severity=incident.severity,
        status=incident.status,
        title="",
        public=True,
        public_title=incident.shown_title,
        components=incident.components,
        started_at=incident.started_at,
        detected_at=incident.detected_at,
        declared_at=incident.declared_at,
        resolved_at=incident.resolved_at,
        updated_at=incident.updated_at,
    )
