"""What a question asks for: its words, whom it names, which dates, and whose words it is after."""

import calendar
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain, groupby, pairwise, starmap
from typing import Literal, NamedTuple

from cmg.memory.models import Owner
from cmg.memory.text.terms import FUNCTION_WORDS, query_terms, salt, words

_CHARACTERS = 4000  # of a longer text the beginning and the end are the question
_TERMS = 48
_ASKED_AT_END = 600  # characters: what is longer tells before it asks
_PURPOSE_WEIGHT = 0.5
_NAME_CHARACTERS = 2  # a shorter word of a name stands for too much else
_MONTHS = tuple(calendar.month_name[number].lower() for number in range(1, 13))
_DAYS = tuple(calendar.day_name[number].lower() for number in range(7))
_AMBIGUOUS = frozenset({"may", "march"})  # months only beside a number
_YEAR = re.compile(r"(?:19|20)\d\d")
_DAY = re.compile(r"(?:[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?")
_FIRST_PERSON = frozenset({"i", "me", "my", "mine", "i'm", "i've", "i'd", "i'll", "we", "our", "us"})
_POLITE = frozenset({"can", "could", "do", "may", "will", "would"})  # `can you tell me` asks for nothing that was said
_HAVING = frozenset({"did", "had", "have"})
_SAYING_WORDS = """
    advise advised answer answered describe described explain explained gave give list listed mention mentioned propose
    proposed recommend recommended said say suggest suggested tell told
"""
_SAYING = frozenset(_SAYING_WORDS.split())
_OF_YOURS = frozenset({"", "by", "from", "in", "was", "were"})
_BEING = frozenset({"are", "if", "were", "when"})
_PAST = re.compile(r"\w+(?<!e)ed|chose|drew|made|showed|used|wrote")
_SAID_WORDS = "advice answer answers explanation list recommendation recommendations reply suggestion suggestions"
_SAID = frozenset(_SAID_WORDS.split())
_AUXILIARY_WORDS = "can could did do does had has have is may might must shall should was were will would"
_AUXILIARIES = frozenset(_AUXILIARY_WORDS.split())
_JOINING = frozenset({"and", "or", "e", "et", "o", "oder", "ou", "u", "und", "y"})
_BY = ["according", "to"]
_ENGLISH_WORDS = "could did does how should the what when where which who whose why would"
_ENGLISH = frozenset(_ENGLISH_WORDS.split())
_SOMEONE = "someone"
# Of what a person wants or does in general, whatever is asked: `always use metric units`, `I never eat meat`.
_STANDING = "always avoid hate never prefer rather stop whenever"
# What asks for many things that were said, not for one.
_BROAD = re.compile(
    r"\b(?:summar(?:y|ies|i[sz]e[ds]?|i[sz]ing)|sum(?:med)? up|overview|recap|timeline|chronolog\w+|sequence|everything"
    r"|(?:in|the|what|which) order|^\W*order the"
    r"|how (?:did|has|have) (?:[\w']+ ){2,6}?(?:change|develop|evolve|progress)(?:e?d)?"
    r"|walk me through|over (?:the )?(?:time|weeks|months|years?))\b",
    re.IGNORECASE,
)
Speaker = Literal["user", "assistant"]


class Dates(NamedTuple):
    """Parts of dates that a question names: months from 1, years, days of the month, weekdays from Monday, 0."""

    months: tuple[int, ...] = ()
    years: tuple[int, ...] = ()
    days: tuple[int, ...] = ()
    weekdays: tuple[int, ...] = ()


class Question(NamedTuple):
    """A question, ready for the search.

    `terms` with their `weights` are searched for; those in `names` name people who take part. `bare` is the text
    without these names, for the embedder: it would find everything the person ever said. `named` is the one person
    the question is about: whom it names, and of several the one who does something in it; `speaker` whose words it is
    after, if it says so otherwise. `broad`: it asks for much of what was said, as a summary or an order does.
    """

    terms: list[int]
    weights: list[float]
    names: frozenset[int]
    bare: str
    named: str | None
    speaker: Speaker | None
    dates: Dates
    broad: bool = False


def asked(owner: Owner, query: str, purpose: str | None, people: Sequence[str]) -> Question:
    """Take a question apart; words of the purpose count half.

    `people` are the names under which this user's conversations were held.
    """
    query = bounded(query)
    user_salt = salt(*owner)
    terms = query_terms(query, user_salt, _TERMS)
    weights = [1.0] * len(terms)
    if purpose:
        known = set(terms)
        more = [term for term in query_terms(bounded(purpose), user_salt, _TERMS) if term not in known]
        terms, weights = terms + more, weights + [_PURPOSE_WEIGHT if terms else 1.0] * len(more)
    folded = [word.removesuffix("'s") for word in words(query)]
    found = {name: used for name in people if (used := [word for word in _name_words(name, people) if word in folded])}
    used = [word for of_one in found.values() for word in of_one]
    return Question(
        terms=terms,
        weights=weights,
        names=frozenset(query_terms(" ".join(used), user_salt, _TERMS)) if used else frozenset(),
        bare=_without(query, used) if used else query,
        named=next(iter(found)) if len(found) == 1 else _subject(words(query), found),
        speaker=None if found else _speaker(folded),
        dates=_dates(folded),
        broad=_BROAD.search(query[-_ASKED_AT_END:]) is not None,
    )


@lru_cache(maxsize=4096)
def standing_terms(owner: Owner) -> tuple[int, ...]:
    """The terms by which this user says what holds in general."""
    return tuple(query_terms(_STANDING, salt(*owner), _TERMS))


def bounded(text: str) -> str:
    """The part of a text that is the question: its beginning and its end."""
    if len(text) <= _CHARACTERS:
        return text
    half = _CHARACTERS // 2
    return f"{text[:half]} {text[-half:]}"


def _name_words(name: str, people: Sequence[str]) -> list[str]:
    """The words of a name that nobody else's name holds and that are no words of the language."""
    others = {word for other in people if other != name for word in words(other)}
    return [
        word
        for word in words(name)
        if len(word) > _NAME_CHARACTERS and word not in others and word not in FUNCTION_WORDS
    ]


def _subject(said: Sequence[str], names: Mapping[str, Sequence[str]]) -> str | None:
    """Of several people whom a question names the one who does something; none where they do it together.

    Who follows an auxiliary verb (`What did Ann tell Bob?`), or is the source (`according to Ann`, `from Ann`), else
    who comes first.
    """
    whose = {word: name for name, used in names.items() for word in used}
    people = [whose.get(word.removesuffix("'s")) for word in said]
    mentions = [list(run) for name, run in groupby(range(len(said)), people.__getitem__) if name is not None]
    together: set[int] = set()
    for one, other in pairwise(mentions):
        between = said[one[-1] + 1 : other[0]]
        if not between or (len(between) == 1 and between[0] in _JOINING):
            together |= {one[0], other[0]}
    alone = [one[0] for one in mentions if one[0] not in together and not said[one[-1]].endswith("'s")]
    sources = (at for at in alone if said[at - 1 : at] == ["from"] or said[max(at - 2, 0) : at] == _BY)
    doing = (at for at in alone if at and said[at - 1] in _AUXILIARIES)
    first = (at for at in alone if at == mentions[0][0])
    chosen = next(chain(sources, doing, first), None)
    return None if chosen is None else people[chosen]


def _without(text: str, names: Sequence[str]) -> str:
    """The text without names: where it is English somebody stands in their place, so that it stays a sentence."""
    pattern = _pattern(tuple(names))
    if _ENGLISH.isdisjoint(words(text)):
        return " ".join(pattern.sub(" ", text).split()) or text
    return " ".join(pattern.sub(lambda found: f"{_SOMEONE}{found[1] or ''}", text).split())


@lru_cache(maxsize=1024)
def _pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    any_name = "|".join(map(re.escape, names))
    return re.compile(rf"\b(?:{any_name})(?:\s+(?:{any_name}))*(['\u2019]s)?\b", re.IGNORECASE)


def _speaker(folded: Sequence[str]) -> Speaker | None:
    """Whose words: what I said, else what the other said or did to me, else what I tell of myself."""
    places = list(zip(["", *folded], folded, [*folded[1:], ""], strict=False))
    if any(word in _FIRST_PERSON and after in _SAYING for _, word, after in places):
        return "user"
    if any(starmap(_means_the_other, places)):
        return "assistant"
    return "user" if not _FIRST_PERSON.isdisjoint(folded) else None


def _means_the_other(before: str, word: str, after: str) -> bool:
    """`Did you …`, `you suggested`, `in your answer`; not `can you …`, `if you need`, `your`, which is anybody's."""
    if word == "your":
        return before in _OF_YOURS or after in _SAID
    if word != "you" or before in _POLITE:
        return word == "you've"
    if before in _HAVING or after in _SAYING | _HAVING:
        return True
    return before not in _BEING and _PAST.fullmatch(after) is not None


def _dates(folded: Sequence[str]) -> Dates:
    years = tuple(int(word) for word in folded if _YEAR.fullmatch(word))
    months = tuple(
        _MONTHS.index(word) + 1
        for before, word, after in zip(["", *folded], folded, [*folded[1:], ""], strict=False)
        if word in _MONTHS and (word not in _AMBIGUOUS or _number(before) or _number(after))
    )
    days = tuple(int(re.sub(r"\D", "", word)) for word in folded if _DAY.fullmatch(word)) if months else ()
    weekdays = tuple(_DAYS.index(word) for word in folded if word in _DAYS)
    return Dates(months, years, days, weekdays)


def _number(word: str) -> bool:
    return bool(_YEAR.fullmatch(word) or _DAY.fullmatch(word))
