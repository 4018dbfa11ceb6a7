"""Two services that share Redis and a database are one: limits, budgets and keys hold over both."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest

from support.api import Answer, Api
from support.faulty_plan import Plan
from support.faulty_upstream import FaultyUpstream
from support.postgres import TestServer
from support.redis_server import RedisServer
from support.service import WITHOUT_EMBEDDER, Service, ServiceOptions, eventually, upstream_toml

pytestmark = pytest.mark.needs("redis-server")
PRICES = '[[prices]]\nmodel = "faulty/m-priced*"\ncompletion_usd_per_mtok = 1000.0\n'


@pytest.fixture(scope="module")
def pair(postgres: TestServer, upstream: FaultyUpstream) -> Iterator[tuple[Service, Service]]:
    """Two services as on two machines."""
    toml = upstream_toml("faulty", upstream.url) + PRICES + WITHOUT_EMBEDDER
    dsn = asyncio.run(postgres.create(migrated=False))
    redis = RedisServer()
    redis.start()
    environ = {"CMG_DATABASE_URL": dsn, "CMG_REDIS_URL": redis.url}
    with contextlib.ExitStack() as stack:
        stack.callback(redis.close)
        first = stack.enter_context(Service(ServiceOptions(toml=toml, environ=environ)))
        same_key = {**environ, "CMG_BOOTSTRAP_KEY": first.key}
        second = Service(ServiceOptions(toml=toml, environ=same_key))
        second.key = first.key
        yield first, stack.enter_context(second)


@pytest.fixture
async def both(pair: tuple[Service, Service]) -> AsyncIterator[tuple[Api, Api]]:
    """A client for each of the two."""
    async with Api(pair[0].url, pair[0].key) as one, Api(pair[1].url, pair[1].key) as other:
        yield one, other


async def _spread(both: tuple[Api, Api], model: str, key: str, count: int, **fields) -> list[Answer]:
    return list(await asyncio.gather(*(both[i % 2].chat(model, key=key, **fields) for i in range(count))))


async def test_a_key_made_on_one_works_on_the_other_at_once(pair, both: tuple[Api, Api]) -> None:
    made = pair[0].new_key_full()
    assert (await both[1].chat("sim/echo", key=made["key"])).status == 200
    assert pair[0].call("DELETE", f"/admin/v1/keys/{made['id']}")[0] in {200, 204}

    async def refused() -> bool:
        return (await both[1].chat("sim/echo", key=made["key"])).status == 401

    await eventually(refused, 2.5, "the revocation reaches the other machine")


async def test_requests_per_minute_hold_over_two_machines(pair, both: tuple[Api, Api], model: str) -> None:
    answers = await _spread(both, model, pair[0].new_key(limits={"rpm": 10}), 40)
    assert 10 <= sum(answer.status == 200 for answer in answers) <= 11


async def test_concurrency_holds_over_two_machines(
    pair, both: tuple[Api, Api], model: str, upstream: FaultyUpstream
) -> None:
    upstream.script(model, Plan(delay_s=0.6))
    answers = await _spread(both, model, pair[0].new_key(limits={"concurrency": 5}), 20)
    assert sum(answer.status == 200 for answer in answers) == 5


async def test_a_budget_holds_over_two_machines(pair, both: tuple[Api, Api], upstream: FaultyUpstream) -> None:
    model = f"m-priced-{uuid.uuid4().hex[:8]}"
    upstream.script(model, Plan(delay_s=0.3, cost=None))
    key = pair[0].new_key(budget={"period": "day", "usd": 0.05})
    answers = await _spread(both, model, key, 50, max_tokens=9)
    assert 4 <= sum(answer.status == 200 for answer in answers) <= 6
    assert {answer.status for answer in answers} <= {200, 402, 429}


async def test_memory_is_shared_between_machines(both: tuple[Api, Api], user: str) -> None:
    told = await both[0].chat("sim/echo", "My sailing boat is called Pequod.", user=user)
    assert told.status == 200

    async def known() -> bool:
        return "Pequod" in (await both[1].chat("sim/memory", "What is my sailing boat called?", user=user)).text

    await eventually(known, 15, "the other machine remembers")
