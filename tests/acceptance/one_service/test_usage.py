"""The ledger tells what the upstream counted: sums by key, user, model, tag and day, as JSON and CSV."""

import csv
import io
import uuid

import pytest

from support.api import Api
from support.faulty_plan import Plan, error_plan
from support.faulty_upstream import FaultyUpstream
from support.ledger_rows import row_of, rows_of
from support.service import Service, eventually


async def _usage(api: Api, key_id: str, group: str) -> list[dict]:
    answer = await api.get(f"/admin/v1/usage?group_by={group}&key={key_id}")
    assert answer.status == 200, answer.body
    return answer.json["items"]


async def test_sums_equal_what_the_upstream_counted(
    api: Api, service: Service, upstream: FaultyUpstream, model: str
) -> None:
    upstream.script(model, Plan(cost=0.001), Plan(text="a b c", cost=0.002), Plan(usage_unasked=True, cost=0.004))
    made = service.new_key_full(tags=["blue"])
    await api.chat(model, key=made["key"])
    await api.chat(model, key=made["key"])
    await api.stream(model, key=made["key"])

    async def three() -> bool:
        return len(await rows_of(service, key_id=made["id"])) == 3

    await eventually(three, 5, "three rows")
    sent = [call.usage for call in upstream.calls_of(model)]
    for group in ("key", "workspace", "user", "model", "tag", "day"):
        items = await _usage(api, made["id"], group)
        assert sum(item["calls"] for item in items) == 3, (group, items)
        for field in ("prompt_tokens", "completion_tokens"):
            assert sum(item[field] for item in items) == sum(usage[field] for usage in sent), (group, items)
        assert sum(float(item["cost_usd"]) for item in items) == pytest.approx(0.007), (group, items)


async def test_usage_comes_as_csv_too(api: Api, service: Service, model: str) -> None:
    made = service.new_key_full()
    await api.chat(model, key=made["key"])
    await row_of(service, key_id=made["id"])
    answer = await api.get(f"/admin/v1/usage?group_by=model&key={made['id']}", headers={"accept": "text/csv"})
    if not answer.headers["content-type"].startswith("text/csv"):
        answer = await api.get(f"/admin/v1/usage?group_by=model&key={made['id']}&format=csv")
    assert answer.headers["content-type"].startswith("text/csv")
    (row,) = csv.DictReader(io.StringIO(answer.body.decode()))
    assert row["calls"] == "1"


async def test_a_row_holds_every_column_of_the_call(
    api: Api, service: Service, upstream: FaultyUpstream, model: str, user: str
) -> None:
    details = (("prompt_tokens_details", {"cached_tokens": 2, "cache_write_tokens": 1}),)
    reasoning = (("completion_tokens_details", {"reasoning_tokens": 4}),)
    upstream.script(model, Plan(usage_extra=(*details, *reasoning), model="real-model", cost=0.25))
    made = service.new_key_full(tags=["blue"])
    trace = uuid.uuid4().hex
    headers = {"traceparent": f"00-{trace}-0123456789abcdef-01"}
    answer = await api.chat(model, key=made["key"], user=user, thread_id="t-1", agent_id="a-1", headers=headers)
    row = await row_of(service, key_id=made["id"])
    assert (row["user_id"], row["thread_id"], row["agent_id"], row["route"]) == (user, "t-1", "a-1", "chat")
    assert (row["upstream"], row["model_asked"], row["status"], row["http_status"]) == ("faulty", model, "ok", 200)
    assert "real-model" in row["model_answered"]
    assert (row["cached_tokens"], row["cache_write_tokens"], row["reasoning_tokens"]) == (2, 1, 4)
    assert (row["cost_nano"], row["cost_origin"], row["attempts"]) == (250_000_000, "upstream", 1)
    assert (row["trace_id"], list(row["tags"]), row["stream"]) == (trace, ["blue"], False)
    assert row["latency_ms"] >= 0
    assert str(row["id"]).replace("-", "") == answer.headers["x-cmg-request-id"].replace("-", "")


async def test_a_price_of_ours_counts_where_the_upstream_reports_no_cost(
    api: Api, service: Service, upstream: FaultyUpstream, model: str
) -> None:
    priced = f"m-priced-{model}"
    upstream.script(priced, Plan(cost=None))
    answer = await api.chat(priced)
    assert float(answer.headers["x-cmg-cost-usd"]) == 0.009
    row = await row_of(service, model_asked=priced)
    assert (row["cost_nano"], row["cost_origin"]) == (9_000_000, "catalogue")


async def test_a_failed_attempt_is_never_billed(
    api: Api, service: Service, upstream: FaultyUpstream, model: str
) -> None:
    upstream.script(model, error_plan(503), Plan(cost=0.003))
    await api.chat(model)
    row = await row_of(service, model_asked=model)
    assert (row["cost_nano"], row["attempts"], row["completion_tokens"]) == (3_000_000, 2, 9)


async def test_a_refused_call_leaves_no_cost(api: Api, service: Service, model: str) -> None:
    made = service.new_key_full(models_allow=["sim/*"])
    assert (await api.chat(model, key=made["key"])).status in {403, 404}
    assert sum(row["cost_nano"] for row in await rows_of(service, key_id=made["id"])) == 0


async def test_usage_of_another_workspace_stays_there(api: Api, service: Service, model: str) -> None:
    service.call("POST", "/admin/v1/workspaces", {"id": "usage-other", "name": "Other"})
    stranger = service.new_key(workspace="usage-other", scopes=["admin"])
    made = service.new_key_full()
    await api.chat(model, key=made["key"])
    await row_of(service, key_id=made["id"])
    answer = await api.get(f"/admin/v1/usage?group_by=key&key={made['id']}", key=stranger)
    assert answer.status in {200, 403, 404}
    assert answer.status != 200 or answer.json["items"] == []
