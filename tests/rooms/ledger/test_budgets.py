"""How far budgets are used up: in their own periods, by pages, and for whom they are to be seen."""

import msgspec
import pytest

from cmg.identity.models import ApiKey, Budget, Workspace
from cmg.identity.snapshot import Snapshot
from cmg.kit.errors import Forbidden, InvalidRequest, NotFound
from cmg.ledger.reports.budgets import Budgets
from cmg.ledger.usage_sink import UsageSink
from cmg.storage.database import Database
from rooms.ledger.spools import usage_payload
from support.manual_clock import ManualClock

DOLLAR = 1_000_000_000
DAY = Budget(period="day", usd_nano=10 * DOLLAR, auto_suspend=True)
EVER = Budget(period="lifetime", usd_nano=4 * DOLLAR)


def _key(id_: str, workspace: str = "default", **fields: object) -> ApiKey:
    return msgspec.structs.replace(ApiKey(id=id_, workspace_id=workspace, name=f"name of {id_}"), **fields)


@pytest.fixture
def budgets(database: Database, clock: ManualClock) -> Budgets:
    keys = [_key("k1", budget=DAY), _key("k2", budget=EVER), _key("free"), _key("far", "other", budget=DAY)]
    keys.append(_key("gone", budget=DAY, status="revoked"))
    workspaces = {name: Workspace(id=name, name=name, timezone="Europe/Berlin") for name in ("default", "other")}
    return Budgets(database, lambda: Snapshot({key.id: key for key in keys}, workspaces), clock)


async def _spend(database: Database, key: str, at: float, usd: float) -> None:
    async with database.transaction() as conn:
        await UsageSink().write(conn, [usage_payload(key_id=key, at=at, cost_nano=int(usd * DOLLAR))])


async def test_each_budget_is_told_with_what_was_spent_in_its_own_period(
    budgets: Budgets, database: Database, clock: ManualClock
) -> None:
    for key in ("k1", "k2"):
        await _spend(database, key, clock.time() - 86_400, 3)
        await _spend(database, key, clock.time(), 2)
    found = {one["key"]: one for one in (await budgets.page({}, None))["items"]}
    assert set(found) == {"k1", "k2", "far"}
    assert (found["k1"]["spent_usd"], found["k1"]["share"], found["k1"]["auto_suspend"]) == (2, 0.2, True)
    assert (found["k2"]["spent_usd"], found["k2"]["share"]) == (5, 1.25)
    assert (found["k2"]["period_start"], found["k2"]["period_end"]) == (None, None)
    assert found["k1"]["period_start"] < found["k1"]["period_end"]
    assert found["far"]["spent_usd"] == 0


async def test_pages_go_on_by_their_cursor(budgets: Budgets) -> None:
    first = await budgets.page({"limit": "2"}, None)
    second = await budgets.page({"limit": "2", "cursor": first["next"]}, None)
    assert [one["key"] for one in first["items"] + second["items"]] == ["far", "k1", "k2"]
    assert second["next"] is None


async def test_another_workspaces_budgets_are_not_seen(budgets: Budgets) -> None:
    assert {one["key"] for one in (await budgets.page({}, "other"))["items"]} == {"far"}
    with pytest.raises(Forbidden):
        await budgets.page({"workspace": "default"}, "other")
    with pytest.raises(NotFound):
        await budgets.page({"workspace": "nowhere"}, None)
    for wrong in ({"limit": "0"}, {"cursor": "x"}):
        with pytest.raises(InvalidRequest):
            await budgets.page(wrong, None)
