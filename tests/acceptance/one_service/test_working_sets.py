"""Working sets over HTTP: what was said stands in its section, and nothing else."""

from support.api import Api
from support.fact_threads import THREAD, facts_drawn, ingest_thread

SECTIONS = ["constraints", "focus_decisions", "focus_tasks", "runbook", "artifacts", "citations", "open_questions"]


async def test_a_working_set_holds_what_was_said_and_nothing_else(api: Api, user: str) -> None:
    await facts_drawn(api, await ingest_thread(api, user, "t", THREAD))
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
