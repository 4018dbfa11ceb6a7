"""How much an item matters, from 0 to 1: what it was judged, how often it is said and used, and how old it is."""

from datetime import datetime
from math import log2

import msgspec

_PER_DOUBLED_MENTION = 0.1
_PER_DOUBLED_USE = 0.05
_PER_FEEDBACK = 0.05
_OLD_SHARE = 0.5  # what is left of the strength of something very old: age lowers, it never hides
_DAY_S = 86_400


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """What salience is made of. `feedback` is -10 to 10; `touched_at` is when it was last said or used."""

    importance: float
    mentions: int
    uses: int
    feedback: float
    touched_at: datetime


class Salience(msgspec.Struct, frozen=True, kw_only=True):
    """A salience and its parts: `(importance + mentions + uses + feedback, held to 0..1) * age`."""

    salience: float
    importance: float
    mentions: float
    uses: float
    feedback: float
    age: float


def salience(weights: Weights, now: datetime, half_life_days: float) -> Salience:
    """The salience at a moment.

    Each doubling of mentions adds 0.1, of uses (plus one) 0.05, each point of feedback 0.05, so that a single judgement
    never hides an item. Age takes up to half, half of that per half-life since it was last said or used; a half-life
    of 0 switches ageing off.
    """
    mentions = _PER_DOUBLED_MENTION * log2(max(1, weights.mentions))
    uses = _PER_DOUBLED_USE * log2(1 + max(0, weights.uses))
    feedback = _PER_FEEDBACK * weights.feedback
    age = 1.0
    if half_life_days > 0:
        days = max(0.0, (now - weights.touched_at).total_seconds() / _DAY_S)
        age = _OLD_SHARE + (1 - _OLD_SHARE) * 0.5 ** (days / half_life_days)
    strength = min(1.0, max(0.0, weights.importance + mentions + uses + feedback))
    return Salience(
        salience=round(strength * age, 4),
        importance=weights.importance,
        mentions=mentions,
        uses=uses,
        feedback=feedback,
        age=age,
    )
