"""`/health` on raw ASGI: what a process knows of itself, strangers and keys, pages of the history."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from cmg.app.health import Machine, health_api
from cmg.app.processes.orders import Orders
from cmg.app.processes.resources import Resources
from cmg.config import JournalSettings, Settings
from cmg.health.board import Board
from cmg.health.handlers import PATHS
from cmg.health.history import RECENT, Kept
from cmg.health.models import Component, Level, Reading, Report, State, Transition
from cmg.health.store import HealthStore
from cmg.kit.asgi import Request
from cmg.kit.errors import Forbidden, InvalidRequest, Unauthenticated
from cmg.ledger.journal import Journal
from cmg.storage.database import Database
from cmg.storage.errors import DatabaseAway
from cmg.telemetry.instruments import Instruments
from support.manual_clock import ManualClock


class _Keys:
    """Knows two keys."""

    async def authenticate(self, authorization: str | None, _api_key: str | None, _client: str) -> Any:
        scopes = {"Bearer operator": {"metrics"}, "Bearer application": {"chat"}}.get(authorization or "")
        if scopes is None:
            raise Unauthenticated("this API key is not valid")
        return SimpleNamespace(scopes=frozenset(scopes))


@pytest.fixture
def machine(tmp_path: Path, clock: ManualClock, instruments: Instruments) -> Iterator[Machine]:
    orders = Orders(settings=Settings(data_dir=tmp_path, journal=JournalSettings(max_bytes=1000)), dsn="")
    orders.runtime.mkdir(exist_ok=True)
    reading = (Reading(measurement="answers", value=True),)
    component = Component(name="gateway", worst=Level.CRITICAL)
    state = State(
        component=component, level=Level.HEALTHY, readings=reading, at=clock.time(), probed_s=clock.monotonic(),
        took_s=0.1, since=clock.time(),
    )  # fmt: skip
    report = Report(machine="m", written_s=clock.monotonic(), interval_s=30, deadline_s=5, states=(state,))
    Board(orders.health_report).write(report)
    yield Machine(orders, Resources(clock), clock, instruments)
    shutil.rmtree(orders.runtime)


async def _get(
    machine: Machine, path: str, key: str = "operator", journal: Journal | None = None, database: Database | None = None
) -> tuple[int, Any]:
    known = database or Database("postgresql://127.0.0.1:9/none", clock=machine.clock, instruments=machine.instruments)
    handler = health_api(machine, _Keys(), known, journal).routes()[path.partition("?")[0]]  # type: ignore[arg-type]
    headers = [(b"authorization", f"Bearer {key}".encode())] if key else []
    scope = {"method": "GET", "path": path.partition("?")[0], "query_string": path.partition("?")[2].encode()}
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await handler(Request({**scope, "headers": headers}, None, "127.0.0.1"), send)  # type: ignore[arg-type]
    names = [name for name, _ in sent[0]["headers"]]
    assert names.count(b"content-type") == 1
    assert dict(sent[0]["headers"])[b"content-type"] == b"application/health+json"
    return sent[0]["status"], json.loads(sent[1]["body"])


async def test_a_gateway_whose_journal_is_full_says_so_at_once(machine: Machine, instruments: Instruments) -> None:
    journal = Journal(machine.orders.spool, machine.settings.journal, instruments)
    try:
        assert (await _get(machine, "/health", journal=journal))[1]["level"] == "HEALTHY"
        journal.append([("usage", b"x" * 1050)])
        status, told = await _get(machine, "/health/detailed", journal=journal)
        assert (status, told["level"]) == (503, "UNHEALTHY")
        assert told["checks"]["gateway:journal"][0]["output"] == "the journal is full"
        assert told["checks"]["gateway:answers"][0]["status"] == "pass"
    finally:
        journal.close()


async def test_a_process_that_stops_is_unhealthy(machine: Machine) -> None:
    machine.resources.stopping = True
    assert await _get(machine, "/health", key="") == (
        503, {"status": "fail", "level": "UNHEALTHY", "serviceId": "context-memory-gateway"},
    )  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
async def test_strangers_see_a_level_on_every_path_and_operators_more(machine: Machine, path: str) -> None:
    status, told = await _get(machine, path, key="")
    assert (status, set(told)) == (200, {"status", "level", "serviceId"})
    status, told = await _get(machine, path)
    assert status == 200
    assert {"version", "releaseId", "description"} < set(told)


async def test_a_key_that_may_not_see_more_is_told_so_but_not_by_the_plain_level(machine: Machine) -> None:
    assert set((await _get(machine, "/health", key="revoked"))[1]) == {"status", "level", "serviceId"}
    with pytest.raises(Unauthenticated):
        await _get(machine, "/health/detailed", key="revoked")
    with pytest.raises(Forbidden):
        await _get(machine, "/health/history", key="application")


async def test_the_history_is_read_in_pages(machine: Machine) -> None:
    assert (await _get(machine, "/health/history"))[1]["transitions"] == [], "there is no file yet"
    recent = [
        Transition(id=f"{number:032x}", at=number, machine="m", component=component, before="HEALTHY", after="DEGRADED")
        for number in range(9, 0, -1)
        for component in ("cache", "disk")
    ]
    machine.orders.health_history.write_bytes(msgspec.msgpack.encode(Kept(recent=recent)))

    async def ids(query: str) -> tuple[list[int], bool]:
        told = (await _get(machine, f"/health/history?{query}"))[1]
        return [int(one["id"], 16) for one in told["transitions"]], told["more"]

    assert await ids("component=cache&limit=3") == ([9, 8, 7], True)
    assert await ids(f"component=cache&limit=3&before={7:032x}") == ([6, 5, 4], True)
    assert await ids(f"component=cache&limit=3&before={4:032x}") == ([3, 2, 1], False)
    assert len((await ids(""))[0]) == 18
    assert await ids(f"component=cache&limit=3&cursor={7:032x}") == ([6, 5, 4], True)
    for wrong, param in (("limit=0", "limit"), ("limit=1001", "limit"), ("limit=x", "limit"), ("cursor=x", "cursor")):
        with pytest.raises(InvalidRequest) as refused:
            await ids(wrong)
        assert refused.value.param == param


def _moved(number: int) -> Transition:
    """One of a long history; each three of them happened at one moment."""
    return Transition(
        id=f"{number:032x}", at=1e9 + number // 3, machine="m", component=("cache", "disk")[number % 2],
        before="HEALTHY", after="DEGRADED",
    )  # fmt: skip


async def test_the_history_goes_on_in_the_database_behind_what_the_file_has(
    machine: Machine, database: Database
) -> None:
    every = [_moved(number) for number in range(2500, 0, -1)]
    await HealthStore(database).add(every)
    machine.orders.health_history.write_bytes(msgspec.msgpack.encode(Kept(recent=every[:RECENT])))

    async def walk(query: str, known: Database | None) -> list[int]:
        """Everything, page by page; what is behind a database that is away is left out."""
        found, cursor = [], ""
        while cursor is not None:
            try:
                told = (await _get(machine, f"/health/history?{query}{cursor}", database=known))[1]
            except DatabaseAway:
                break
            found += [int(one["id"], 16) for one in told["transitions"]]
            assert told["more"] is (told["next"] is not None)
            cursor = told["next"] and f"&cursor={told['next']}"
        return found

    assert await walk("limit=300", database) == list(range(2500, 0, -1))
    assert await walk("limit=1000", database) == list(range(2500, 0, -1))
    assert await walk("limit=170&component=disk", database) == list(range(2499, 0, -2))
    assert await walk("limit=300", None) == list(range(2500, 1500, -1)), "without the database, as far as the file goes"
    with pytest.raises(InvalidRequest, match="cursor"):
        await _get(machine, f"/health/history?cursor={9999:032x}", database=database)
