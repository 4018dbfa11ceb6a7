"""What workspaces have used, counted with the rows: exactly, once, and the same whoever reads it."""

import pytest

from cmg.catalogue.workspace_series import MOST_WORKSPACES, WORKSPACE_SERIES
from cmg.identity.models import ApiKey, Budget, Workspace
from cmg.identity.snapshot import Snapshot
from cmg.ledger.figures.workspaces import WorkspaceFigures
from cmg.ledger.usage_sink import UsageSink
from rooms.ledger.spools import AT, usage_payload

NANO = 1_000_000_000


async def _store(database, *calls):
    sink = UsageSink()
    async with database.transaction() as conn:
        await sink.write(conn, [usage_payload(**{"at": AT, "workspace_id": "default", **one}) for one in calls])


def _figures(database, clock, keys=(), workspaces=("default",)) -> WorkspaceFigures:
    made = {one: Workspace(id=one, name=one) for one in workspaces}
    return WorkspaceFigures(database, lambda: Snapshot({one.id: one for one in keys}, made), clock)


async def _read(figures, *first):
    return {(one.metric, one.workspace_id, *one.labels): one.value for one in await figures.read(first)}


async def test_calls_are_counted_by_outcome_with_their_tokens_cost_and_time(database, clock):
    await _store(
        database,
        {"status": "ok", "cost_nano": 2 * NANO, "prompt_tokens": 5, "completion_tokens": 7, "latency_ms": 1500.0},
        {"status": "ok", "cost_nano": NANO, "latency_ms": 500.0},
        {"status": "error"},
        {"status": "cut"},
        {"status": "ok", "replayed": True, "cost_nano": 9 * NANO},
    )
    await _store(database, {"status": "cancelled"}, {"status": "ok", "workspace_id": "other"})
    read = await _read(_figures(database, clock))
    outcomes = {one: read["cmg_workspace_calls_total", "default", ("outcome", one)] for one in ("ok", "error", "cut")}
    assert outcomes == {"ok": 2, "error": 1, "cut": 1}
    assert read["cmg_workspace_calls_total", "default", ("outcome", "cancelled")] == 1
    assert read["cmg_workspace_cost_usd_total", "default"] == 3.0
    assert read["cmg_workspace_tokens_total", "default", ("kind", "completion")] == 7
    assert read["cmg_workspace_call_seconds_total", "default"] == 2.0
    assert read["cmg_workspace_calls_total", "other", ("outcome", "ok")] == 1


async def test_a_batch_that_is_rolled_back_counts_nothing(database, clock):
    async def fail():
        async with database.transaction() as conn:
            await UsageSink().write(conn, [usage_payload(at=AT, workspace_id="default")])
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        await fail()
    assert await _read(_figures(database, clock)) == {}


async def test_absurd_numbers_are_counted_as_the_rows_take_them(database, clock):
    await _store(
        database,
        {"prompt_tokens": 2**60, "completion_tokens": -5, "cost_nano": 10**18, "latency_ms": 1e15},
    )
    read = await _read(_figures(database, clock))
    assert read["cmg_workspace_tokens_total", "default", ("kind", "prompt")] == 2**31 - 1
    assert read["cmg_workspace_tokens_total", "default", ("kind", "completion")] == 0
    assert read["cmg_workspace_cost_usd_total", "default"] == 1e6
    assert read["cmg_workspace_call_seconds_total", "default"] == 86_400


async def test_budgets_are_shown_together_and_by_the_key_that_is_nearest_to_its_end(database, clock):
    keys = [
        ApiKey(id=name, workspace_id="default", name=name, budget=Budget(period=period, usd_nano=usd * NANO))
        for name, period, usd in (("k1", "month", 10), ("k2", "month", 30), ("k3", "day", 4))
    ]
    gone = ApiKey(
        id="k4", workspace_id="default", name="g", status="revoked", budget=Budget(period="day", usd_nano=NANO)
    )
    await _store(
        database,
        *(
            {"key_id": name, "cost_nano": usd * NANO, "at": clock.time()}
            for name, usd in (("k1", 9), ("k3", 1), ("k4", 5))
        ),
    )
    read = await _read(_figures(database, clock, [*keys, gone]))
    assert read["cmg_workspace_budget_used_ratio", "default", ("period", "month")] == 9 / 40
    assert read["cmg_workspace_budget_used_ratio", "default", ("period", "day")] == 0.25
    assert read["cmg_workspace_key_budget_used_ratio", "default"] == 0.9


async def test_workspaces_that_have_rules_come_before_those_that_were_used_last(database, clock):
    names = [f"w{number}" for number in range(MOST_WORKSPACES + 5)]
    await _store(database, *({"workspace_id": name, "at": AT + place} for place, name in enumerate(names)))
    figures = _figures(database, clock, workspaces=(*names, "silent"))
    read = {workspace for _, workspace, *_ in await _read(figures, "w0", "silent")}
    assert len(read) == MOST_WORKSPACES
    assert {"w0", names[-1]} <= read
    assert "w1" not in read
    assert "silent" in {
        workspace for _, workspace, *_ in await _read(_figures(database, clock, workspaces=["silent"]), "silent")
    }


async def test_every_figure_is_in_the_catalogue_within_its_bound(database, clock):
    keys = [
        ApiKey(id=one, workspace_id="default", name=one, budget=Budget(period=one, usd_nano=NANO))
        for one in ("day", "week", "month", "lifetime")
    ]
    await _store(database, {})
    read = await _read(_figures(database, clock, keys))
    declared = {one.name: one for one in WORKSPACE_SERIES}
    found = [metric for metric, *_ in read]
    assert {name: found.count(name) for name in declared} == {name: one.series for name, one in declared.items()}
    assert all(tuple(label for label, _ in labels) == declared[metric].labels for metric, _, *labels in read)
