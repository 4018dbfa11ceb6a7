"""A shared file of the test's own, and how keys with limits are made."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cmg.identity.models import ApiKey, Budget, Limits
from cmg.kit.money import usd_to_nano
from cmg.ledger.quota.cluster import link
from cmg.ledger.quota.models import Demand
from cmg.ledger.quota.shared_memory import SharedMemoryQuota, create_file
from cmg.telemetry.instruments import Instruments
from support.manual_clock import ManualClock

MakeKey = Callable[..., ApiKey]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A new shared file, small."""
    path = tmp_path / "quota"
    create_file(path, slots=64, workers=8)
    return path


@pytest.fixture
def quota(path: Path, clock: ManualClock, instruments: Instruments) -> Iterator[SharedMemoryQuota]:
    """Worker 0 on the file."""
    made = SharedMemoryQuota(path, 0, clock, instruments)
    yield made
    made._table.close()


@pytest.fixture
def make_key() -> MakeKey:
    """`make_key(usd=0.05, rpm=10)`: a key with a budget (per day unless `period` says else) and limits."""

    def make(key_id: str = "key", usd: float | None = None, period: str = "day", **limits: int) -> ApiKey:
        budget = None if usd is None else Budget(period=period, usd_nano=usd_to_nano(usd))
        return ApiKey(id=key_id, workspace_id="w1", name="test", limits=Limits(**limits), budget=budget)

    return make


@pytest.fixture
def demand() -> Callable[..., Demand]:
    """`demand(key, tokens=10, usd=0.01)` in UTC."""

    def make(key: ApiKey, tokens: int = 10, usd: float = 0.01, timezone: str = "UTC") -> Demand:
        return Demand(key, timezone, tokens, usd_to_nano(usd))

    return make


@pytest.fixture
def redis_may_take(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """`redis_may_take(10)` seconds for an answer: where no test is about a late one, a busy machine is no reason."""
    return lambda seconds: monkeypatch.setattr(link, "TIMEOUT_S", seconds)


@pytest.fixture
def counted(instruments: Instruments) -> Callable[..., float]:
    """The present value of a counter or gauge."""

    def value(name: str, **labels: str) -> float:
        return instruments.registry.get_sample_value(name, labels) or 0.0

    return value
