"""What a start has to do once on the database, before the first worker runs or, while that is away, beside them."""

import asyncio
import signal
import socket
import sys

import cmg
from cmg.app.incidents.status import fingerprint
from cmg.app.last_known import LastKnownFile
from cmg.app.processes.orders import Orders
from cmg.app.processes.preparation import FirstSecrets, Prepared, tell
from cmg.app.processes.resources import Work
from cmg.app.wiring.services import Services, services_on
from cmg.kit.clock import Clock, SystemClock
from cmg.kit.errors import CmgError, InvalidRequest
from cmg.ledger.drain import JournalDrain
from cmg.ledger.models import USAGE, RecordSink
from cmg.ledger.store import upkeep
from cmg.ledger.usage_sink import UsageSink
from cmg.memory.control.tombstone_store import erased
from cmg.memory.effect.records import TOLD
from cmg.memory.effect.told_sink import ToldSink
from cmg.memory.embedding.engines import NAMES
from cmg.memory.turn_sink import TURNS, TurnSink
from cmg.memory.vectors.store import VectorStore
from cmg.storage.database import Database
from cmg.storage.errors import DatabaseAway, DatabaseUnreachable, StorageError
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.logs import get_logger

_RETRY_S = 2.0
_log = get_logger("cmg.app.starting")


async def begin(orders: Orders) -> list[Work]:
    """What a start has to do once, told to the supervisor. Returns what is left of it, to be done beside the work.

    Where there can be no service, it waits to be stopped.
    """
    if orders.first == "done":
        return []
    if orders.first == "late":
        return [_late(orders)]
    try:
        report = await _early(orders)
    except (StorageError, CmgError) as error:
        report = Prepared(refusal=str(error), invalid=isinstance(error, InvalidRequest))
    if report.refusal is not None:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what it logged is written when it ends by itself
    tell(orders.report, report)
    if report.refusal is not None:
        sys.stdin.buffer.read()  # until the supervisor ends this process, or has ended
        sys.exit(1)
    return [_late(orders)] if report.away else []


async def _early(orders: Orders) -> Prepared:
    """What must be true before the first worker runs: keys, an empty spool.

    Without the database the last known keys let calls go on, if there are any. Raises `StorageError`, `InvalidRequest`.
    """
    try:
        async with services_on(orders.settings, orders.dsn) as services:
            secrets = await _first_things(services)
            drain = drain_of(services, orders, SystemClock(), Instruments(), UsageSink(erased=erased))
            await drain.drain_all()
            return Prepared(secrets=secrets, embedder=await _needs_embedder(orders, services.database))
    except (DatabaseUnreachable, DatabaseAway) as error:
        if LastKnownFile(orders.last_known).read() is None:
            raise StorageError(f"{error}; nothing was known from a run before, so no call could be answered") from error
        _log.warning("the database is away: serving with what was last known", error=str(error))
        return Prepared(away=True, embedder=await _needs_embedder(orders, None))


async def _late(orders: Orders) -> None:
    """The same as soon as the database is there, while workers run already; then nothing, as long as the process."""
    told = None
    while True:
        try:
            async with services_on(orders.settings, orders.dsn) as services:
                secrets = await _first_things(services)
                report = Prepared(secrets=secrets, embedder=await _needs_embedder(orders, services.database))
            break
        except Exception as error:  # noqa: BLE001  whatever it is, calls go on meanwhile
            if told != str(error):
                _log.warning("the database cannot be prepared yet", error=repr(error))
            told = str(error)
            await asyncio.sleep(_RETRY_S)
    _log.info("the database is there again")
    tell(orders.report, report)
    await asyncio.get_running_loop().create_future()


async def _first_things(services: Services) -> FirstSecrets:
    await services.keys.ensure_bootstrap(services.settings.bootstrap_key)
    settings = services.settings
    administrator = await services.people.first.ensure(settings.admin_email, settings.admin_password)
    await services.people.reseal()
    secrets = FirstSecrets(
        administrator=administrator.email if administrator else None,
        password=administrator.password if administrator else None,
        admin_key=await services.keys.ensure_admin_key(),
        first_key=await services.keys.ensure_first_key(),
    )
    await upkeep(services.database, services.settings.retention, SystemClock().now())
    await services.configuring.reseal()
    await services.incidents.operation.started(cmg.__version__, socket.gethostname(), fingerprint(services.settings))
    await services.control.erasure.replay()  # before anything that a backup brought back is drained or served
    return secrets


def drain_of(
    services: Services, orders: Orders, clock: Clock, instruments: Instruments, usage: UsageSink
) -> JournalDrain:
    """What carries this machine's journals into the database."""
    sinks: dict[str, RecordSink] = {
        USAGE: usage,
        TURNS: TurnSink(clock, services.policies),
        TOLD: ToldSink(clock, instruments),
    }
    return JournalDrain(services.database, orders.spool, sinks, clock, instruments, usage.committed)


async def _needs_embedder(orders: Orders, database: Database | None) -> bool:
    """Whether a model of this machine embeds, or did and users are still searched by it (as far as is known)."""
    if not (orders.duties.gateways or orders.duties.jobs):
        return False  # nobody here would ask it
    asked = orders.settings.memory.embedder
    if asked in NAMES or asked == "none":
        return asked != "none"
    return database is not None and any(model.name in NAMES.values() for model in await VectorStore(database).models())
