"""A key's limits in the form that admission calculates with, and what is left of them as response headers.

Rates are GCRA (ITU-T I.371, generic cell rate algorithm; the same as a token bucket): one number a bucket, the
theoretical arrival time `tat` in nanoseconds. A bucket holds `burst` units (default: the limit) and refills evenly.
"""

from hashlib import blake2b
from struct import unpack
from zlib import crc32

from cmg.identity.models import ApiKey
from cmg.kit.asgi import Headers
from cmg.ledger.quota.periods import PERIODS

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 3600 * SECOND


class Bucket:
    """`limit` units per `window` ns, of which `size` may come at once."""

    __slots__ = ("full", "limit", "size", "step", "told", "window")

    def __init__(self, limit: int, window: int, size: int, share: int = 1) -> None:
        self.limit = limit
        self.told = b"%d" % limit
        self.window = window * share  # one machine of `share` refills that much slower
        self.size = max(1, size // share) if limit else 0
        self.step = self.span(1)
        self.full = self.span(self.size) if limit else -1  # a limit of 0 lets nothing through

    def span(self, units: int) -> int:
        """Nanoseconds in which that many units (also negative) flow in."""
        return units * self.window // (self.limit or 1)

    def left(self, tat: int, now: int) -> int:
        """Units that may come at once now, never negative."""
        if tat <= now:
            return self.size
        return max(0, (self.full - tat + now) * self.limit // self.window)


class Terms:
    """One key's limits, ready to calculate with.

    `share` > 0: this is one of so many machines that cannot ask each other. It may use that part of each rate, and of
    the budget what was set aside for it (see `share`).
    """

    __slots__ = (
        "budget",
        "concurrency",
        "digest",
        "empty",
        "hourly",
        "key",
        "minutely",
        "period",
        "share",
        "timezone",
        "tokens",
        "zone",
    )

    def __init__(self, key: ApiKey, timezone: str, share: int = 0) -> None:
        limits, budget = key.limits, key.budget
        self.key = key
        self.timezone = timezone
        self.share = share
        burst, part = limits.burst, max(1, share)
        self.minutely = self.hourly = self.tokens = None
        if limits.rpm is not None:
            self.minutely = Bucket(limits.rpm, MINUTE, limits.rpm if burst is None else burst, part)
            burst = None  # it bounds the shortest window
        if limits.rph is not None:
            self.hourly = Bucket(limits.rph, HOUR, limits.rph if burst is None else burst, part)
        if limits.tpm is not None:
            self.tokens = Bucket(limits.tpm, MINUTE, limits.tpm, part)
        calls = limits.concurrency
        self.concurrency = None if calls is None else max(min(calls, 1), calls // part)
        self.budget = None if budget is None else budget.usd_nano
        self.period = -1 if budget is None else PERIODS.index(budget.period)
        bounds = (self.minutely, self.hourly, self.tokens, self.concurrency, self.budget)
        self.empty = all(bound is None for bound in bounds)
        self.digest: tuple[int, int] = (0, 0) if self.empty else digest_of(key.id)
        self.zone = zone_of(timezone)


def digest_of(key_id: str) -> tuple[int, int]:
    """What a key is found by in the shared file: 128 bits as two signed 64-bit numbers, never (0, 0)."""
    first, second = unpack("<qq", blake2b(key_id.encode(), digest_size=16).digest())
    return first, second or 1


def zone_of(timezone: str) -> int:
    """A number for a time zone's name, to notice that a workspace moved to another."""
    return crc32(timezone.encode())


class TermsCache:
    """Terms by key id, made anew when the key or its time zone changes; bounded."""

    def __init__(self, share: int = 0, limit: int = 200_000) -> None:
        self._share, self._limit = share, limit
        self._known: dict[str, Terms] = {}

    def of(self, key: ApiKey, timezone: str) -> Terms:
        """The terms of this version of the key."""
        known = self._known.get(key.id)
        if known is not None and known.key is key and known.timezone == timezone:
            return known
        if len(self._known) >= self._limit:
            self._known.clear()
        self._known[key.id] = made = Terms(key, timezone, self._share)
        return made


def rate_headers(terms: Terms, tats: tuple[int, int, int], now: int) -> Headers:
    """What is left. With limits per minute and per hour, the one with less left is told."""
    headers: Headers = []
    requests, tat = terms.minutely, tats[0]
    hourly = terms.hourly
    if hourly is not None and (requests is None or hourly.left(tats[1], now) < requests.left(tat, now)):
        requests, tat = hourly, tats[1]
    if requests is not None:
        headers += (
            (b"x-ratelimit-limit-requests", requests.told),
            (b"x-ratelimit-remaining-requests", b"%d" % requests.left(tat, now)),
            (b"x-ratelimit-reset-requests", duration(max(0, tat - now))),
        )
    if terms.tokens is not None:
        tat = tats[2]
        headers += (
            (b"x-ratelimit-limit-tokens", terms.tokens.told),
            (b"x-ratelimit-remaining-tokens", b"%d" % terms.tokens.left(tat, now)),
            (b"x-ratelimit-reset-tokens", duration(max(0, tat - now))),
        )
    return headers


def duration(nanoseconds: int) -> bytes:
    """A duration as OpenAI writes it in these headers: `12ms`, `6s`, `6m0s`, `1h2m3s`."""
    if nanoseconds < SECOND:
        return b"%dms" % -(-nanoseconds // 1_000_000)
    seconds = -(-nanoseconds // SECOND)
    if seconds < 60:
        return b"%ds" % seconds
    hours, minutes, rest = seconds // 3600, seconds // 60 % 60, seconds % 60
    return b"%dh%dm%ds" % (hours, minutes, rest) if hours else b"%dm%ds" % (minutes, rest)
