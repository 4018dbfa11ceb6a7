"""Machines of each role on one database: every one answers its own part and names who has the rest."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse_text

from support.api import Api
from support.faulty_upstream import FaultyUpstream
from support.ledger_rows import rows_of
from support.postgres import OwnPostgres
from support.service import WITHOUT_EMBEDDER, Service, ServiceOptions, eventually, upstream_toml


@dataclass
class Cluster:
    """One machine of each role; `gateway` passes the control plane on to `worker`, `alone` to nobody."""

    gateway: Service
    worker: Service
    monitor: Service
    alone: Service


@pytest.fixture(scope="module")
def cluster(upstream: FaultyUpstream) -> Iterator[Cluster]:
    """Four machines on one database."""
    database = OwnPostgres()
    toml = upstream_toml("faulty", upstream.url) + WITHOUT_EMBEDDER
    machines: list[Service] = []

    def machine(role: str, more: str = "", **environ: str) -> Service:
        made = Service(ServiceOptions(f"{more}\n{toml}", 1, {"CMG_DATABASE_URL": database.dsn, **environ}, role=role))
        machines.append(made)
        if len(machines) > 1:
            made.key = machines[0].key
        made.database_url = lambda: database.dsn  # type: ignore[method-assign]
        made.start()
        return made

    try:
        worker = machine("worker", 'trusted_proxies = ["127.0.0.1/32"]')
        gateway = machine("gateway", CMG_BACKSTAGE_URL=worker.url)
        yield Cluster(gateway, worker, machine("monitor"), machine("gateway"))
    finally:
        for one in machines:
            one.close()
        database.close()


async def test_calls_are_answered_and_recorded_by_a_gateway_alone(cluster: Cluster, model: str) -> None:
    assert (len(cluster.alone.pids("gateway")), len(cluster.alone.pids("backstage"))) == (1, 1)
    async with Api(cluster.alone.url, cluster.alone.key) as api:
        assert (await api.chat(model)).status == 200

    async def recorded() -> bool:
        return len(await rows_of(cluster.alone, model_asked=model)) == 1

    await eventually(recorded, 10, "the gateway's machine drains its own journal")


@pytest.mark.parametrize("role", ["worker", "monitor"])
async def test_machines_without_gateways_say_who_answers_calls(cluster: Cluster, role: str, model: str) -> None:
    machine: Service = getattr(cluster, role)
    assert machine.pids("child gateway") == []
    async with Api(machine.url, machine.key) as api:
        answer = await api.chat(model)
    assert (answer.status, answer.json["error"]["code"]) == (404, "answered_by_another_role")
    assert "all and gateway" in answer.json["error"]["message"]


async def test_a_gateway_passes_the_control_plane_on(cluster: Cluster, model: str) -> None:
    made = cluster.gateway.new_key_full()
    async with Api(cluster.gateway.url, str(made["key"])) as api:
        assert (await api.chat(model)).status == 200
    status, answer = cluster.worker.call("GET", f"/admin/v1/keys/{made['id']}")
    assert (status, answer["id"]) == (200, made["id"])


@pytest.mark.parametrize("role", ["alone", "monitor"])
async def test_without_a_backstage_url_the_answer_names_the_roles(cluster: Cluster, role: str) -> None:
    machine: Service = getattr(cluster, role)
    status, answer = machine.call("GET", "/admin/v1/keys")
    assert (status, answer["error"]["code"]) == (404, "answered_by_another_role")
    assert "all and worker" in answer["error"]["message"]
    assert "backstage_url" in answer["error"]["message"]


async def test_a_clients_address_is_told_by_trusted_machines_only(cluster: Cluster) -> None:
    made = cluster.worker.new_key_full(scopes=["admin"], ip_allow=["10.9.9.9/32"])
    path = "/admin/v1/keys"
    for headers, machine, status in [
        ({"x-forwarded-for": "10.9.9.9"}, cluster.worker, 200),
        ({"x-forwarded-for": "10.9.9.9"}, cluster.gateway, 403),
        ({"x-cmg-forwarded-client": "10.9.9.9"}, cluster.worker, 403),
        ({"x-cmg-forwarded-client": "10.9.9.9"}, cluster.gateway, 403),
    ]:
        async with Api(machine.url, str(made["key"])) as api:
            assert (await api.get(path, headers=headers)).status == status, (headers, machine.options.role)


@pytest.mark.parametrize("role", ["gateway", "worker", "monitor"])
async def test_every_machine_tells_its_health_and_metrics(cluster: Cluster, role: str) -> None:
    machine: Service = getattr(cluster, role)
    async with Api(machine.url, machine.key) as api:
        assert (await api.get("/readyz", key="")).status == 200
        assert (await api.get("/health", key="")).json["level"] == "HEALTHY"
        assert (await api.get("/health/detailed")).status == 200
        text = (await api.get("/metrics")).body.decode()
    names = {sample.name for family in parse_text(text) for sample in family.samples}
    assert "cmg_http_requests_total" in names
    assert ("cmg_catalogue_syncs_total" in names) == (role == "worker"), "the sync of models runs once in a cluster"


async def test_a_body_over_the_limit_is_refused_on_a_worker_too(cluster: Cluster) -> None:
    async with Api(cluster.worker.url, cluster.worker.key) as api:
        answer = await api.post("/admin/v1/keys", b'{"name": "%s"}' % (b"x" * (21 * 2**20)))
    assert answer.status == 413
