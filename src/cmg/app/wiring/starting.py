"""What happens before the first worker runs, and when one of them dies."""

import contextlib
import socket

import cmg
from cmg.app.incidents.status import fingerprint
from cmg.app.processes.orders import Orders
from cmg.app.wiring.services import FirstSecrets, Services, services_on
from cmg.kit.clock import Clock, SystemClock
from cmg.ledger.drain import JournalDrain
from cmg.ledger.models import USAGE, RecordSink
from cmg.ledger.quota.shared_memory import release_worker
from cmg.ledger.quota.table import create_file
from cmg.ledger.store import upkeep
from cmg.ledger.usage_sink import UsageSink
from cmg.memory.control.tombstone_store import erased
from cmg.memory.effect.records import TOLD
from cmg.memory.effect.told_sink import ToldSink
from cmg.memory.embedding.engines import NAMES
from cmg.memory.turn_sink import TURNS, TurnSink
from cmg.memory.vectors.store import VectorStore
from cmg.storage.database import Database
from cmg.storage.errors import DatabaseAway
from cmg.telemetry.instruments import Instruments


def make_way(orders: Orders) -> None:
    """Remove what a killed predecessor left: nobody may be asked in its place."""
    orders.runtime.mkdir(mode=0o700, exist_ok=True)
    _clear(orders)


def leave(orders: Orders) -> None:
    """Take our files out of the folder of sockets, and the folder with them unless a database still answers in it."""
    _clear(orders)
    orders.faults_file.unlink(missing_ok=True)  # of a drill that was under way: it was put on this run
    with contextlib.suppress(OSError):
        orders.runtime.rmdir()


def _clear(orders: Orders) -> None:
    for left in (path for kind in ("*.metrics", "*.sock", "*.report") for path in orders.runtime.glob(kind)):
        left.unlink(missing_ok=True)


async def prepare(orders: Orders) -> FirstSecrets:
    """What must be true before the first worker runs: keys, an empty spool, fresh state of limits and budgets.

    Raises `DatabaseUnreachable` or `DatabaseAway`; then `prepare_late` follows, if the last known keys let calls go on.
    """
    async with services_on(orders.settings, orders.dsn) as services:
        secrets = await _first_things(services)
        drain = drain_of(services, orders, SystemClock(), Instruments(), UsageSink(erased=erased))
        await drain.drain_all()
    if orders.duties.gateways:
        create_file(orders.quota_file)
    return secrets


async def prepare_late(orders: Orders) -> FirstSecrets:
    """The same while workers run already. They count on in the state of limits of the run before."""
    async with services_on(orders.settings, orders.dsn) as services:
        return await _first_things(services)


async def _first_things(services: Services) -> FirstSecrets:
    await services.keys.ensure_bootstrap(services.settings.bootstrap_key)
    settings = services.settings
    administrator = await services.people.first.ensure(settings.admin_email, settings.admin_password)
    await services.people.reseal()
    secrets = FirstSecrets(
        administrator, await services.keys.ensure_admin_key(), await services.keys.ensure_first_key()
    )
    await upkeep(services.database, services.settings.retention, SystemClock().now())
    await services.configuring.reseal()
    await services.incidents.operation.started(cmg.__version__, socket.gethostname(), fingerprint(services.settings))
    await services.control.erasure.replay()  # before anything that a backup brought back is drained or served
    return secrets


def vacate(orders: Orders, worker: int) -> None:
    """A gateway died: give back what its calls had reserved."""
    release_worker(orders.quota_file, worker)


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


async def needs_embedder(orders: Orders) -> bool:
    """Whether a model of this machine embeds, or did and users are still searched by it."""
    if not (orders.duties.gateways or orders.duties.jobs):
        return False  # nobody here would ask it
    asked = orders.settings.memory.embedder
    if asked in NAMES or asked == "none":
        return asked != "none"
    database = Database(orders.dsn, clock=SystemClock(), instruments=Instruments(), max_size=1)
    try:
        await database.open()
        return any(model.name in NAMES.values() for model in await VectorStore(database).models())
    except DatabaseAway:
        return False
    finally:
        await database.close()
