"""Words of a text as numbers to search by.

Words are case-folded, freed of accents, vowel points and what cannot be seen, and stemmed (Snowball, by script);
scripts without spaces between words are taken as pairs of letters, Chinese and Korean as single letters too. A term is
64 bits of the word's hash, mixed with the user's own number: one index serves every user, and nobody's words lie in
another's lists.
"""

import re
import unicodedata
from functools import lru_cache
from hashlib import blake2b

import Stemmer

REPEATS = 4  # a word counts up to this often in one passage
_WORD_CHARACTERS = 64  # longer "words" are encoded data
_SIGN = 1 << 63
# An apostrophe binds English endings alone: elsewhere it parts words (l'ami, dell'arte) or an ending (İstanbul'da).
_ENDING = r"(?:'(?:s|t|d|m|re|ve|ll)(?![^\W_]))?"
_ASCII_WORD = re.compile(rf"[a-z0-9]+{_ENDING}")
# Vowel signs and tone marks of India and South East Asia are no letters to `\w`, yet they belong to the word.
_WORD = re.compile(rf"(?:[^\W_]|[\u0900-\u0dff\u0e31-\u0e4e\u0eb1-\u0ece\u102b-\u103e\u17b4-\u17d3])+{_ENDING}")
# Accents; the points of Hebrew and Arabic, which most texts leave away; marks of direction, of joining and of breaking.
_MARKS = re.compile(
    r"[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u061c\u0640\u064b-\u0652\u0670"
    r"\u00ad\u200b\u200d-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff]"
)
# One letter or digit in two alphabets: Persian keyboards and Arabic ones, and the digits of both.
_DIGITS = "".join(map(chr, (*range(0x660, 0x66A), *range(0x6F0, 0x6FA))))
_ONE = str.maketrans(f"\u06cc\u06a9\u0649{_DIGITS}", f"\u064a\u0643\u064a{'0123456789' * 2}")
# Thai to Myanmar, Khmer, Kana, Han, Hangul: no spaces between words, or endings that stick to them.
_PAIRED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
# Han and Hangul: a letter is often a word (cat, tea, daughter), which no pair with its neighbours would find.
_TELLING = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]")
_PAIRED_RUN = re.compile(rf"[{_PAIRED}\U00020000-\U0003ffff]+")
_BY_SCRIPT = (
    ("\u0370", "\u03ff", "greek"),
    ("\u0400", "\u04ff", "russian"),
    ("\u0600", "\u06ff", "arabic"),
    ("\u0900", "\u097f", "hindi"),
)
# English words that ask or bind and name nothing. In other languages the share of turns that hold a word tells.
_FUNCTION_WORDS = """
    a about after all also am an and any are as at be been being but by can could did do does doing for from get had has
    have he her him his how i if in into is it its just me my no not of on or our please she so tell than that the their
    them then there these they this those to too us was we were what when where which while who whom whose why will with
    would you your
"""
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())


def words(text: str) -> list[str]:
    """The text's words, folded but not stemmed, in order."""
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    text = text.replace("\u2019", "'")
    if not text.isascii():
        text = unicodedata.normalize("NFC", _MARKS.sub("", unicodedata.normalize("NFKD", text))).translate(_ONE)
    found = []
    for word in _WORD.findall(text.casefold()):
        if word.isascii():
            found.append(word)
        else:
            found.extend(_parts(word))
    return found


def salt(workspace_id: str, user_id: str) -> int:
    """The user's own 64 bits."""
    hashed = blake2b(f"{len(workspace_id)}:{workspace_id}{user_id}".encode(), digest_size=8)
    return int.from_bytes(hashed.digest(), "big")


def terms(found: list[str], user_salt: int) -> list[int]:
    """The terms of a passage's words, each as often as it stands there, but four times at most."""
    counts: dict[int, int] = {}
    for word in found:
        term = _hash(word)
        counts[term] = counts.get(term, 0) + 1
    return [(term ^ user_salt) - _SIGN for term, count in counts.items() for _ in range(min(REPEATS, count))]


def query_terms(text: str, user_salt: int, limit: int) -> list[int]:
    """The distinct terms of a question, without function words unless it has no others; at most `limit`."""
    found = words(text)
    telling = [word for word in found if word not in FUNCTION_WORDS] or found
    return list(dict.fromkeys((_hash(word) ^ user_salt) - _SIGN for word in telling))[:limit]


def stem_of(word: str) -> str:
    """The stem of a word as `words` gives it."""
    return str(_stemmer(_language(word)).stemWord(word[:_WORD_CHARACTERS]))


@lru_cache(maxsize=16_384)
def _hash(word: str) -> int:
    return int.from_bytes(blake2b(stem_of(word).encode(), digest_size=8).digest(), "big")


def _language(word: str) -> str:
    first = word[0]
    if first > "\u036f":
        for begin, end, language in _BY_SCRIPT:
            if begin <= first <= end:
                return language
    return "english"


@lru_cache(maxsize=8)
def _stemmer(language: str) -> "Stemmer.Stemmer":
    return Stemmer.Stemmer(language, 0)  # no cache of its own: `_hash` has one


def _parts(word: str) -> list[str]:
    """A word of several scripts in parts: runs without spaces as pairs of letters, the rest whole."""
    found, end = [], 0
    for run in _PAIRED_RUN.finditer(word):
        if run.start() > end:
            found.append(word[end : run.start()])
        letters = run.group()
        found.extend(letters[at : at + 2] for at in range(max(1, len(letters) - 1)))
        if len(letters) > 1:
            found.extend(_TELLING.findall(letters))
        end = run.end()
    if end < len(word):
        found.append(word[end:])
    return found
