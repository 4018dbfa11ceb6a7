"""This machine's part of a key's budget, for when the machines cannot ask each other: pure arithmetic on a row.

While Redis can be asked, it sets a part of what is left aside for each machine that the key is used on, and counts it
as promised. So what a machine grants from its part, Redis away or late, cannot be granted a second time elsewhere.
The two sides tell each other sums that only grow (`GIVEN` and `BACK`), so messages may be lost, repeated or overtaken.
"""

from typing import NamedTuple

from cmg.ledger.quota.admission import (
    BACK,
    FOR,
    GIVEN,
    HEARD,
    LIFE,
    PAID,
    SPENT,
    STARTS,
    share_left,
)
from cmg.ledger.quota.terms import SECOND, Terms

HOLD_S = 600.0  # a part whose machine was not heard of for so long is taken back
MARGIN_S = 30.0  # by so much earlier the machine stops using it
PARTS = 2  # all machines together have one of so many parts of what is left
_USABLE = int((HOLD_S - MARGIN_S) * SECOND)
OWN = -1  # the life of a part that the machine gave itself, because Redis never gave it one


class Told(NamedTuple):
    """What the machine tells of its part: which one it knows, and nano-USD that it has given back of it in all."""

    life: int
    back: int


class Part(NamedTuple):
    """What Redis tells of a machine's part.

    `life` tells this part from another that was lost. Sums over its life, in nano-USD: `given` to the machine (`raised`
    of it just now), `paid` for settled calls. `target`: what the part should be; -1: as it is. `asked`: when it was
    asked, monotonic ns.
    """

    life: int
    given: int
    paid: int
    raised: int
    target: int
    asked: int


class Answer(NamedTuple):
    """What Redis knows of a key: its buckets and its own clock (ns), what was spent, and for a budget the part."""

    granted: bool
    tats: tuple[int, int, int]
    now: int
    spent: tuple[int, int, int, int]
    part: Part | None


def hear(row: list[int], terms: Terms, heard: Part) -> None:
    """Take over what Redis set aside, and give back what is more than the target."""
    if heard.life < row[LIFE]:
        return
    if heard.life > row[LIFE]:
        # Nobody here knows what was used of what it was given before: that goes back.
        row[LIFE], row[GIVEN], row[PAID] = heard.life, heard.given, heard.paid
        row[BACK] = heard.given - heard.paid - heard.raised
    row[GIVEN] = max(row[GIVEN], heard.given)
    row[HEARD] = max(row[HEARD], heard.asked)
    row[FOR] = _start(row, terms)
    if heard.target >= 0:
        give_back(row, heard.target)


def give_back(row: list[int], keep: int = 0) -> None:
    """Use no more of the part than `keep` nano-USD from now on."""
    row[BACK] += max(0, share_left(row) - keep)


def usable(row: list[int], terms: Terms, now: int) -> bool:
    """Whether there is a part for the budget's present period that nobody can have taken back yet."""
    return row[LIFE] != 0 and row[FOR] == _start(row, terms) and now - row[HEARD] < _USABLE


def take_own(row: list[int], terms: Terms, now: int) -> None:
    """Take a part of what the row (seeded from the ledger) says is left."""
    assert terms.budget is not None
    row[LIFE], row[FOR], row[HEARD] = OWN, _start(row, terms), now
    row[GIVEN] = max(0, terms.budget - row[SPENT + terms.period]) // (PARTS * terms.share)
    row[PAID] = row[BACK] = 0


def _start(row: list[int], terms: Terms) -> int:
    return row[STARTS + terms.period] if terms.period < 3 else 0
