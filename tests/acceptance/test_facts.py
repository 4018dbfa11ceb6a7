"""Facts over HTTP: an ingest's operation tells when its thread was read, kills lose none."""

import asyncio
import json

from support.api import Api
from support.fact_threads import facts_drawn, ingest_thread
from support.faulty_plan import Plan
from support.faulty_upstream import FaultyUpstream
from support.ledger_rows import rows_of
from support.processes import kill
from support.service import WITHOUT_EMBEDDER, Service, ServiceOptions, eventually, upstream_toml


async def _kill_backstage(service: Service) -> None:
    async def killed() -> bool:
        for pid in service.pids("backstage"):
            kill(pid)
            return True
        return False

    await eventually(killed, 15, "backstage is there to be killed")


async def test_a_killed_backstage_draws_every_fact_once() -> None:
    options = ServiceOptions(toml=f"{WITHOUT_EMBEDDER}extraction_delay_s = 0.1\n")
    with Service(options) as service:
        async with Api(service.url, service.key) as api:
            operations = []
            for number in range(30):
                turns = [("user", f"My name is Name{chr(65 + number % 26)} and I need to call office {number}.")]
                operations.append(await ingest_thread(api, f"user-{number}", "t", turns))
                if number in {10, 20}:
                    await _kill_backstage(service)
            await asyncio.gather(*(facts_drawn(api, one, 150) for one in operations))
            for number in range(30):
                body = {
                    "user_id": f"user-{number}",
                    "query": "name office",
                    "kinds": ["profile", "task"],
                    "max_items": 9,
                }
                found = (await api.post("/v1/recall", body)).json["items"]
                assert sorted(one["kind"] for one in found) == ["profile", "task"], (number, found)


async def test_a_model_draws_facts_and_its_calls_are_in_the_ledger(upstream: FaultyUpstream, model: str) -> None:
    about = {"subject": "user", "relation": "lives in", "value": "Rom", "importance": 0.9}
    fact = {"message": 1, "kind": "profile", "content": "Wohnt in Rom.", "quote": "ich wohne in Rom", **about}
    upstream.script(model, Plan(text=json.dumps({"facts": [fact]})))
    toml = upstream_toml("faulty", upstream.url) + WITHOUT_EMBEDDER
    toml += f'extraction = "{model}"\nextraction_delay_s = 0.1\n'
    with Service(ServiceOptions(toml=toml)) as service:
        async with Api(service.url, service.key) as api:
            await facts_drawn(api, await ingest_thread(api, "ana", "t", [("user", "Hallo, ich wohne in Rom.")]))
            found = await api.post("/v1/recall", {"user_id": "ana", "query": "wohnt Rom", "kinds": ["profile"]})
            assert [one["content"] for one in found.json["items"]] == ["Wohnt in Rom."]
            (row,) = await rows_of(service, model_asked=model)
            assert (row["key_id"], row["status"], row["cost_nano"]) == ("memory", "ok", 420_000)
