"""The shared file: made anew when it cannot be trusted, bounded, and closed to further keys when it is full."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cmg.kit.errors import BudgetExceeded, Unavailable
from cmg.ledger.quota import table as table_module
from cmg.ledger.quota.admission import WIDTH
from cmg.ledger.quota.models import Demand
from cmg.ledger.quota.periods import starts
from cmg.ledger.quota.shared_memory import SharedMemoryQuota, create_file
from cmg.ledger.quota.table import Table
from cmg.ledger.quota.terms import digest_of
from cmg.telemetry.instruments import Instruments
from support.manual_clock import ManualClock

MakeDemand = Callable[..., Demand]


def _open(path: Path, clock: ManualClock, **options: object) -> SharedMemoryQuota:
    return SharedMemoryQuota(path, 0, clock, Instruments(), **options)


async def test_a_missing_file_is_made(tmp_path: Path, clock: ManualClock, make_key, demand: MakeDemand) -> None:
    quota = _open(tmp_path / "deep" / "quota", clock)
    await quota.acquire(demand(make_key(rpm=1)))
    await quota.close()


@pytest.mark.parametrize("damage", [b"", b"short", b"x" * 4096, bytes(1 << 16)])
def test_a_damaged_file_is_made_anew(path: Path, damage: bytes) -> None:
    path.write_bytes(damage)
    table = Table(path)
    table.take(digest_of("k"), [0] * WIDTH, 0, forget_spent=False)
    table.close()


def test_a_file_of_another_version_is_made_anew(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)
    first = Table(path)
    number = first.id
    first.close()
    assert Table(path).id == number, "once made anew it stays"


def test_a_file_from_before_a_reboot_is_made_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Table(path).id
    monkeypatch.setattr(table_module, "_boot", lambda: 12345)
    assert Table(path).id != before


async def test_state_outlives_the_process(path: Path, clock: ManualClock, make_key, demand: MakeDemand) -> None:
    asked = demand(make_key(usd=0.01))
    one = _open(path, clock)
    one.settle(await one.acquire(asked), 1, 10_000_000)
    await one.close()
    other = _open(path, clock)
    with pytest.raises(BudgetExceeded):
        await other.acquire(asked)
    await other.close()


async def test_a_worker_number_the_file_has_no_room_for_is_refused(path: Path, clock: ManualClock) -> None:
    with pytest.raises(ValueError, match="worker 8"):
        SharedMemoryQuota(path, 8, clock, Instruments())


async def test_a_full_table_refuses_keys_it_cannot_count(
    tmp_path: Path, clock: ManualClock, instruments: Instruments, make_key, demand: MakeDemand, counted
) -> None:
    create_file(tmp_path / "quota", slots=4, workers=1)
    quota = SharedMemoryQuota(tmp_path / "quota", 0, clock, instruments)
    for number in range(4):
        await quota.acquire(demand(make_key(f"k{number}", rpm=1)))
    with pytest.raises(Unavailable) as refused:
        await quota.acquire(demand(make_key("k4", rpm=1)))
    assert refused.value.status == 503
    assert counted("cmg_limit_refusals_total", reason="table_full") == 1
    await quota.acquire(demand(make_key("k5")))  # a key without limits needs no row
    await quota.close()


async def test_idle_keys_make_room_and_keys_in_use_keep_theirs(
    tmp_path: Path, clock: ManualClock, make_key, demand: MakeDemand
) -> None:
    create_file(tmp_path / "quota", slots=4, workers=1)
    quota = _open(tmp_path / "quota", clock)
    in_flight = demand(make_key("flight", concurrency=1))
    spent = demand(make_key("spent", usd=0.01))
    await quota.acquire(in_flight)
    quota.settle(await quota.acquire(spent), 1, 10_000_000)
    for number in range(20):
        clock.advance(700)
        quota.settle(await quota.acquire(demand(make_key(f"k{number}", rpm=1))), 0, 0)
    assert quota._table.used == 4
    with pytest.raises(Exception, match="concurrent"):
        await quota.acquire(in_flight)
    with pytest.raises(BudgetExceeded):
        await quota.acquire(spent)
    await quota.close()


async def test_a_row_that_was_given_away_is_not_written_by_its_old_key(
    tmp_path: Path, clock: ManualClock, make_key, demand: MakeDemand
) -> None:
    create_file(tmp_path / "quota", slots=1, workers=2)
    one = SharedMemoryQuota(tmp_path / "quota", 0, clock, Instruments())
    other = SharedMemoryQuota(tmp_path / "quota", 1, clock, Instruments())
    one.settle(await one.acquire(demand(make_key("old", rpm=1))), 0, 0)
    clock.advance(700)
    await other.acquire(demand(make_key("new", rpm=1)))
    with pytest.raises(Unavailable):  # the only row is in use by `new`
        await one.acquire(demand(make_key("old", rpm=1)))


def test_an_index_left_half_written_by_a_killed_process_is_mended(path: Path) -> None:
    table = Table(path)
    digests = [digest_of(f"k{number}") for number in range(40)]
    fresh = [0] * WIDTH
    offsets = [table.take(digest, fresh, 0, forget_spent=False) for digest in digests]
    for place in range(16, 16 + 2 * table.slots):
        table.words[place] = 0
    table.words[table_module._H_DIRTY] = 1
    assert [table.find(digest) for digest in digests] == offsets
    table.close()


def test_many_keys_find_their_rows(path: Path) -> None:
    table = Table(path)
    offsets = {table.take(digest_of(f"k{number}"), [0] * WIDTH, 0, forget_spent=False) for number in range(64)}
    assert len(offsets) == 64
    assert table.find(digest_of("k63")) in offsets
    assert table.find(digest_of("nobody")) is None
    table.close()


async def test_seeding_counts_once(quota: SharedMemoryQuota, clock: ManualClock, make_key, demand: MakeDemand) -> None:
    from cmg.ledger.quota.models import Spent

    spent = Spent("key", "UTC", starts("UTC", clock.time()), (8_000_000, 8_000_000, 8_000_000, 8_000_000))
    await quota.seed([spent])
    await quota.seed([spent])
    asked = demand(make_key(usd=0.01), usd=0.002)
    quota.settle(await quota.acquire(asked), 1, 2_000_000)
    with pytest.raises(BudgetExceeded):
        await quota.acquire(asked)
