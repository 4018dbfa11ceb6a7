"""The decision whether a call may go: checks everything, then takes everything, on one key's row of numbers.

Pure arithmetic; the caller holds the row's lock. Times in a row are nanoseconds of the machine's monotonic clock.
"""

import math

from cmg.kit.clock import rfc3339
from cmg.kit.errors import BudgetExceeded, CmgError, RateLimited
from cmg.kit.money import nano_to_usd
from cmg.ledger.quota.periods import PERIODS, Starts, period_end
from cmg.ledger.quota.terms import SECOND, Terms, rate_headers

# Fields of a row, each a signed 64-bit number.
DIGEST, DIGEST_2 = 0, 1
USED = 2  # when the row was last touched
SEEDED = 3  # 1: the spending holds what the ledger knew before the row was made
MARK = 4  # epoch µs when seeding began; what ended before it comes from the ledger, the rest is added here
ZONE = 5
MINUTELY, HOURLY, TOKENS = 6, 7, 8  # the buckets' theoretical arrival times
ACTIVE, RESERVED = 9, 10  # calls in flight, and the nano-USD reserved for them: sums of the workers' columns
STARTS = 11  # 11..13: epoch seconds of the day, week and month that are being counted
SPENT = 14  # 14..17: nano-USD of day, week, month, lifetime
# This machine's part of the budget, see `share`: which one; nano-USD given in its life, paid and given back of it;
# when Redis told of it; start of the period that it is for.
LIFE, GIVEN, PAID, BACK, HEARD, FOR = 18, 19, 20, 21, 22, 23
WIDTH = 24


class Refusal:
    """Why a call may not go: `reason` is the metric's label, `wait` nanoseconds until it is worth another try."""

    __slots__ = ("limit", "now", "reason", "spent", "tats", "wait")

    def __init__(self, reason: str, wait: int, limit: str, spent: int = 0) -> None:
        self.reason = reason
        self.wait = wait
        self.limit = limit
        self.spent = spent
        self.now, self.tats = 0, (0, 0, 0)  # the buckets as they were, for the headers


def roll(row: list[int], now: Starts) -> bool:
    """Begin the periods that have begun since the row was written; True when the row changed.

    A clock that is a little behind never goes back to the period before.
    """
    changed = False
    for period in range(3):
        start = int(now[period])
        if start > row[STARTS + period]:
            row[STARTS + period] = start
            row[SPENT + period] = 0
            changed = True
    return changed


def admit(row: list[int], terms: Terms, tokens: int, cost_nano: int, now: int) -> Refusal | int:
    """Take one call's share of every limit, and return the tokens charged; or change nothing and say why not.

    A call that is larger than the token bucket is charged the whole bucket now and the rest when it is settled.
    """
    if terms.concurrency is not None and row[ACTIVE] >= terms.concurrency:
        return Refusal("concurrency", SECOND, f"{terms.key.limits.concurrency} concurrent requests")
    minutely, hourly, bucket = row[MINUTELY], row[HOURLY], row[TOKENS]
    wait, name = 0, ""
    if terms.minutely is not None:
        minutely = max(minutely, now) + terms.minutely.step
        wait = minutely - now - terms.minutely.full
        name = "minutely"
    if terms.hourly is not None:
        hourly = max(hourly, now) + terms.hourly.step
        over = hourly - now - terms.hourly.full
        if over > wait:
            wait, name = over, "hourly"
    if terms.tokens is not None:
        tokens = min(tokens, terms.tokens.size)
        bucket = max(bucket, now) + terms.tokens.span(tokens)
        over = bucket - now - terms.tokens.full
        if over > wait:
            wait, name = over, "tokens"
    if wait > 0:
        return too_fast(terms, name, wait)
    if terms.budget is not None:
        refusal = _over_budget(row, terms, cost_nano)
        if refusal is not None:
            return refusal
    row[MINUTELY], row[HOURLY], row[TOKENS] = minutely, hourly, bucket
    row[ACTIVE] += 1
    row[RESERVED] += cost_nano
    return tokens


def too_fast(terms: Terms, name: str, wait: int) -> Refusal:
    """The refusal of one of the buckets `minutely`, `hourly`, `tokens`."""
    limits = terms.key.limits
    if name == "minutely":
        return Refusal("requests", wait, f"{limits.rpm} requests per minute")
    if name == "hourly":
        return Refusal("requests", wait, f"{limits.rph} requests per hour")
    return Refusal("tokens", wait, f"{limits.tpm} tokens per minute")


def _over_budget(row: list[int], terms: Terms, cost_nano: int) -> Refusal | None:
    """Spent, promised and asked for must fit; but one call alone may go while anything is left.

    Without that exception a budget smaller than one call's estimate (an answer of `max_tokens`) could never be used.
    A machine that cannot ask the others does not know whether a call is alone: there it must fit the machine's part.
    """
    assert terms.budget is not None
    spent, reserved, budget = row[SPENT + terms.period], row[RESERVED], terms.budget
    fits = spent + reserved + cost_nano <= budget
    if fits and (not terms.share or cost_nano <= share_left(row)):
        return None
    if not terms.share and reserved == 0 and spent < budget:
        return None
    return Refusal("budget", SECOND if spent < budget else 0, "", spent)


def share_left(row: list[int]) -> int:
    """Nano-USD that calls may still reserve of this machine's part of the budget."""
    return row[GIVEN] - row[PAID] - row[BACK] - row[RESERVED]


def error_of(refusal: Refusal, terms: Terms, at: float) -> CmgError:
    """The error that tells the caller. `at`: epoch seconds, for the end of a budget's period."""
    if refusal.reason == "budget":
        return _budget_error(refusal, terms, at)
    seconds = max(1, math.ceil(refusal.wait / SECOND))
    headers = {name.decode(): value.decode() for name, value in rate_headers(terms, refusal.tats, refusal.now)}
    return RateLimited(
        f"API key {terms.key.id} is at its limit of {refusal.limit}; try again in {seconds} s,"
        " or raise the key's `limits`",
        code=f"{refusal.reason}_limit_exceeded",
        headers={"Retry-After": str(seconds), **headers},
    )


def _budget_error(refusal: Refusal, terms: Terms, at: float) -> BudgetExceeded:
    assert terms.budget is not None
    period, key = PERIODS[terms.period], terms.key.id
    end = period_end(period, terms.timezone, at)
    of = "in all" if period == "lifetime" else f"this {period}"
    spent = f"API key {key} has spent {_usd(refusal.spent)} of its budget of {_usd(terms.budget)} {of}"
    change = f"raise `budget.usd` with PATCH /admin/v1/keys/{key}"
    if refusal.wait:
        message = f"{spent}, and the rest is promised to calls in flight; try again when they have ended, or {change}"
        return BudgetExceeded(message, headers={"Retry-After": "1"})
    # OpenAI's clients retry every 429 unless told not to, and this one will not go away by waiting a moment.
    headers = {"x-should-retry": "false"}
    if math.isinf(end):
        return BudgetExceeded(f"{spent}, and that never resets; {change}", headers=headers)
    headers["Retry-After"] = str(max(1, math.ceil(end - at)))
    return BudgetExceeded(f"{spent}; it begins anew at {rfc3339(end)}; to go on now, {change}", headers=headers)


def _usd(nano: int) -> str:
    return f"${nano_to_usd(nano):.6f}".rstrip("0").rstrip(".")
