"""Circuit breakers, one per upstream and model: who fails again and again is left alone, then tried with one call.

Closed: calls pass. Open: none does, until a cool-down is over. Half open: exactly one call, the probe, passes; its
success closes the breaker, its failure opens it again for twice as long.
"""

import random
from collections import OrderedDict

import msgspec

from cmg.kit.clock import Clock
from cmg.telemetry.instruments import Instruments

_SWEEP_S = 60.0


class BreakerRules(msgspec.Struct, frozen=True):
    """When to open, and for how long.

    Opens after `consecutive` failures, or when of at least `calls_min` calls in the last `window_s` to `2 * window_s`
    seconds `ratio` failed. Cool-downs double from `cooldown_s` to `cooldown_s_max`, each longer by a random share of
    up to `jitter`, so that workers do not probe in step. A probe that reports nothing is given up after `probe_s`.
    Who has not failed for `forget_s` is forgotten, open or not: nobody asks for it any more.
    """

    consecutive: int = 5
    ratio: float = 0.5
    calls_min: int = 20
    window_s: float = 15
    cooldown_s: float = 5
    cooldown_s_max: float = 120
    jitter: float = 0.2
    probe_s: float = 60
    forget_s: float = 900
    table_max: int = 1000


class _Breaker:
    """The state of one upstream and model; in the table only while there is a failure to remember."""

    __slots__ = ("before", "cooldown_s", "failed_at", "now", "open_until", "probe_until", "row", "since")

    def __init__(self, now: float, cooldown_s: float) -> None:
        self.row = 0  # failures since the last success
        self.failed_at = now
        self.since = now  # when the present window began
        self.now = [0, 0]  # successes, failures in the present window
        self.before = [0, 0]  # and in the one before
        self.open_until: float | None = None
        self.probe_until = 0.0
        self.cooldown_s = cooldown_s  # of the next opening

    def count(self, outcome: int, now: float, window_s: float) -> None:
        if now - self.since >= window_s:
            self.before = self.now if now - self.since < 2 * window_s else [0, 0]
            self.now, self.since = [0, 0], now
        self.now[outcome] += 1


class Breakers:
    """All breakers of this process. Nothing is kept of a model that does not fail; at `table_max` the oldest goes."""

    def __init__(
        self,
        clock: Clock,
        instruments: Instruments,
        rules: BreakerRules | None = None,
        chance: random.Random | None = None,
    ) -> None:
        self._clock, self._instruments, self._rules = clock, instruments, rules or BreakerRules()
        self._chance = chance or random.Random()  # noqa: S311 -- jitter, nothing secret
        self._table: OrderedDict[tuple[str, str], _Breaker] = OrderedDict()
        self._open: dict[str, int] = {}

    def allow(self, upstream: str, model: str) -> bool:
        """Whether a call may go there now. A True of a half-open breaker is the probe: report how it ended."""
        breaker = self._table.get((upstream, model))
        if breaker is None or breaker.open_until is None:
            return True
        now = self._clock.monotonic()
        if now < breaker.open_until or now < breaker.probe_until:
            return False
        breaker.probe_until = now + self._rules.probe_s
        return True

    def wait_s(self, upstream: str, model: str) -> float:
        """Seconds until the next call may pass: 0 when one may now."""
        breaker = self._table.get((upstream, model))
        if breaker is None or breaker.open_until is None:
            return 0.0
        return max(0.0, max(breaker.open_until, breaker.probe_until) - self._clock.monotonic())

    def success(self, upstream: str, model: str) -> None:
        """A call was answered well."""
        key = (upstream, model)
        breaker = self._table.get(key)
        if breaker is None:
            return
        now = self._clock.monotonic()
        if breaker.open_until is not None:
            if now >= breaker.open_until:  # before that it is a call that began before the breaker opened
                del self._table[key]
                self._moved(upstream, -1)
            return
        breaker.row = 0
        breaker.count(0, now, self._rules.window_s)
        if not breaker.now[1] and not breaker.before[1]:
            del self._table[key]

    def failure(self, upstream: str, model: str) -> None:
        """A call failed in a way that says something about the upstream: no answer, or 5xx; never a bad request."""
        rules, now = self._rules, self._clock.monotonic()
        breaker = self._table.get((upstream, model)) or self._new(upstream, model, now)
        breaker.failed_at = now
        self._table.move_to_end((upstream, model))
        if breaker.open_until is not None:
            if now >= breaker.open_until:
                self._trip(upstream, breaker, now, again=True)
            return
        breaker.row += 1
        breaker.count(1, now, rules.window_s)
        good, bad = (breaker.now[side] + breaker.before[side] for side in (0, 1))
        if breaker.row >= rules.consecutive or (good + bad >= rules.calls_min and bad >= rules.ratio * (good + bad)):
            self._trip(upstream, breaker, now, again=False)

    def abandoned(self, upstream: str, model: str, asked_at: float) -> None:
        """A call that was let through at a time ended without saying anything about the upstream.

        If it was the probe, another one may probe; who was let through before the probe says nothing about it.
        """
        breaker = self._table.get((upstream, model))
        if breaker is not None and asked_at >= breaker.probe_until - self._rules.probe_s:
            breaker.probe_until = 0.0

    async def run(self) -> None:
        """Sweep every minute until cancelled, so that the gauge tells of today."""
        while True:
            await self._clock.sleep(_SWEEP_S)
            self.sweep()

    def sweep(self) -> None:
        """Forget who has not failed for `forget_s`."""
        horizon = self._clock.monotonic() - self._rules.forget_s
        while self._table and next(iter(self._table.values())).failed_at < horizon:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        (upstream, _), oldest = self._table.popitem(last=False)
        if oldest.open_until is not None:
            self._moved(upstream, -1)

    def _new(self, upstream: str, model: str, now: float) -> _Breaker:
        if len(self._table) >= self._rules.table_max:
            self._forget_oldest()
        breaker = self._table[upstream, model] = _Breaker(now, self._rules.cooldown_s)
        return breaker

    def _trip(self, upstream: str, breaker: _Breaker, now: float, *, again: bool) -> None:
        breaker.open_until = now + breaker.cooldown_s * (1 + self._rules.jitter * self._chance.random())
        breaker.cooldown_s = min(2 * breaker.cooldown_s, self._rules.cooldown_s_max)
        breaker.probe_until = 0.0
        self._instruments.series("cmg_upstream_breaker_opened_total", upstream).inc()
        if not again:
            self._moved(upstream, 1)

    def _moved(self, upstream: str, by: int) -> None:
        self._open[upstream] = self._open.get(upstream, 0) + by
        self._instruments.series("cmg_upstream_breaker_open", upstream).set(self._open[upstream])
