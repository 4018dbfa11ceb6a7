"""What one worker does with the rows of the shared file; each step under the row's lock."""

from cmg.kit.clock import Clock
from cmg.ledger.quota import share
from cmg.ledger.quota.admission import (
    ACTIVE,
    BACK,
    DIGEST,
    FOR,
    HOURLY,
    LIFE,
    MARK,
    MINUTELY,
    PAID,
    RESERVED,
    SEEDED,
    SPENT,
    STARTS,
    TOKENS,
    USED,
    WIDTH,
    ZONE,
    Refusal,
    admit,
    roll,
)
from cmg.ledger.quota.models import Grant
from cmg.ledger.quota.periods import Starts
from cmg.ledger.quota.share import Answer, Told
from cmg.ledger.quota.table import Table
from cmg.ledger.quota.terms import SECOND, Terms
from cmg.telemetry.instruments import Child

_IDLE = 600 * SECOND  # a key that was not used for so long may lose its row when the table is full
MARK_TTL_US = 3_000_000  # whoever marked a row for seeding longer ago than this is gone
_MAX_KNOWN = 200_000
_MOST = 2**62  # nano-USD that a row counts to; beyond, no budget could be larger

Nano = tuple[int, int, int, int]


class Rows:
    """The rows as one worker sees them, and a gauge that tells how many there are.

    `ask_ledger`: what a key has spent comes from the ledger, so that rows with spending may be evicted.
    """

    def __init__(self, table: Table, worker: int, clock: Clock, gauge: Child, *, ask_ledger: bool) -> None:
        self._table = table
        self._words = table.words
        self._column = WIDTH + 2 * worker
        self._clock = clock
        self._ask_ledger = ask_ledger
        self._known: dict[str, int] = {}
        self._gauge = gauge
        gauge.set(table.used)

    def try_admit(self, terms: Terms, tokens: int, cost_nano: int, periods: Starts) -> Grant | Refusal | None:
        """A grant or a refusal; None when the key's spending must be seeded first. Raises `TableFull`."""
        now = int(self._clock.monotonic() * SECOND)
        words = self._words
        offset, row = self._locked(terms.key.id, terms.digest, terms.zone, periods)
        try:
            if periods[0] > row[STARTS] and roll(row, periods):
                self._write_spent(offset, row)
            if terms.budget is not None and not self._ready(offset, row, terms, now):
                return None
            verdict = admit(row, terms, tokens, cost_nano, now)
            if isinstance(verdict, int):
                words[offset + USED] = now
                words[offset + MINUTELY] = row[MINUTELY]
                words[offset + HOURLY] = row[HOURLY]
                words[offset + TOKENS] = row[TOKENS]
                column = offset + self._column
                words[column] += 1
                words[column + 1] += cost_nano
                words[offset + ACTIVE] = row[ACTIVE]
                words[offset + RESERVED] = row[RESERVED]
        finally:
            self._table.unlock(offset)
        tats = (row[MINUTELY], row[HOURLY], row[TOKENS])
        if not isinstance(verdict, int):
            verdict.tats, verdict.now = tats, now
            return verdict
        grant = Grant(terms, verdict, cost_nano, now, tats)
        grant.place, grant.own = offset, bool(terms.share) and row[LIFE] == share.OWN
        return grant

    def settle(self, grant: Grant, tokens: int, cost_nano: int, periods: Starts) -> None:
        """Give back a grant's call and reservation, add what it cost, and correct the token bucket."""
        words, offset, terms = self._words, grant.place, grant.terms
        self._table.lock(offset)
        try:
            row = words[offset : offset + WIDTH].tolist()
            if row[DIGEST] != terms.digest[0] or row[DIGEST + 1] != terms.digest[1]:
                return
            if cost_nano:
                # First: a worker killed between two of these writes leaves a reservation, which goes with it.
                if periods[0] > row[STARTS] and roll(row, periods):
                    self._write_spent(offset, row)
                spent = offset + SPENT
                words[spent] = min(row[SPENT] + cost_nano, _MOST)
                words[spent + 1] = min(row[SPENT + 1] + cost_nano, _MOST)
                words[spent + 2] = min(row[SPENT + 2] + cost_nano, _MOST)
                words[spent + 3] = min(row[SPENT + 3] + cost_nano, _MOST)
                if terms.share:
                    words[offset + PAID], grant.life = row[PAID] + cost_nano, row[LIFE]
            if terms.tokens is not None and tokens != grant.tokens:
                words[offset + TOKENS] = row[TOKENS] + terms.tokens.span(tokens - grant.tokens)
            column = offset + self._column
            calls, held = words[column], words[column + 1]
            freed = 0 if grant.remote else min(held, grant.cost_nano)
            if calls:
                words[column], words[column + 1] = calls - 1, held - freed
                words[offset + ACTIVE] = row[ACTIVE] - 1
                words[offset + RESERVED] = row[RESERVED] - freed
        finally:
            self._table.unlock(offset)

    def begin_seeding(self, terms: Terms, periods: Starts, mark: int) -> int | None:
        """Mark a row for seeding: from now on only what ends after `mark` (epoch µs) is added to it.

        Returns `mark`, or a negative number while another worker is at it, or None when nothing is to do.
        """
        offset, row = self._locked(terms.key.id, terms.digest, terms.zone, periods)
        try:
            if row[SEEDED] and row[ZONE] == terms.zone:
                return None
            if not row[SEEDED] and row[MARK] and mark - row[MARK] < MARK_TTL_US:
                return -row[MARK]
            row[STARTS : STARTS + 3] = [int(start) for start in periods[:3]]
            row[SPENT : SPENT + 4] = [0, 0, 0, 0]
            self._words[offset + SEEDED] = 0
            self._write_spent(offset, row)
            self._words[offset + MARK], self._words[offset + ZONE] = mark, terms.zone
            return mark
        finally:
            self._table.unlock(offset)

    def add_seed(self, terms: Terms, periods: Starts, mark: int, nano: Nano) -> bool:
        """Add what the ledger knew, to the periods that still run; False when the mark is not ours any more."""
        offset, row = self._locked(terms.key.id, terms.digest, terms.zone, periods)
        try:
            if row[MARK] != mark:
                return False
            for period in range(4):
                if period == 3 or row[STARTS + period] == int(periods[period]):
                    row[SPENT + period] += nano[period]
            self._write_spent(offset, row)
            self._words[offset + SEEDED] = 1
            return True
        finally:
            self._table.unlock(offset)

    def end_seeding(self, terms: Terms, periods: Starts, mark: int) -> None:
        """Take a mark back that led to nothing, so that the next call can try at once."""
        offset, row = self._locked(terms.key.id, terms.digest, terms.zone, periods)
        if row[MARK] == mark and not row[SEEDED]:
            self._words[offset + MARK] = 0
        self._table.unlock(offset)

    def tell(self, terms: Terms, periods: Starts, *, give_back: bool) -> Told:
        """What Redis is to know of this machine's part of the budget; `give_back`: the machine wants none of it."""
        offset, row = self._locked(terms.key.id, terms.digest, terms.zone, periods)
        try:
            if give_back and row[LIFE] > 0:
                share.give_back(row)
                self._words[offset + BACK] = row[BACK]
            return Told(row[LIFE], row[BACK])
        finally:
            self._table.unlock(offset)

    def hear(self, terms: Terms, periods: Starts, answer: Answer) -> int:
        """Write what Redis knows, for when it cannot be asked; returns the row's offset."""
        words, now = self._words, int(self._clock.monotonic() * SECOND)
        offset, row = self._locked(terms.key.id, terms.digest, terms.zone, periods)
        try:
            # A part of a bucket has that part of its size and flow, so it is as far ahead of now as the whole.
            words[offset + MINUTELY], words[offset + HOURLY], words[offset + TOKENS] = (
                now + tat - answer.now for tat in answer.tats
            )
            words[offset + USED] = now
            if answer.granted:
                words[offset + self._column] += 1
                words[offset + ACTIVE] = row[ACTIVE] + 1
            if answer.part is not None:
                row[STARTS : STARTS + 3] = [int(start) for start in periods[:3]]
                row[SPENT : SPENT + 4] = answer.spent
                self._write_spent(offset, row)
                words[offset + SEEDED], words[offset + ZONE], words[offset + MARK] = 1, terms.zone, 0
                share.hear(row, terms, answer.part)
                self._write_share(offset, row)
            return offset
        finally:
            self._table.unlock(offset)

    def seed_new(self, key_id: str, digest: tuple[int, int], zone: int, periods: Starts, nano: Nano) -> None:
        """Set the spending of a key whose row is new; one that was seeded already stays as it is."""
        offset, row = self._locked(key_id, digest, zone, periods)
        try:
            if not row[SEEDED]:
                row[SPENT : SPENT + 4] = nano
                self._write_spent(offset, row)
                self._words[offset + SEEDED] = 1
        finally:
            self._table.unlock(offset)

    def _locked(self, key_id: str, digest: tuple[int, int], zone: int, periods: Starts) -> tuple[int, list[int]]:
        """The offset and the numbers of the key's row, locked; made when there is none."""
        while True:
            offset = self._known.get(key_id)
            if offset is None:
                offset = self._make(key_id, digest, zone, periods)
            self._table.lock(offset)
            row: list[int] = self._words[offset : offset + WIDTH].tolist()
            if row[DIGEST] == digest[0] and row[DIGEST + 1] == digest[1]:
                return offset, row
            self._table.unlock(offset)  # it was idle, and given to another key
            del self._known[key_id]

    def _make(self, key_id: str, digest: tuple[int, int], zone: int, periods: Starts) -> int:
        fresh = [0] * WIDTH
        fresh[USED] = now = int(self._clock.monotonic() * SECOND)
        fresh[ZONE] = zone
        fresh[STARTS : STARTS + 3] = [int(start) for start in periods[:3]]
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        self._known[key_id] = offset = self._table.take(digest, fresh, now - _IDLE, forget_spent=self._ask_ledger)
        self._gauge.set(self._table.used)
        return offset

    def _write_spent(self, offset: int, row: list[int]) -> None:
        words = self._words
        for field in range(STARTS, SPENT + 4):
            words[offset + field] = row[field]

    def _write_share(self, offset: int, row: list[int]) -> None:
        words = self._words
        for field in range(LIFE, FOR + 1):
            words[offset + field] = row[field]

    def _ready(self, offset: int, row: list[int], terms: Terms, now: int) -> bool:
        """False when a key's budget can only be used after its spending was read from the ledger."""
        if terms.share and not share.usable(row, terms, now):
            if row[LIFE]:  # what other machines have spent since is for the ledger to tell
                self._words[offset + LIFE] = row[LIFE] = 0
                if self._ask_ledger:
                    self._words[offset + SEEDED] = self._words[offset + MARK] = row[SEEDED] = 0
            if row[SEEDED] or not self._ask_ledger:
                share.take_own(row, terms, now)
                self._write_share(offset, row)
        return not self._ask_ledger or bool(row[SEEDED] and row[ZONE] == terms.zone)
