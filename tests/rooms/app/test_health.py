"""What health tells: a level for strangers, every part for operators, and what is outside apart from what is ours."""

from typing import Any

import pytest

from cmg.app.health import observations
from cmg.app.health.resources import Check, Resource, Resources
from cmg.gateway.routing.catalogue import Catalogue
from cmg.gateway.routing.catalogue_store import SyncState
from cmg.ledger.prices import PriceBook
from cmg.storage.cache import Cache
from support.manual_clock import ManualClock


async def _nothing() -> None:
    return None


async def _broken() -> None:
    raise OSError("nobody answers")


def _resources(clock: ManualClock, *checks: Check, **probes: Any) -> Resources:
    made = Resources(clock)
    for name, (probe, needed, kind) in probes.items():
        made.add(Resource(name, _nothing, probe, needed=needed, kind=kind))

    async def source() -> list[Check]:
        return list(checks)

    made.report(source)
    return made


async def test_dependencies_are_what_is_outside(clock: ManualClock) -> None:
    made = _resources(
        clock,
        Check("journal", "undrained", value=7, unit="bytes"),
        Check("upstream", "openBreakers", value=0, component_id="far", kind="system"),
        Check("upstream", "openBreakers", value=2, component_id="near", kind="system"),
        database=(_nothing, False, "datastore"),
        quota=(_nothing, True, "component"),
    )
    outside, everything = await made.dependencies(), await made.detailed()
    assert set(outside["checks"]) == {"database:availability", "upstream:openBreakers"}
    assert set(everything["checks"]) == {*outside["checks"], "journal:undrained", "quota:availability"}
    entry = everything["checks"]["journal:undrained"][0]
    assert entry.pop("time").endswith("Z")
    assert entry == {
        "componentId": "journal", "componentType": "component", "observedValue": 7, "observedUnit": "bytes",
        "status": "pass",
    }  # fmt: skip
    assert [one["componentId"] for one in outside["checks"]["upstream:openBreakers"]] == ["far", "near"]


@pytest.mark.parametrize(
    ("needed", "kind", "detailed", "dependencies"),
    [
        (False, "datastore", "DEGRADED", "DEGRADED"),
        (True, "datastore", "UNHEALTHY", "UNHEALTHY"),
        (True, "component", "UNHEALTHY", "HEALTHY"),
    ],
)
async def test_the_level_is_that_of_the_worst_check(
    clock: ManualClock, kind: str, detailed: str, dependencies: str, *, needed: bool
) -> None:
    made = _resources(clock, thing=(_broken, needed, kind))
    told = await made.detailed()
    assert (told["level"], (await made.dependencies())["level"]) == (detailed, dependencies)
    assert told["checks"]["thing:availability"][0]["output"] == "nobody answers"
    assert (told["status"] == "fail") == needed


async def test_a_warning_of_an_observation_degrades_what_operators_see_only(clock: ManualClock) -> None:
    made = _resources(clock, Check("jobs", "held", "warn", 1, "jobs", "look at them"))
    assert ((await made.detailed())["level"], await made.level()) == ("DEGRADED", "HEALTHY")


@pytest.mark.parametrize(
    ("synced_s_ago", "error", "status"),
    [
        (None, None, "pass"),
        (None, "GET /models was answered with status 404", "pass"),
        (60, "x", "pass"),
        (4000, "x", "warn"),
    ],
)
async def test_models_that_grow_old_are_a_warning(clock: ManualClock, synced_s_ago, error, status) -> None:
    catalogue = Catalogue(None, PriceBook([]), clock)  # type: ignore[arg-type]
    synced = None if synced_s_ago is None else clock.time() - synced_s_ago
    catalogue.take([], [SyncState(upstream="far", synced_at=synced, attempted_at=clock.time(), error=error)])
    (check,) = await observations.models(catalogue, ["far"])()
    assert (check.status, check.value, check.component_id) == (status, synced_s_ago, "far")
    assert check.output == (error or ("not synced yet" if synced is None else ""))


async def test_a_cache_that_is_away_says_so(redis_url: str, clock: ManualClock) -> None:
    there, away = Cache(redis_url, clock=clock), Cache("redis://127.0.0.1:1/0", clock=clock)
    await there.ping()
    with pytest.raises(Exception, match=r"127\.0\.0\.1:1"):
        await away.ping()
    await there.close()
    await away.close()
