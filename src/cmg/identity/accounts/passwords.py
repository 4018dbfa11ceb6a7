"""Passwords: argon2id, computed in threads, a few at a time; and which ones are taken at all."""

import asyncio
import unicodedata
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from cmg.identity.forms.text import wrong
from cmg.kit.errors import Unavailable
from cmg.kit.ids import secret
from cmg.telemetry.instruments import Instruments

LENGTH_MAX = 256
_AT_ONCE = 2
_WAITING_MAX = 32
# Guesses that a password must withstand by zxcvbn's estimate (Wheeler, USENIX Security 2016): leaked passwords, words,
# names, dates and keyboard walks, alone and with the usual changes, need fewer.
_GUESSES_MIN = 1e10
_JUDGED_MAX = 72  # zxcvbn's time grows with the length; what is longer than this is judged by its beginning

T = TypeVar("T")


class Passwords:
    """OWASP's parameters for argon2id: 19 MiB, two passes, one lane. Two run at once, 32 may wait, others get 503.

    `length_min` is the shortest that is taken for a new password.
    """

    def __init__(self, instruments: Instruments, length_min: int) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
        self._threads = ThreadPoolExecutor(_AT_ONCE, "passwords")
        self._running = 0
        self._refused = instruments.series("cmg_password_checks_refused_total")
        self._length_min = length_min
        self._nobodys: str | None = None

    async def hash(self, password: str) -> str:
        """The hash to keep."""
        return await self._apart(self._hasher.hash, _normal(password))

    async def matches(self, hashed: str | None, password: str) -> bool:
        """Whether the password is the one that was hashed. None takes as long, and is False."""
        return await self._apart(self._verify, hashed, _normal(password))

    def outdated(self, hashed: str) -> bool:
        """Whether it was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(hashed)

    async def check_new(self, password: str, field: str, known: Sequence[str] = ()) -> None:
        """Raise `InvalidRequest` for a new password that is short, long, leaked, or easy to guess.

        `known` are words that anybody would try for this person: the address, the name. There are no rules on which
        characters it holds: they make passwords worse (NIST SP 800-63B).
        """
        if len(password) < self._length_min:
            raise wrong(field, f"must have at least {self._length_min} characters; a few unrelated words are good")
        if len(password) > LENGTH_MAX:
            raise wrong(field, f"may have {LENGTH_MAX} characters at most")
        if any(unicodedata.category(one) in {"Cc", "Cs"} for one in password):
            raise wrong(field, "holds a control character or a broken one; leave it away")
        words = [part for one in known for part in (one, *one.replace("@", " ").replace(".", " ").split())]
        if await self._apart(_guesses, _normal(password), words) < _GUESSES_MIN:
            raise wrong(field, "is among leaked passwords or close to one, or easily guessed; take unrelated words")

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _verify(self, hashed: str | None, password: str) -> bool:
        if self._nobodys is None:
            self._nobodys = self._hasher.hash(secret())
        try:
            return self._hasher.verify(hashed or self._nobodys, password) and hashed is not None
        except (VerificationError, InvalidHashError):
            return False

    async def _apart(self, work: Callable[..., T], *given: Any) -> T:
        if self._running >= _AT_ONCE + _WAITING_MAX:
            self._refused.inc()
            raise Unavailable("too many passwords are being checked; try again", headers={"retry-after": "2"})
        self._running += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *given)
        finally:
            self._running -= 1


def _normal(password: str) -> str:
    """One form of what people see as the same; parts that cannot be encoded are replaced."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "replace").decode()


def _guesses(password: str, known: list[str]) -> float:
    from zxcvbn import zxcvbn  # noqa: PLC0415  its word lists take 15 MB, which only who chooses a password needs

    return float(zxcvbn(password[:_JUDGED_MAX], user_inputs=known)["guesses"])
