"""A service whose PostgreSQL is away when it starts: calls go on from the last known keys, and everything follows."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.api import Api
from support.faulty_upstream import FaultyUpstream
from support.ledger_rows import rows_of
from support.postgres import OwnPostgres
from support.processes import kill
from support.service import CMG, Service, ServiceOptions, eventually, free_port, upstream_toml

KNOWN = "known.bin"
HEALTH = "[health]\ninterval_s = 2\n"


@pytest.fixture
def service(upstream: FaultyUpstream, own_postgres: OwnPostgres) -> Iterator[Service]:
    """A service on a PostgreSQL to stop."""
    environ = {"CMG_DATABASE_URL": own_postgres.dsn}
    options = ServiceOptions(toml=upstream_toml("faulty", upstream.url) + HEALTH, workers=2, environ=environ)
    with Service(options) as running:
        running.database_url = lambda: own_postgres.dsn  # type: ignore[method-assign]
        yield running


async def _known(service: Service, key_id: str) -> None:
    """Wait until backstage has written down that it knows this key."""

    async def written() -> bool:
        file = service.data_dir / KNOWN
        return file.exists() and key_id.encode() in file.read_bytes()

    await eventually(written, 15, "the last known keys are written")


async def _away(service: Service, database: OwnPostgres) -> None:
    """Stop the service and its database, and start the service alone."""
    await asyncio.to_thread(service.terminate)
    await asyncio.to_thread(database.stop)
    await asyncio.to_thread(service.start)


async def test_a_service_that_starts_without_its_database_serves_and_catches_up(
    service: Service, own_postgres: OwnPostgres, model: str
) -> None:
    other, kept = service.new_key_full(), service.new_key_full(budget={"period": "day", "usd": 0.0008})
    await _known(service, str(kept["id"]))
    async with Api(service.url, str(kept["key"])) as api:
        assert (await api.chat(model)).status == 200
    await _away(service, own_postgres)
    assert (service.data_dir / KNOWN).stat().st_mode & 0o777 == 0o600
    async with Api(service.url, str(kept["key"])) as api:

        async def degraded() -> bool:
            return bool((await api.get("/health")).json["level"] == "DEGRADED")

        await eventually(degraded, 10, "health tells that the database is away")
        assert (await api.get("/readyz")).status == 200
        answers = [await api.chat(model) for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 429, 429], "the budget counts on from before the stop"
        assert (await api.chat(model, key="cmg_nobody_0123456789abcdef")).status == 503
        simulated = await api.chat("sim/echo", key=service.key)
        assert float(simulated.headers["x-cmg-cost-usd"]) > 0
        assert (await api.get("/metrics", key=service.key)).status == 200
    await asyncio.to_thread(own_postgres.start)
    await _caught_up(service, model, str(other["id"]))


async def _caught_up(service: Service, model: str, key_id: str) -> None:
    async def drained() -> bool:
        return len(await rows_of(service, model_asked=model)) == 2

    await eventually(drained, 20, "what was called meanwhile is in the ledger")
    async with Api(service.url, service.key) as api:

        async def healthy() -> bool:
            return bool((await api.get("/health")).json["level"] == "HEALTHY")

        await eventually(healthy, 20, "the level is back")
        assert service.call("DELETE", f"/admin/v1/keys/{key_id}")[0] in {200, 204}
        assert len(await rows_of(service, model_asked=model)) == 2


async def test_a_key_revoked_while_a_machine_was_down_works_there_until_the_database_is_back(
    service: Service, own_postgres: OwnPostgres, model: str
) -> None:
    made = service.new_key_full()
    await _known(service, str(made["id"]))
    await asyncio.to_thread(service.terminate)
    environ = {**os.environ, "CMG_DATABASE_URL": own_postgres.dsn, "CMG_DATA_DIR": str(service.data_dir)}
    command = [CMG, "keys", "revoke", str(made["id"])]
    await asyncio.to_thread(subprocess.run, command, env=environ, check=True, capture_output=True)
    await asyncio.to_thread(own_postgres.stop)
    await asyncio.to_thread(service.start)
    async with Api(service.url, str(made["key"])) as api:
        assert (await api.chat(model)).status == 200
        await asyncio.to_thread(own_postgres.start)

        async def refused() -> bool:
            return (await api.chat(model)).status == 401

        await eventually(refused, 15, "the revocation is heard of")


async def test_processes_killed_while_the_database_is_away_are_replaced(
    service: Service, own_postgres: OwnPostgres, model: str
) -> None:
    await _known(service, service.key.split("_")[1])
    await asyncio.to_thread(own_postgres.stop)
    victims = [*service.pids("gateway"), *service.pids("backstage")]
    for pid in victims:
        kill(pid)
    async with Api(service.url, service.key) as api:

        async def serving() -> bool:
            try:
                statuses = {(await api.chat(model)).status for _ in range(5)}
            except OSError:
                return False
            return statuses == {200}

        await eventually(serving, 20, "new workers serve from what is known")
        await asyncio.to_thread(own_postgres.start)

        async def administered() -> bool:
            return (await asyncio.to_thread(service.call, "GET", "/admin/v1/keys"))[0] == 200

        await eventually(administered, 20, "the control plane is back")
        assert not set(victims) & {*service.pids("gateway"), *service.pids("backstage")}


@pytest.mark.parametrize("content", [None, b"CMGKNOWN\x00\x01 no such thing"])
def test_without_a_usable_file_the_start_says_why_it_fails(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / KNOWN).write_bytes(content)
    environ = {
        "PATH": os.environ["PATH"],
        "CMG_DATABASE_URL": f"postgresql://nobody@127.0.0.1:{free_port()}/none",
        "CMG_DATA_DIR": str(tmp_path),
        "CMG_PORT": str(free_port()),
    }
    done = subprocess.run([CMG, "serve"], env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "CMG_DATABASE_URL" in done.stderr
    assert content is None or "damaged" in done.stderr


def test_a_setting_that_only_the_database_shows_to_be_wrong_stops_the_start(
    tmp_path: Path, own_postgres: OwnPostgres
) -> None:
    environ = {
        "PATH": os.environ["PATH"],
        "CMG_DATABASE_URL": own_postgres.dsn,
        "CMG_DATA_DIR": str(tmp_path),
        "CMG_PORT": str(free_port()),
        "CMG_ADMIN_PASSWORD": "password",
    }
    done = subprocess.run([CMG, "serve"], env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "CMG_ADMIN_PASSWORD" in done.stderr
    assert "is replaced" not in done.stderr
