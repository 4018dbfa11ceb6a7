"""Idempotent calls: one reservation, one answer, the same for all who repeat the call; and the response cache."""

import asyncio

import pytest

from cmg.gateway.answers.idempotency import IdempotentCalls
from cmg.gateway.answers.response_cache import ResponseCache
from cmg.gateway.answers.stored import Stored
from cmg.kit.errors import Conflict, InvalidRequest, Unavailable
from cmg.storage.cache import Cache

CALL = ("default", "key1", "7d1f")
BODY = b'{"model":"sim/echo","messages":[]}'
ANSWER = Stored(
    200, [(b"content-type", b"application/json"), (b"x-cmg-model", "schön".encode("latin-1"))], b'{"id":"\x00"}'
)


@pytest.fixture
def calls(database, clock) -> IdempotentCalls:
    return IdempotentCalls(database, clock, 24)


@pytest.fixture
def elsewhere(database, clock) -> IdempotentCalls:
    """Another worker on the same database."""
    return IdempotentCalls(database, clock, 24)


async def rows(database) -> int:
    return await database.fetchval("SELECT count(*) FROM idempotent_calls")


async def test_a_finished_call_is_replayed_on_every_worker(calls, elsewhere):
    assert await calls.begin(*CALL, BODY) is None
    assert await calls.finish(*CALL, ANSWER) is True
    assert await calls.begin(*CALL, BODY) == ANSWER
    assert await elsewhere.begin(*CALL, BODY) == ANSWER


@pytest.mark.parametrize("user", ["\x00", "a\x00b", "\ud800", "u" * 5000, "ana"])
async def test_any_user_id_can_be_kept_and_erased(calls, database, user: str):
    assert await calls.begin(*CALL, BODY, user) is None
    assert await calls.finish(*CALL, ANSWER) is True
    assert await calls.erase(CALL[0], "somebody else", "erased-1") == 0
    assert await calls.erase(CALL[0], user, "erased-1") == 1
    assert await rows(database) == 0


async def test_a_stream_is_replayed_as_a_stream(calls):
    stream = Stored(200, [(b"content-type", b"text/event-stream")], b"data: {}\n\ndata: [DONE]\n\n", stream=True)
    await calls.begin(*CALL, BODY)
    await calls.finish(*CALL, stream)
    assert await calls.begin(*CALL, BODY) == stream


async def test_a_call_in_flight_is_a_conflict_that_says_when_to_ask_again(calls, elsewhere):
    await calls.begin(*CALL, BODY)
    with pytest.raises(Conflict) as caught:
        await elsewhere.begin(*CALL, BODY)
    assert caught.value.status == 409
    assert int(caught.value.headers["Retry-After"]) > 0
    assert caught.value.code == "idempotency_call_in_flight"


async def test_of_many_at_once_one_gets_the_reservation(calls, elsewhere):
    results = await asyncio.gather(
        *((calls, elsewhere)[number % 2].begin(*CALL, BODY) for number in range(20)), return_exceptions=True
    )
    assert sum(result is None for result in results) == 1
    assert sum(isinstance(result, Conflict) for result in results) == 19


@pytest.mark.parametrize("finished", [False, True])
async def test_another_body_under_the_same_key_is_refused(calls, finished):
    await calls.begin(*CALL, BODY)
    if finished:
        await calls.finish(*CALL, ANSWER)
    with pytest.raises(Conflict) as caught:
        await calls.begin(*CALL, BODY + b" ")
    assert (caught.value.param, caught.value.code) == ("Idempotency-Key", "idempotency_key_reused")
    assert "Retry-After" not in caught.value.headers


async def test_a_failed_call_may_be_tried_again_with_any_body(calls, elsewhere, database):
    await calls.begin(*CALL, BODY)
    await calls.give_up(*CALL)
    assert await rows(database) == 0
    assert await elsewhere.begin(*CALL, b"{}") is None


@pytest.mark.parametrize("other", [("default", "key2", "7d1f"), ("tenant", "key1", "7d1f"), ("default", "key1", "8")])
async def test_answers_are_shared_with_no_other_key_and_workspace(calls, other):
    await calls.begin(*CALL, BODY)
    await calls.finish(*CALL, ANSWER)
    assert await calls.begin(*other, BODY) is None


@pytest.mark.parametrize("key", ["", "x" * 256, "a\nb", "a\x00", "\x7f", "\x85"])
async def test_a_key_that_is_none_is_refused(calls, key):
    with pytest.raises(InvalidRequest) as caught:
        await calls.begin("default", "key1", key, BODY)
    assert caught.value.param == "Idempotency-Key"


@pytest.mark.parametrize("key", ["x" * 255, "with space", "é'; DROP TABLE models; --"])
async def test_any_printable_key_works(calls, key):
    call = ("default", "key1", key)
    assert await calls.begin(*call, BODY) is None
    await calls.finish(*call, ANSWER)
    assert await calls.begin(*call, BODY) == ANSWER


async def test_a_call_whose_process_died_is_taken_over_after_half_a_minute(calls, elsewhere, clock):
    await calls.begin(*CALL, BODY)
    clock.advance(29)
    with pytest.raises(Conflict):
        await elsewhere.begin(*CALL, BODY)
    clock.advance(2)
    assert await elsewhere.begin(*CALL, BODY) is None


async def test_a_call_in_flight_is_not_taken_over_as_long_as_its_process_says_so(calls, elsewhere, clock):
    await calls.begin(*CALL, BODY)
    for _ in range(100):
        clock.advance(8)
        await calls.renew()
        with pytest.raises(Conflict):
            await elsewhere.begin(*CALL, BODY)
    assert await calls.finish(*CALL, ANSWER) is True
    assert await elsewhere.begin(*CALL, BODY) == ANSWER


async def test_who_forgot_a_call_does_not_reserve_its_key_for_ever(calls, elsewhere, clock):
    await calls.begin(*CALL, BODY)
    for _ in range(200):
        clock.advance(8)
        await calls.renew()
    assert await elsewhere.begin(*CALL, BODY) is None
    await calls.renew()
    assert await elsewhere.finish(*CALL, ANSWER) is True


async def test_whoever_was_taken_over_neither_finishes_nor_frees_the_call(calls, elsewhere, clock):
    await calls.begin(*CALL, BODY)
    clock.advance(16 * 60)
    await elsewhere.begin(*CALL, BODY)
    assert await calls.finish(*CALL, Stored(200, [], b"late")) is False
    await calls.give_up(*CALL)
    assert await elsewhere.finish(*CALL, ANSWER) is True
    assert await calls.begin(*CALL, BODY) == ANSWER


async def test_a_finished_call_is_not_freed_by_a_late_give_up(calls):
    await calls.begin(*CALL, BODY)
    await calls.finish(*CALL, ANSWER)
    await calls.give_up(*CALL)
    assert await calls.begin(*CALL, BODY) == ANSWER


async def test_an_answer_over_4_mb_is_not_kept_and_frees_the_key(calls, database):
    await calls.begin(*CALL, BODY)
    assert await calls.finish(*CALL, Stored(200, [], b"x" * (4 * 2**20 + 1))) is False
    assert await rows(database) == 0
    assert await calls.begin(*CALL, BODY) is None
    assert await calls.finish(*CALL, Stored(200, [], b"x" * (4 * 2**20))) is True


async def test_after_its_hours_an_answer_is_forgotten(calls, clock):
    await calls.begin(*CALL, BODY)
    await calls.finish(*CALL, ANSWER)
    clock.advance(24 * 3600 - 1)
    assert await calls.begin(*CALL, BODY) == ANSWER
    clock.advance(2)
    assert await calls.begin(*CALL, b"another") is None


async def test_purge_deletes_old_calls_in_batches_and_no_young_ones(calls, clock, database):
    for number in range(120):
        await calls.begin("default", "key1", str(number), BODY)
        if number % 2:
            await calls.finish("default", "key1", str(number), ANSWER)
    clock.advance(23 * 3600)
    await calls.begin(*CALL, BODY)
    assert await calls.purge() == 0
    clock.advance(2 * 3600)
    assert await calls.purge() == 120
    assert await rows(database) == 1


async def test_without_the_database_a_call_with_a_key_is_refused_and_others_lose_nothing(calls, database):
    await calls.begin(*CALL, BODY)
    await calls.begin("default", "key1", "second", BODY)
    await database.close()
    with pytest.raises(Unavailable):
        await calls.begin("default", "key1", "third", BODY)
    assert await calls.finish(*CALL, ANSWER) is False
    await calls.give_up("default", "key1", "second")


async def test_the_response_cache_answers_the_same_bytes_only():
    cache = ResponseCache(Cache(None))
    await cache.put("key1", "/v1/chat/completions", BODY, ANSWER, 60)
    assert await cache.get("key1", "/v1/chat/completions", BODY) == ANSWER
    assert await cache.get("key2", "/v1/chat/completions", BODY) is None
    assert await cache.get("key1", "/v1/embeddings", BODY) is None
    assert await cache.get("key1", "/v1/chat/completions", BODY + b" ") is None


async def test_the_response_cache_keeps_for_its_time_and_nothing_large(clock):
    cache = ResponseCache(Cache(None, clock=clock))
    await cache.put("key1", "/p", BODY, ANSWER, 60)
    await cache.put("key1", "/large", BODY, Stored(200, [], b"x" * (2**20 + 1)), 60)
    await cache.put("key1", "/never", BODY, ANSWER, 0)
    assert await cache.get("key1", "/large", BODY) is None
    assert await cache.get("key1", "/never", BODY) is None
    clock.advance(61)
    assert await cache.get("key1", "/p", BODY) is None


@pytest.mark.needs("redis-server")
async def test_the_response_cache_is_shared_through_redis_and_survives_strange_values(redis_url):
    import redis

    one, other = ResponseCache(Cache(redis_url)), ResponseCache(Cache(redis_url))
    await one.put("key1", "/p", BODY, ANSWER, 60)
    assert await other.get("key1", "/p", BODY) == ANSWER
    with redis.Redis.from_url(redis_url) as client:
        for name in client.scan_iter():
            client.set(name, b"strange")
    assert await other.get("key1", "/p", BODY) is None
