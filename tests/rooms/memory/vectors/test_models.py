"""A change of the model: the earlier one serves until the new one is complete. Indexes for users with many turns."""

from cmg.memory.vectors import backlog as backlog_module
from cmg.memory.vectors.models import KnownModels
from rooms.memory.vectors.conftest import Static

STATE = (
    "SELECT u.user_id, m.name, u.vectors_whole FROM memory_users u "
    "LEFT JOIN memory_models m ON m.model_no = u.vector_model_no ORDER BY 1"
)


async def count(desk, model: str) -> int:
    return len(await desk.vectors(model))


async def test_users_move_to_a_model_of_another_dimension_one_after_the_other(desk):
    await desk.write("one", "two", user="ana")
    await desk.write("three", user="bob")
    await desk.work()
    changed = desk.another(Static(64))
    seen = set()
    for _ in range(100):
        busy = await changed.step()
        for user, model, whole in await desk.rows(STATE):
            seen.add((user, model))
            assert whole or model == "static-256"  # the new one only when it is complete
        if not busy:
            break
    assert seen == {("ana", "static-256"), ("ana", "static-64"), ("bob", "static-256"), ("bob", "static-64")}
    assert await count(desk, "static-64") == 3
    assert await count(desk, "static-256") == 0


async def test_until_a_user_has_moved_the_earlier_vectors_are_all_there(desk):
    many = 4 * backlog_module.BATCH  # with a turn go those around it, so that a step does more than its batch
    await desk.write(*(f"turn {number}" for number in range(many)))
    await desk.work()
    new = Static(64)
    changed = desk.another(new)
    await changed.step()
    await changed.step()
    assert 0 < await count(desk, "static-64") < many
    assert await count(desk, "static-256") == many
    assert await desk.rows(STATE) == [("ana", "static-256", False)]


async def test_turns_written_during_the_change_are_embedded_by_the_new_model(desk):
    await desk.write("before")
    await desk.work()
    changed = desk.another(Static(64))
    await changed._described()
    await desk.write("during")
    await desk.work(changed)
    assert await count(desk, "static-64") == 2
    assert await desk.rows(STATE) == [("ana", "static-64", True)]


async def test_a_model_that_comes_back_fills_the_gap_of_its_absence(desk):
    await desk.write("before")
    await desk.work()
    other = desk.another(Static(64, instead_of="the configured one is broken"))
    await desk.write("meanwhile", thread="b")
    await desk.work(other)
    assert await desk.rows(STATE) == [("ana", "static-256", False)]
    assert await count(desk, "static-256") == 1
    await desk.work(desk.another(desk.embedder))
    assert await desk.rows(STATE) == [("ana", "static-256", True)]
    assert await count(desk, "static-256") == 2


async def test_a_stand_in_takes_nobody_over_and_deletes_nothing(desk):
    await desk.write("before")
    await desk.work()
    await desk.work(desk.another(Static(64, instead_of="broken")))
    assert await desk.rows(STATE) == [("ana", "static-256", True)]
    assert await count(desk, "static-256") == 1


async def test_an_earlier_model_is_retired_with_its_index_when_nobody_is_searched_by_it(desk):
    await desk.write("one")
    await desk.work()
    await desk.work(desk.another(Static(64)))
    assert await desk.rows("SELECT name, retired_at IS NULL FROM memory_models ORDER BY 1") == [
        ("static-256", False),
        ("static-64", True),
    ]
    indexes = await desk.rows("SELECT count(*) FROM pg_class WHERE relname LIKE 'memory_vectors_nearest_%'")
    assert indexes == [(1,)]


async def test_a_retired_model_that_returns_is_used_again(desk):
    await desk.write("one")
    await desk.work()
    await desk.work(desk.another(Static(64)))
    await desk.work(desk.another(desk.embedder))
    assert await desk.rows(STATE) == [("ana", "static-256", True)]
    assert await count(desk, "static-256") == 1


async def test_gateways_know_the_models_by_number(desk, clock):
    known = KnownModels(desk.store, clock)
    assert await known.number(desk.embedder.model) is None
    await desk.backlog._described()
    assert await known.number(desk.embedder.model) == desk.backlog._model_no
    await desk.another(new := Static(64))._described()
    assert await known.number(new.model) != desk.backlog._model_no
    assert [model.name for model in known.earlier] == ["static-64", "static-256"]


async def test_vectors_of_a_user_with_many_turns_are_moved_into_the_index(desk, monkeypatch):
    monkeypatch.setattr(backlog_module, "INDEXED_FROM", 20)
    monkeypatch.setattr(backlog_module, "_INDEXED", 7)
    await desk.write(*(f"turn {number}" for number in range(15)))
    await desk.write("few", user="bob")
    await desk.work()
    indexed = "SELECT indexed, count(*) FROM memory_vectors GROUP BY 1 ORDER BY 1"
    assert await desk.rows(indexed) == [(False, 16)]
    await desk.write(*(f"more {number}" for number in range(10)))
    await desk.work()
    assert await desk.rows(indexed) == [(False, 1), (True, 25)]
    assert await desk.rows("SELECT vectors_indexed FROM memory_users ORDER BY user_id") == [(2,), (0,)]
    async with desk.database.transaction() as conn:
        await conn.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
        plan = await conn.fetch(
            "EXPLAIN SELECT seq FROM memory_vectors WHERE indexed AND model_no = 1 "
            f"ORDER BY turn::halfvec(256) <=> '[{','.join(['1'] * 256)}]'::halfvec(256) LIMIT 5"
        )
    assert any("memory_vectors_nearest_1" in row[0] for row in plan)
