"""The order in which candidates are tried: how often each, after which pause, and when to give up."""

import random
from collections.abc import Callable, Sequence

from cmg.gateway.breaker import Breakers
from cmg.gateway.calls.failure import Failure
from cmg.gateway.routing.router import Candidate
from cmg.gateway.routing.upstreams import SIMULATOR
from cmg.kit.clock import Clock
from cmg.kit.errors import CmgError, Unavailable

ContextLengths = Callable[[str, str], int | None]  # (upstream, its name for the model) → tokens
_BACKOFF_S = 0.2
_BACKOFF_MAX_S = 4.0
_WAIT_ALONE_S = 10.0  # the longest Retry-After that is waited for when nobody else may answer
_WAIT_S = 1.0  # … and when somebody else may


class Ladder:
    """One call's attempts. `next()` gives who to ask, after its pause; `failed` and `answered` tell how it went.

    `contexts` tells how many tokens a model takes (None: unknown).
    """

    def __init__(
        self, candidates: Sequence[Candidate], breakers: Breakers, contexts: ContextLengths, clock: Clock
    ) -> None:
        self._left = list(candidates)
        self._breakers, self._contexts, self._clock = breakers, contexts, clock
        self._tries = 0
        self._asked_at = 0.0
        self._wait_s = 0.0
        self._opened_s: float | None = None  # the shortest wait for a breaker among those that were passed over
        self._current: Candidate | None = None
        self.attempts = 0
        self.last: Failure | None = None

    async def next(self) -> Candidate:
        """The next candidate to ask. Raises the error for the client when nobody is left."""
        if self._wait_s:
            await self._clock.sleep(self._wait_s)
            self._wait_s = 0.0
        while self._left:
            candidate = self._left[0]
            if self._breakers.allow(*candidate.place):
                self._asked_at = self._clock.monotonic()
                self.attempts += 1
                self._tries += 1
                self._current = candidate
                return candidate
            wait_s = self._breakers.wait_s(*candidate.place)
            self._opened_s = wait_s if self._opened_s is None else min(wait_s, self._opened_s)
            self._drop()
        raise self._error()

    def failed(self, failure: Failure) -> None:
        """The attempt failed. Raises the failure's error when no attempt may follow."""
        candidate = self._settle(failure)
        self.last = failure
        if failure.verdict == "stop":
            raise failure.error
        others = len(self._left) > 1
        again = failure.verdict == "again" and self._tries <= candidate.upstream.retries
        if failure.silent and others:
            again = False
        told_s = failure.retry_after_s
        if failure.retry_at is not None:
            told_s = max(0.0, failure.retry_at - self._clock.time())
        if again and told_s is not None:
            again = told_s <= (_WAIT_S if others else _WAIT_ALONE_S)
        if again:
            self._wait_s = told_s or _pause(self._tries)
        else:
            self._drop()
        if failure.verdict == "larger":
            self._keep_larger(candidate)

    def leave(self, failure: Failure) -> None:
        """The attempt failed after something had reached the client: this candidate is not asked again."""
        self._settle(failure)
        self.last = failure
        self._drop()

    def answered(self) -> None:
        """The attempt was answered well."""
        if self._current is not None:
            self._breakers.success(*self._current.place)
            self._current = None

    def abandoned(self) -> None:
        """The call ended for a reason of ours or the client's, which says nothing about the upstream."""
        if self._current is not None:
            self._breakers.abandoned(*self._current.place, self._asked_at)
            self._current = None

    @property
    def exhausted(self) -> bool:
        """Whether nobody is left to ask."""
        return not self._left

    def _settle(self, failure: Failure) -> Candidate:
        candidate = self._current
        assert candidate is not None
        if failure.sick and candidate.upstream.name != SIMULATOR:  # it fails on purpose
            self._breakers.failure(*candidate.place)
        else:
            self._breakers.abandoned(*candidate.place, self._asked_at)
        self._current = None
        return candidate

    def _drop(self) -> None:
        self._left.pop(0)
        self._tries = 0

    def _keep_larger(self, failed: Candidate) -> None:
        """Leave those known to take more than the one that was too small; all of them when nothing is known of it."""
        length, self._opened_s = self._contexts(*failed.place), None
        if length is not None:
            self._left = [one for one in self._left if (self._contexts(*one.place) or 0) > length]

    def _error(self) -> CmgError:
        larger_later = self._opened_s is not None and self.last is not None and self.last.verdict == "larger"
        if self.last is not None and not larger_later:
            return self.last.error
        wait_s = max(1, round(self._opened_s or 1))
        return Unavailable(
            "every upstream for this model failed a moment ago and is left alone for a while; try again later",
            code="circuit_open",
            headers={"retry-after": str(wait_s)},
        )


def _pause(tries: int) -> float:
    """Full jitter (uniform between 0 and the doubled base), but never nothing."""
    ceiling: float = min(_BACKOFF_MAX_S, _BACKOFF_S * 2 ** (tries - 1))
    return 0.02 + random.random() * ceiling  # noqa: S311  spreads load, hides nothing
