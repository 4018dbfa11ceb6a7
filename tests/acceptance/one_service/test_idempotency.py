"""`Idempotency-Key`: the same call again gives the stored answer, is not sent upstream and costs nothing."""

import asyncio
import uuid

from support.api import Api
from support.faulty_plan import Plan, error_plan
from support.faulty_upstream import FaultyUpstream
from support.ledger_rows import rows_of
from support.service import Service


def _header() -> dict[str, str]:
    return {"idempotency-key": uuid.uuid4().hex}


async def test_the_stored_answer_comes_back_on_every_worker(api: Api, model: str, upstream: FaultyUpstream) -> None:
    header = _header()
    first = await api.chat(model, headers=header)
    again = [await api.chat(model, headers=header) for _ in range(8)]
    assert {answer.body for answer in again} == {first.body}
    assert {answer.status for answer in again} == {200}
    assert len(upstream.calls_of(model)) == 1


async def test_a_replay_costs_nothing(api: Api, service: Service, model: str, upstream: FaultyUpstream) -> None:
    upstream.script(model, Plan(cost=0.5))
    made, header = service.new_key_full(), _header()
    for _ in range(3):
        assert (await api.chat(model, key=made["key"], headers=header)).status == 200
    await asyncio.sleep(0.2)
    assert sum(row["cost_nano"] for row in await rows_of(service, key_id=made["id"])) == 500_000_000


async def test_the_same_key_with_another_body_is_refused(api: Api, model: str) -> None:
    header = _header()
    assert (await api.chat(model, "one", headers=header)).status == 200
    other = await api.chat(model, "two", headers=header)
    assert other.status in {400, 409, 422}
    assert other.error["message"]


async def test_two_at_once_ask_the_upstream_once(api: Api, model: str, upstream: FaultyUpstream) -> None:
    upstream.script(model, Plan(delay_s=0.4))
    header = _header()
    answers = await asyncio.gather(*(api.chat(model, headers=header) for _ in range(6)))
    assert len(upstream.calls_of(model)) == 1
    assert {answer.status for answer in answers} <= {200, 409}


async def test_a_failure_is_not_stored(api: Api, model: str, upstream: FaultyUpstream) -> None:
    upstream.script(model, error_plan(400), Plan())
    header = _header()
    assert (await api.chat(model, headers=header)).status == 400
    assert (await api.chat(model, headers=header)).status == 200


async def test_two_api_keys_do_not_share_answers(
    api: Api, service: Service, model: str, upstream: FaultyUpstream
) -> None:
    header = _header()
    for key in (service.new_key(), service.new_key()):
        assert (await api.chat(model, key=key, headers=header)).status == 200
    assert len(upstream.calls_of(model)) == 2
