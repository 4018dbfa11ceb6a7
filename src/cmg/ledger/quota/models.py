"""What a call asks for, what it is granted, and what a quota is."""

from collections.abc import Iterable
from typing import Protocol

import msgspec

from cmg.identity.models import ApiKey
from cmg.kit.asgi import Headers
from cmg.ledger.quota.periods import Starts
from cmg.ledger.quota.terms import Terms, rate_headers


class Demand(msgspec.Struct, frozen=True):
    """One call before it goes upstream: estimated `tokens` (prompt and completion) and cost in nano-USD.

    `timezone` is the workspace's: budget periods begin at its midnight.
    """

    key: ApiKey
    timezone: str
    tokens: int
    cost_nano: int


class Grant:
    """Permission for one call; give it back with `settle` exactly once. A key without limits gets `NOTHING`."""

    __slots__ = (
        "cost_nano", "given", "id", "life", "now", "own", "place", "remote", "settled", "tats", "terms", "tokens",
    )  # fmt: skip

    def __init__(self, terms: Terms, tokens: int, cost_nano: int, now: int, tats: tuple[int, int, int]) -> None:
        self.terms = terms
        self.tokens = tokens  # as charged: at most the bucket's size
        self.cost_nano = cost_nano  # as reserved
        self.now = now
        self.tats = tats  # the buckets' state after this call: per minute, per hour, tokens
        self.place = -1  # of the row in the machine's file
        self.id = ""  # of the lease in Redis
        self.remote = False  # Redis granted it; the row only counts it among the calls in flight
        self.own = False  # of a part of the budget that the machine gave itself, so Redis has not set it aside
        self.given = 0  # epoch µs, of a lease
        self.life = 0  # of the machine's part of the budget that paid for it
        self.settled = False

    @property
    def headers(self) -> Headers:
        """`x-ratelimit-{limit,remaining,reset}-{requests,tokens}` as of the grant, for the limits the key has."""
        return rate_headers(self.terms, self.tats, self.now)


NOTHING = Grant(Terms(ApiKey(id="", workspace_id="", name=""), "UTC"), 0, 0, 0, (0, 0, 0))


class Spent(msgspec.Struct, frozen=True):
    """What the ledger says a key has spent: nano-USD since the starts of its day, week, month, and ever."""

    key_id: str
    timezone: str
    starts: Starts
    nano: tuple[int, int, int, int]


class Seeder(Protocol):
    """Asks the ledger's table what a key has spent; may raise when the database is away."""

    async def __call__(self, key: ApiKey, starts: Starts, until: float) -> tuple[int, int, int, int]:
        """Nano-USD of the key's records with `start <= at < until`, for the starts of day, week, month, and ever.

        Times are epoch seconds; `at` is the record's own time (when the call ended).
        """
        ...


class Quota(Protocol):
    """Limits and budgets over every worker that shares the state."""

    async def acquire(self, demand: Demand) -> Grant:
        """Take one call's share of every limit of the key, or of none.

        Raises `RateLimited` (with `Retry-After`), `BudgetExceeded`, or `Unavailable` when the state cannot be
        had; a refused call consumes nothing.
        """
        ...

    def settle(self, grant: Grant, tokens: int, cost_nano: int) -> None:
        """Replace the estimate by what the call really took (0, 0 when nothing was used). Idempotent, never raises."""
        ...

    async def seed(self, spent: Iterable[Spent]) -> None:
        """Set what keys have spent before this state was made; keys that were seeded already stay as they are."""
        ...

    async def close(self) -> None:
        """Give resources back; grants in flight may still be settled, to no effect."""
        ...
