"""The public status page of the real service: without a key, without its database, without backstage."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from support.api import Api
from support.postgres import OwnPostgres
from support.processes import kill
from support.service import WITHOUT_EMBEDDER, Service, ServiceOptions, eventually

PAGE, SUMMARY = "/status", "/status/api/v2/summary.json"
TOML = f'[status]\ntitle = "Example"\n{WITHOUT_EMBEDDER}'


@pytest.fixture(scope="module")
def database() -> Iterator[OwnPostgres]:
    """A PostgreSQL to stop; the last test does."""
    server = OwnPostgres()
    yield server
    server.close()


@pytest.fixture(scope="module")
def service(database: OwnPostgres) -> Iterator[Service]:
    """A service on it."""
    options = ServiceOptions(environ={"CMG_DATABASE_URL": database.dsn}, toml=TOML)
    with Service(options) as running:
        yield running


async def _declared(service: Service, api: Api) -> str:
    """A public incident that stands on the page."""
    fields = {"title": "db-7 is full", "severity": "SEV-1", "public": True, "components": {"api": "partial_outage"}}
    status, made = service.call("POST", "/admin/v1/incidents", fields)
    assert status == 201, made
    said = {"kind": "initial", "audience": "customer", "text": "We are looking into it."}
    assert service.call("POST", f"/admin/v1/incidents/{made['id']}/communications", said)[0] == 201

    async def shown() -> bool:
        return "We are looking into it." in (await api.get(PAGE, key="")).body.decode()

    await eventually(shown, 25, "the page shows the incident")
    return str(made["id"])


async def test_strangers_read_the_page_and_nothing_else_of_incidents(service: Service) -> None:
    async with Api(service.url, service.key) as api:

        async def there() -> bool:
            return (await api.get(PAGE, key="")).status == 200

        await eventually(there, 20, "the page is rendered")
        assert (await api.get("/status/", key="")).status == 200
        assert (await api.request("POST", PAGE, key="")).status == 405
        assert (await api.get("/admin/v1/incidents", key="")).status == 401
        other = service.new_key(scopes=["admin"])
        assert (await api.get("/admin/v1/incidents", key=other)).status == 403
        head = await api.request("HEAD", PAGE, key="")
        assert (head.status, head.body) == (200, b"")
        packed = await api.get(PAGE, key="", headers={"accept-encoding": "gzip"})
        assert "<h1>Example status</h1>" in packed.body.decode()


async def test_an_incident_is_closed_after_a_real_call_and_its_key_is_gone(service: Service) -> None:
    status, made = service.call("POST", "/admin/v1/incidents", {"title": "x", "severity": "SEV-3"})
    assert status == 201
    path = f"/admin/v1/incidents/{made['id']}"
    assert service.call("POST", f"{path}/close")[1]["error"]["code"] == "conflict"
    assert service.call("POST", f"{path}/resolve")[0] == 200
    status, closed = service.call("POST", f"{path}/close")
    assert (status, closed["status"]) == (200, "closed"), closed
    assert service.call("GET", f"{path}")[1]["impact"]["calls_failed"] == 0
    lines = service.call("GET", f"{path}/timeline")[1]["items"]
    checks = {line["text"].split()[0]: line["details"]["outcome"] for line in lines if line["kind"] == "check"}
    assert (checks["call"], checks["health"]) == ("passed", "passed")
    keys = service.call("GET", "/admin/v1/keys?state=revoked")[1]["items"]
    assert [one["name"] for one in keys] == ["incident check"]


async def test_an_alert_of_the_service_opens_an_incident_by_rule(service: Service) -> None:
    alert = {"labels": {"alertname": "DatabaseDown", "severity": "P1", "component": "database"}}
    status, _ = service.call("POST", "/admin/v1/alerts", {"alerts": [alert]})
    assert status in {200, 202}

    async def opened() -> list[dict[str, Any]]:
        return list(service.call("GET", "/admin/v1/incidents?state=open")[1]["items"])

    [made] = await eventually(opened, 20, "the alert is an incident")
    assert (made["severity"], made["origin"], made["public"]) == ("SEV-2", "alert", False)
    status, text = service.call("GET", f"/admin/v1/incidents/{made['id']}/post-mortem")
    assert status == 200
    assert "DatabaseDown" in text
    assert "plots/calls.svg" in text
    assert service.call("GET", f"/admin/v1/incidents/{made['id']}/plots/calls.svg")[1].startswith("<svg")
    assert service.call("GET", "/admin/v1/incidents/metrics")[1]["alerts"]["count"] == 1


async def test_the_page_stays_when_the_database_or_backstage_is_away(service: Service, database: OwnPostgres) -> None:
    async with Api(service.url, service.key) as api:
        await _declared(service, api)
        await asyncio.to_thread(database.stop)

        async def noticed() -> bool:
            states = {one["id"]: one["status"] for one in (await api.get(SUMMARY, key="")).json["components"]}
            return states["administration"] == "major_outage" and states["api"] == "partial_outage"

        await eventually(noticed, 40, "the page shows that nothing can be administered")
        page = await api.get(PAGE, key="")
        assert page.status == 200
        assert "We are looking into it." in page.body.decode()
        assert "db-7" not in page.body.decode()
        await _without_backstage(service, api)
        await asyncio.to_thread(database.start)


async def _without_backstage(service: Service, api: Api) -> None:
    """Also a service that was started anew without its database, and whose backstage is killed, shows the page."""
    await asyncio.to_thread(service.terminate)
    await asyncio.to_thread(service.start)
    for pid in service.pids("backstage"):
        kill(pid)
    answers = [await api.get(path, key="") for path in (PAGE, SUMMARY, "/status/history.rss")]
    assert [one.status for one in answers] == [200, 200, 200]
    assert "We are looking into it." in answers[0].body.decode()
    assert answers[0].took_s < 0.5
