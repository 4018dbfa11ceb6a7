"""What kind of thing a question asks for, and whether a text holds one: a time, a number, a name, a plan, a reason.

Told by English words; a question of another language, or one that asks for something else, is of no kind.
"""

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

Likely = Callable[[str, int], float]
_LOOKED_AT = 200  # characters: what is longer, and no question, tells something
_TOKENS = 60  # a longer text holds names and numbers anyway: it counts the less
_MOST_TOKENS = 240
_WORD = re.compile(r"[a-z]+")
_ASKING = re.compile(r"[^.!?\n]+\?")


class Sought(NamedTuple):
    """A kind of answer: how a question asks for it; and what a text must hold, one of these words or this pattern."""

    asked: re.Pattern[str]
    words: frozenset[str]
    pattern: re.Pattern[str]


_AUXILIARIES = "am|are|can|could|did|do|does|had|has|have|is|may|might|must|shall|should|was|were|will|would"
_NAMED = """
    app artist author band book brand city club company country film friend game hotel instrument language location
    model movie musician painter park person place play player podcast restaurant school series shop show singer song
    state store street team title tool town trail university village website writer
"""
_TIMES = """
    yesterday today tonight tomorrow last next ago recently since just week weeks weekend month months year years day
    days morning evening monday tuesday wednesday thursday friday saturday sunday january february march april june july
    august september october november december
"""
_NUMBERS = """
    two three four five six seven eight nine ten eleven twelve dozen hundred thousand million once twice couple few
    several first second third
"""
_DONE = "been bought done found given gone got had made met read seen taken told tried won written"
_REASONS = "because cause inspired motivated need realized reason since so wanted wants"
_LIKINGS = """
    best enjoy enjoyed enjoying fan favorite favourite fun hobby like liked likes love loved loves passion passionate
    prefer preferred
"""
_PLANS = "going gonna plan plans planned planning hope hopes hoping want wants wanted will next thinking forward"
_TIME = Sought(
    re.compile(rf"\bwhen (?:{_AUXILIARIES})\b|\b(?:what|which) (?:day|date|month|week|weekday|year)\b", re.IGNORECASE),
    frozenset(_TIMES.split()),
    re.compile(r"\b\d{4}\b"),
)
_NUMBER = Sought(
    re.compile(r"\bhow (?:big|far|long|many|much|often|old|tall)\b", re.IGNORECASE),
    frozenset(_NUMBERS.split()),
    re.compile(r"\d"),
)
_NAME = Sought(
    re.compile(
        rf"^\W*(?:who|where|which)\b|\b(?:what|which) (?:\w+ )?(?:{'|'.join(_NAMED.split())})s?\b", re.IGNORECASE
    ),
    frozenset(),
    # A capital within a sentence that is no "I", or something in quotes.
    re.compile(r"(?<=[a-z,;] )(?!I\b)[A-Z][a-z]+|[\"\u201c][^\"\u201d]{2,}[\"\u201d]"),
)
_PLAN = Sought(
    re.compile(
        r"\b(?:dreams?|goals?|going to|plan(?:s|ned|ning)?)\b"
        r"|\b(?:how|what|where|who) will\b"
        r"|\b(?:do|does|did) (?:\w+ ){1,3}(?:hope|intend|want)\b",
        re.IGNORECASE,
    ),
    frozenset(_PLANS.split()),
    re.compile(r"'ll "),
)
_EXPERIENCE = Sought(  # what somebody has done was said with its time
    re.compile(rf"\bha(?:d|s|ve) (?:\w+(?:'s)? ){{1,4}}?(?:\w+ed|{'|'.join(_DONE.split())})\b", re.IGNORECASE),
    _TIME.words,
    _TIME.pattern,
)
_REASON = Sought(
    re.compile(r"^\W*why\b|\breasons?\b|\bmotivat|\binspire", re.IGNORECASE),
    frozenset(_REASONS.split()),
    re.compile(r"'cause\b"),
)
_LIKING = Sought(
    re.compile(
        r"\b(?:enjoys?|favou?rites?|hobb(?:y|ies)|interest(?:s|ed)|likes?|loves?|passionate|prefers?)\b", re.IGNORECASE
    ),
    frozenset(_LIKINGS.split()),
    re.compile(r"\binto\b"),
)
_KINDS = (_TIME, _NUMBER, _NAME, _PLAN, _EXPERIENCE, _REASON, _LIKING)


def holding(question: str, people: Iterable[str]) -> Likely | None:
    """What tells how much (up to 1) a text of so many tokens looks like the answer; None for a question of no kind.

    Names of the people who take part are no answers.
    """
    questions = _ASKING.findall(question[-10 * _LOOKED_AT :])
    text = questions[-1] if questions else question if len(question) <= _LOOKED_AT else ""
    sought = next((one for one in _KINDS if one.asked.search(text)), None)
    if sought is None:
        return None
    known = {word for name in people for word in name.split()}

    def likely(content: str, tokens: int) -> float:
        if tokens > _MOST_TOKENS:
            return 0.0
        held = bool(sought.words) and not sought.words.isdisjoint(_WORD.findall(content.lower()))
        if held or any(found[0] not in known for found in sought.pattern.finditer(content)):
            return min(1.0, _TOKENS / max(tokens, 1))
        return 0.0

    return likely
