"""Backstage work: asks every configured upstream what models it has, and keeps the answers for all processes."""

import asyncio
import random
from collections.abc import Sequence

import asyncpg

from cmg.gateway.routing import catalogue_store
from cmg.gateway.routing.catalogue_store import ListedModel
from cmg.gateway.routing.listing import MalformedListing, read_listing
from cmg.gateway.routing.upstreams import SIMULATOR, Upstream, configured
from cmg.gateway.upstreams.transport import Timeouts, TransportError
from cmg.kit.clock import Clock
from cmg.storage.database import Database
from cmg.storage.errors import DatabaseAway
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.logs import get_logger

_LIMITS = Timeouts(connect_s=10, first_byte_s=20, idle_s=20, total_s=20)
_BODY_BYTES_MAX = 32 * 2**20
_AT_ONCE = 4
_EVERY_S = 15 * 60.0
_JITTER = 0.1  # so that machines started together do not ask together for ever
_AGES_EVERY_S = 15.0
_log = get_logger("cmg.gateway.catalogue")


class _Failed(Exception):
    """A sync that did not work: `outcome` is the metric's label, the message says what was wrong."""

    def __init__(self, outcome: str, message: str) -> None:
        super().__init__(message)
        self.outcome = outcome


class CatalogueSync:
    """Stores what `GET {base_url}/models` of each configured upstream lists; a failure keeps the former catalogue."""

    def __init__(
        self, upstreams: Sequence[Upstream], database: Database, clock: Clock, instruments: Instruments
    ) -> None:
        self._upstreams = configured(upstreams)
        self._database, self._clock, self._instruments = database, clock, instruments
        self._started = clock.time()
        self._synced: dict[str, float] = {}
        self._errors: dict[str, str | None] = {}
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def sync(self) -> dict[str, str | None]:
        """Ask all of them once; upstream → what was wrong, None: nothing. Raises nothing but cancellation."""
        results = await asyncio.gather(*(self._sync_one(upstream) for upstream in self._upstreams))
        return dict(zip((upstream.name for upstream in self._upstreams), results, strict=True))

    async def run(self) -> None:
        """Sync now and then about every 15 minutes until cancelled, and show how old each catalogue is."""
        await self._recollect()
        while True:
            await self.sync()
            until = self._clock.monotonic() + _EVERY_S * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - spreads load
            while (left := until - self._clock.monotonic()) > 0:
                self._show_ages()
                await self._clock.sleep(min(left, _AGES_EVERY_S))

    async def _sync_one(self, upstream: Upstream) -> str | None:
        outcome, error = "ok", None
        try:
            async with self._slots:
                listed = await self._ask(upstream)
                await self._keep(upstream.name, listed)
        except _Failed as failure:
            outcome, error = failure.outcome, str(failure)
            await self._note(upstream.name, error)
        except Exception as failure:  # noqa: BLE001 - an upstream's oddity must not end the sync of the others
            _log.exception("a sync of models crashed", upstream=upstream.name)
            outcome, error = "malformed", f"the sync crashed: {type(failure).__name__}"
            await self._note(upstream.name, error)
        self._instruments.series("cmg_catalogue_syncs_total", upstream.name, outcome).inc()
        self._log_change(upstream.name, error)
        return error

    async def _ask(self, upstream: Upstream) -> list[ListedModel]:
        headers = {name: value for name, value in upstream.headers.items() if name != "content-type"}
        try:
            response = await upstream.transport.request("GET", f"{upstream.base_url}/models", headers, b"", _LIMITS)
            try:
                if response.status != 200:
                    # Its words are left out: upstreams quote the key that they refuse.
                    raise _Failed("refused", f"GET /models was answered with status {response.status}")
                body = await response.read(_BODY_BYTES_MAX)
            finally:
                response.close()
        except TransportError as error:
            raise _Failed("unreachable", f"GET /models failed: {error.kind}: {error}") from error
        try:
            return read_listing(body, f"{SIMULATOR}/" if upstream.name == SIMULATOR else "")
        except MalformedListing as error:
            raise _Failed("malformed", f"the answer to GET /models cannot be used: {error}") from error

    async def _keep(self, upstream: str, listed: list[ListedModel]) -> None:
        try:
            await catalogue_store.keep_listing(self._database, upstream, listed, self._clock.now())
        except (DatabaseAway, asyncpg.PostgresError) as error:
            raise _Failed("unstored", f"the models could not be stored: {error}") from error
        self._synced[upstream] = self._clock.time()

    async def _note(self, upstream: str, error: str) -> None:
        try:
            await catalogue_store.note_failure(self._database, upstream, error, self._clock.now())
        except (DatabaseAway, asyncpg.PostgresError):
            _log.warning("a failed sync of models could not be written down", upstream=upstream, reason=error)

    async def _recollect(self) -> None:
        """Ages go on from the syncs before the start."""
        try:
            states = await catalogue_store.all_syncs(self._database)
        except (DatabaseAway, asyncpg.PostgresError):
            return  # ages begin with the start, then
        for state in states:
            if state.synced_at is not None:
                self._synced.setdefault(state.upstream, state.synced_at)

    def _show_ages(self) -> None:
        now = self._clock.time()
        for upstream in self._upstreams:
            age = now - self._synced.get(upstream.name, self._started)
            self._instruments.series("cmg_catalogue_age_seconds", upstream.name).set(max(0.0, age))

    def _log_change(self, upstream: str, error: str | None) -> None:
        """One line when it begins to fail, fails otherwise, or works again; not one every quarter of an hour."""
        before = self._errors.get(upstream)
        self._errors[upstream] = error
        if error is not None and error != before:
            _log.warning(
                "an upstream's models could not be synced; what was known stays", upstream=upstream, reason=error
            )
        elif error is None and before is not None:
            _log.info("an upstream's models are synced again", upstream=upstream)
