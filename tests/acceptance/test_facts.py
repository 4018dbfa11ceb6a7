"""Facts over HTTP: an ingest's operation tells when its thread was read, working sets show them, kills lose none."""

import asyncio
import json

from support.api import Api
from support.faulty_plan import Plan
from support.faulty_upstream import FaultyUpstream
from support.ledger_rows import rows_of
from support.processes import kill
from support.service import Service, ServiceOptions, eventually, upstream_toml

SECTIONS = ["constraints", "focus_decisions", "focus_tasks", "runbook", "artifacts", "citations", "open_questions"]
THREAD = [
    ("user", "Help me to migrate the billing service to PostgreSQL."),
    ("assistant", "Sure. Do you want to keep the old database as a replica?"),
    ("user", "The migration must not take longer than 30 minutes. I need to write the rollback plan."),
    ("assistant", "We agreed to freeze writes first, see deploy/freeze.sh."),
    ("user", "1. stop the writers\n2. dump the billing tables\n3. restore them"),
    ("user", "Which version of PostgreSQL is it?"),
]


async def _ingest(api: Api, user: str, thread: str, turns) -> str:
    messages = [{"id": f"m{place}", "role": role, "content": text} for place, (role, text) in enumerate(turns)]
    answer = await api.post("/v1/ingest", {"user_id": user, "thread_id": thread, "messages": messages, "wait": True})
    assert answer.status == 200, answer.body
    assert answer.json["facts"] in {"queued", "done"}, "they may be drawn before the vectors are there"
    return answer.json["operation_id"]


async def _read(api: Api, operation_id: str, within_s: float = 15) -> None:
    async def read() -> bool:
        state = await api.get(f"/v1/operations/{operation_id}")
        return state.json["facts"] == "done"

    await eventually(read, within_s, "the thread was read for facts")


async def test_a_working_set_holds_what_was_said_and_nothing_else(api: Api, user: str) -> None:
    await _read(api, await _ingest(api, user, "t", THREAD))
    asked = {"user_id": user, "thread_id": "t", "purpose": "go on with the billing migration"}
    answer = await api.post("/v1/workingset", asked)
    assert answer.status == 200, answer.body
    told = answer.json
    assert told["mission"]["text"] == THREAD[0][1]
    texts = {name: [one["text"] for one in told[name]] for name in SECTIONS}
    assert texts["constraints"] == ["The migration must not take longer than 30 minutes."]
    assert texts["focus_decisions"] == ["We agreed to freeze writes first, see deploy/freeze.sh."]
    assert texts["focus_tasks"] == ["I need to write the rollback plan."]
    assert texts["artifacts"] == ["deploy/freeze.sh"]
    assert texts["runbook"] == [THREAD[4][1]]
    assert texts["open_questions"] == ["Which version of PostgreSQL is it?"]
    entries = [one for name in SECTIONS for one in told[name]] + [told["mission"]]
    assert all(one["item_ids"] for one in entries)
    assert told["tokens_used"] == sum(one["tokens"] for one in entries)
    small = (await api.post("/v1/workingset", {**asked, "token_budget": 20})).json
    assert small["tokens_used"] <= 20
    assert small["tokens_used"] + small["tokens_available"] == 20


async def test_a_stranger_gets_empty_sections(api: Api, user: str) -> None:
    answer = await api.post("/v1/workingset", {"user_id": user, "thread_id": "t", "query": "billing"})
    assert answer.status == 200
    assert answer.json["mission"] is None
    assert all(answer.json[name] == [] for name in SECTIONS)
    refused = await api.post("/v1/workingset", {"user_id": user})
    assert (refused.status, refused.error["param"]) == (400, "purpose")


async def _kill_backstage(service: Service) -> None:
    async def killed() -> bool:
        for pid in service.pids("backstage"):
            kill(pid)
            return True
        return False

    await eventually(killed, 15, "backstage is there to be killed")


async def test_a_killed_backstage_draws_every_fact_once() -> None:
    options = ServiceOptions(toml="[memory]\nextraction_delay_s = 0.1\n")
    with Service(options) as service:
        async with Api(service.url, service.key) as api:
            operations = []
            for number in range(30):
                turns = [("user", f"My name is Name{chr(65 + number % 26)} and I need to call office {number}.")]
                operations.append(await _ingest(api, f"user-{number}", "t", turns))
                if number in {10, 20}:
                    await _kill_backstage(service)
            await asyncio.gather(*(_read(api, one, 150) for one in operations))
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
    toml = upstream_toml("faulty", upstream.url) + f'[memory]\nextraction = "{model}"\nextraction_delay_s = 0.1\n'
    with Service(ServiceOptions(toml=toml)) as service:
        async with Api(service.url, service.key) as api:
            await _read(api, await _ingest(api, "ana", "t", [("user", "Hallo, ich wohne in Rom.")]))
            found = await api.post("/v1/recall", {"user_id": "ana", "query": "wohnt Rom", "kinds": ["profile"]})
            assert [one["content"] for one in found.json["items"]] == ["Wohnt in Rom."]
            (row,) = await rows_of(service, model_asked=model)
            assert (row["key_id"], row["status"], row["cost_nano"]) == ("memory", "ok", 420_000)
