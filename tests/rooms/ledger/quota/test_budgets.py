"""Budgets reserve before a call and settle after it; periods begin anew by themselves."""

from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmg.identity.models import ApiKey, Budget, Limits
from cmg.kit.errors import BudgetExceeded
from cmg.ledger.quota.admission import ACTIVE, MINUTELY, RESERVED, SPENT, TOKENS, WIDTH, Refusal, admit
from cmg.ledger.quota.models import Demand
from cmg.ledger.quota.shared_memory import SharedMemoryQuota
from cmg.ledger.quota.terms import SECOND, Terms
from support.manual_clock import ManualClock

MakeDemand = Callable[..., Demand]
CENT = 10_000_000


async def test_fifty_parallel_calls_reserve_no_more_than_the_budget(
    quota: SharedMemoryQuota, make_key, demand: MakeDemand
) -> None:
    key, grants = make_key(usd=0.05), []
    for _ in range(50):
        try:
            grants.append(await quota.acquire(demand(key, usd=0.01)))
        except BudgetExceeded as error:
            refused = error
    assert len(grants) == 5
    assert refused.headers["Retry-After"] == "1"
    assert "in flight" in refused.message


async def test_one_call_may_go_alone_while_anything_is_left(
    quota: SharedMemoryQuota, make_key, demand: MakeDemand
) -> None:
    key = make_key(usd=0.03, period="lifetime")
    for _ in range(3):
        grant = await quota.acquire(demand(key, usd=100))
        with pytest.raises(BudgetExceeded):
            await quota.acquire(demand(key, usd=100))
        quota.settle(grant, 1, CENT)
    with pytest.raises(BudgetExceeded):
        await quota.acquire(demand(key, usd=100))


async def test_an_unanswered_call_gives_its_reservation_back(
    quota: SharedMemoryQuota, make_key, demand: MakeDemand
) -> None:
    key = make_key(usd=0.02)
    for _ in range(20):
        quota.settle(await quota.acquire(demand(key, usd=0.02)), 0, 0)
    await quota.acquire(demand(key, usd=0.02))


async def test_the_message_says_how_much_until_when_and_what_to_do(
    quota: SharedMemoryQuota, clock: ManualClock, make_key, demand: MakeDemand
) -> None:
    clock.set(datetime(2026, 10, 24, 23, 0, tzinfo=ZoneInfo("Europe/Berlin")))
    key = make_key(usd=0.01)
    quota.settle(await quota.acquire(demand(key, timezone="Europe/Berlin")), 1, 12_500_000)
    with pytest.raises(BudgetExceeded) as refused:
        await quota.acquire(demand(key, timezone="Europe/Berlin"))
    message = refused.value.message
    assert "$0.0125 of its budget of $0.01 this day" in message
    assert "2026-10-24T22:00:00" in message
    assert "PATCH /admin/v1/keys/key" in message
    assert refused.value.headers == {"x-should-retry": "false", "Retry-After": "3600"}


async def test_a_new_day_begins_at_the_workspaces_midnight(
    quota: SharedMemoryQuota, clock: ManualClock, make_key, demand: MakeDemand
) -> None:
    clock.set(datetime(2026, 10, 25, 0, 30, tzinfo=ZoneInfo("Europe/Berlin")))  # this day has 25 hours
    asked = demand(make_key(usd=0.01), timezone="Europe/Berlin")
    quota.settle(await quota.acquire(asked), 1, CENT)
    clock.advance(24 * 3600)
    with pytest.raises(BudgetExceeded):
        await quota.acquire(asked)
    clock.advance(3600)
    await quota.acquire(asked)


async def test_what_a_call_cost_counts_in_the_period_in_which_it_ended(
    quota: SharedMemoryQuota, clock: ManualClock, make_key, demand: MakeDemand
) -> None:
    clock.set(datetime(2026, 11, 24, 23, 59, 59, tzinfo=ZoneInfo("UTC")))
    asked = demand(make_key(usd=0.01))
    grant = await quota.acquire(asked)
    clock.advance(2)
    quota.settle(grant, 1, CENT)
    with pytest.raises(BudgetExceeded):
        await quota.acquire(asked)


@pytest.mark.parametrize(("period", "days"), [("week", 6), ("month", 7)])
async def test_weeks_and_months_begin_anew(
    quota: SharedMemoryQuota, clock: ManualClock, make_key, demand: MakeDemand, period: str, days: int
) -> None:
    asked = demand(make_key(usd=0.01, period=period))  # the clock begins on Tuesday, 24 November
    quota.settle(await quota.acquire(asked), 1, CENT)
    clock.advance((days - 1) * 86400)
    with pytest.raises(BudgetExceeded):
        await quota.acquire(asked)
    clock.advance(86400)
    await quota.acquire(asked)


async def test_a_lifetime_never_begins_anew(
    quota: SharedMemoryQuota, clock: ManualClock, make_key, demand: MakeDemand
) -> None:
    asked = demand(make_key(usd=0.01, period="lifetime"))
    quota.settle(await quota.acquire(asked), 1, CENT)
    clock.advance(400 * 86400)
    with pytest.raises(BudgetExceeded) as refused:
        await quota.acquire(asked)
    assert "never resets" in refused.value.message


async def test_a_budget_of_nothing_lets_nothing_through(quota: SharedMemoryQuota, make_key, demand: MakeDemand) -> None:
    with pytest.raises(BudgetExceeded):
        await quota.acquire(demand(make_key(usd=0)))


Step = tuple[str, int, int]
_steps = st.lists(
    st.tuples(st.sampled_from(["call", "end"]), st.integers(0, 40), st.integers(0, 60)), min_size=1, max_size=80
)


@settings(max_examples=200)
@given(budget=st.integers(0, 100), steps=_steps)
def test_spending_never_passes_the_budget_by_more_than_the_settlement_errors(budget: int, steps: list[Step]) -> None:
    """`end` settles the oldest call with any cost; a call alone may be worth more than what is left."""
    terms = Terms(ApiKey(id="k", workspace_id="w", name="n", budget=Budget(period="day", usd_nano=budget)), "UTC")
    row, flights, error = [0] * WIDTH, [], 0
    for what, estimate, cost in steps:
        spent, reserved = row[SPENT], row[RESERVED]
        if what == "call":
            verdict = admit(row, terms, 0, estimate, 0)
            if isinstance(verdict, Refusal):
                assert spent + reserved + estimate > budget
                assert (row[SPENT], row[RESERVED]) == (spent, reserved)
                continue
            flights.append(estimate)
            # A call that went alone is an error of its own: the part of its estimate that did not fit.
            error += max(0, spent + reserved + estimate - budget) if spent < budget or estimate == 0 else 0
            assert spent + reserved + estimate <= budget or (reserved == 0 and spent < budget)
        elif flights:
            reserve = flights.pop(0)
            row[RESERVED] -= reserve
            row[ACTIVE] -= 1
            row[SPENT] += cost
            error += max(0, cost - reserve)
        assert row[SPENT] + row[RESERVED] <= budget + error
        assert row[RESERVED] == sum(flights)
        assert row[ACTIVE] == len(flights)


class TokenBucket:
    """A bucket as one would write it down: a level that refills with time. Units in 1/60 (one flows in each tick)."""

    def __init__(self, size: int) -> None:
        self.size, self.level, self.at = size * 60, size * 60, 0

    def refill(self, at: int, rate: int) -> None:
        self.level = min(self.size, self.level + (at - self.at) * rate)
        self.at = at


@settings(max_examples=200)
@given(
    rpm=st.integers(1, 20),
    burst=st.integers(1, 20),
    tpm=st.integers(1, 50).map(lambda number: number * 6),
    calls=st.lists(st.tuples(st.integers(0, 90), st.integers(0, 60), st.integers(0, 90)), max_size=60),
)
def test_rates_let_through_what_two_token_buckets_would(
    rpm: int, burst: int, tpm: int, calls: list[tuple[int, int, int]]
) -> None:
    """Each call: seconds since the one before, tokens estimated, tokens used. Bucket levels are in sixtieths."""
    limits = Limits(rpm=rpm, burst=burst, tpm=tpm)
    terms = Terms(ApiKey(id="k", workspace_id="w", name="n", limits=limits), "UTC")
    assert terms.tokens is not None
    requests, tokens = TokenBucket(burst), TokenBucket(tpm)
    row, at = [0] * WIDTH, 0
    for wait, estimate, used in calls:
        at += wait
        requests.refill(at, rpm)
        tokens.refill(at, tpm)
        charged = min(estimate, tpm)
        expected = requests.level >= 60 and tokens.level >= charged * 60
        verdict = admit(row, terms, estimate, 0, at * SECOND)
        # Steps are whole nanoseconds: at the very edge the two may differ by a rounding.
        if expected != isinstance(verdict, int):
            assert min(abs(requests.level - 60), abs(tokens.level - charged * 60)) == 0
            assert isinstance(verdict, int) or verdict.wait <= 2 * len(calls)
            return
        if expected:
            requests.level -= 60
            tokens.level = min(tokens.size, tokens.level - used * 60)
            row[TOKENS] += terms.tokens.span(used - charged)
            row[TOKENS] = max(row[TOKENS], 0)
    assert row[MINUTELY] >= 0
