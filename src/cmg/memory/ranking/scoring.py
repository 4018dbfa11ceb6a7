"""One score a passage: lists of words and vectors brought to one scale, priors of turns, a lift for good threads.

Scores of a list are z-normalised over the user's passages and summed with fixed weights; a thread lends each of its
passages a share of its best score. There are weights for conversations between people and for those with an assistant;
what was measured with which, and how little it depends on any one of them, stands in ADR 0011.
"""

import math
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from cmg.memory.ranking.corpus import Corpus, Flags, Floats, Ints
from cmg.memory.ranking.question import Dates, Question
from cmg.memory.text.terms import words

K1, B = 0.9, 0.3
_MEANT = 0.2  # from this cosine on a passage speaks of the same without a word in common
_RELATED = 0.1  # below this cosine, and without a word in common, a passage has nothing to do with the question
_TELLING = 0.05  # words whose BM25 varies less than this, and nowhere is high, stand everywhere, and tell nothing
_HIGH = 1.0
_ALIKE = 1e-9
_FEW = 50.0  # passages
_GOOD = 1.0  # of score: what is above the mean of all by a deviation or more
_WORDY = 3.0  # times the other's words: no two people talk like that for long
_PEAK = 32.0  # deviations at most of a word's z: one passage of 1,000; among more a rare word would be all that counts
_ITSELF = 0.93  # from this cosine on it is the question, perhaps with a name
_ITS_WORDS, _MORE_WORDS = 3, 2  # so many words asked for tell that by themselves, beside so many others
_CLOSE = 0.28  # a cosine from which a passage is about the same without a word in common
_MOST_WORDS = 0.3  # of those that the best passage holds


class Weights(NamedTuple):
    """What each list and prior counts."""

    words: float = 0.15
    window_words: float = 0.25
    thread_words: float = 0.1
    vector: float = 0.35
    window_vector: float = 0.35
    named: float = 1.7  # the one person that the question names
    asker: float = 0.0  # the person, where the question is after what this one said
    answerer: float = 0.0  # the assistant, where it is after the answers
    standing: float = 0.8  # where a person says to an assistant what holds in general
    length: float = 0.1
    asks: float = -0.45  # a turn that asks holds less than the one that answers
    shared: float = 0.7  # a word in common, where no vector tells what is meant
    salience: float = 0.4
    lift: float = 0.3
    spread: float = 0.0  # what each passage loses for every better one of its thread
    answer: float = 0.8  # what holds a time, a number, a name … where a question asks for one
    reply: float = 0.1  # an assistant's answer: of the score of what it answers; twice if the question is after answers


BETWEEN_PEOPLE = Weights()
# People say in few words what matters about them, often in a question; an assistant's answers are long and general, so
# beside them, and in one thread with them, stands more that has the question's words than what was asked for.
ASSISTED = Weights(
    window_words=0.12,
    thread_words=0.05,
    vector=0.5,
    asker=2.0,
    answerer=0.6,
    length=0.0,
    asks=0.0,
    lift=0.1,
    answer=0.4,
)
BROAD = ASSISTED._replace(words=0.05, thread_words=0.0, asker=2.5, lift=0.0, spread=0.12)
_UNDECIDED_SPEAKER = 0.6  # share of the person's prior when the question does not say whose words


class Scores(NamedTuple):
    """`total` ranks; `words` is BM25 of the passage alone.

    `hit`: it has a word or a meaning in common with the question, and precedes what has not; `related`: it or one of
    its neighbours has. `answer`: what it adds to hold the kind of answer that is asked for.
    """

    total: Floats
    words: Floats
    hit: Flags
    related: Flags
    answer: float


def score(corpus: Corpus, question: Question) -> Scores:
    """The scores of a corpus's passages, none of which is left out."""
    assisted = looks_assisted(corpus.by_user, corpus.person >= 0, corpus.length)
    weights = _weights(question) if assisted else BETWEEN_PEOPLE
    own, around, thread = _bm25(corpus, question)
    total = weights.words * _z_words(own, corpus) + weights.window_words * _z_words(around, corpus)
    total += weights.thread_words * _z_words(thread, corpus)
    hit: Flags = own > 0
    if assisted:
        total += weights.shared * (hit if corpus.cosine is None else hit & np.isnan(corpus.cosine))
    related: Flags = around > 0
    if corpus.cosine is not None and corpus.window_cosine is not None:
        total += weights.vector * _z(corpus.cosine, corpus) + weights.window_vector * _z(corpus.window_cosine, corpus)
        with np.errstate(invalid="ignore"):
            hit = hit | (corpus.cosine >= _MEANT)
            related = related | (corpus.cosine >= _RELATED) | (corpus.window_cosine >= _RELATED)
    total += weights.length * _z(np.log1p(corpus.length), corpus)
    total += weights.asks * corpus.asks
    total += weights.salience * (corpus.salience - 0.5)
    total += _speaker_prior(corpus, question, weights)
    if assisted:
        total += weights.standing * _trusted(corpus) * corpus.standing
    related = hit | related
    # Long answers share a word with nearly every question, the few words of the person often with none.
    total = _lifted(total, corpus.thread, weights.lift)
    if weights.spread:
        total -= weights.spread * _places(total, corpus.thread)
    if assisted:
        total = _answered(total, corpus, weights.reply * (2.0 if question.speaker == "assistant" else 1.0))
    return Scores(total, own, related if assisted else hit, related, weights.answer)


def looks_assisted(by_user: Flags, named: Flags, length: Ints) -> bool:
    """Whether this is a person asking an assistant: one side has no name, or answers far longer than it is asked."""
    sides = [side for side in (by_user, ~by_user) if side.any()]
    if not all(named[side].any() for side in sides):
        return True
    asked, told = (float(length[side].mean()) for side in sides) if len(sides) > 1 else (0.0, 0.0)
    return told > _WORDY * asked


def _weights(question: Question) -> Weights:
    """What was said over many threads is asked for by words that few of the answers hold."""
    return BROAD if question.broad and question.speaker != "assistant" else ASSISTED


def _speaker_prior(corpus: Corpus, question: Question, weights: Weights) -> Floats:
    if question.named is not None:
        return np.where(corpus.person == 0, weights.named, 0.0)
    trusted = _trusted(corpus)
    if question.speaker == "assistant":
        return np.where(corpus.by_user, 0.0, trusted * weights.answerer)
    share = _UNDECIDED_SPEAKER if question.speaker is None else 1.0
    return np.where(corpus.by_user, share * trusted * weights.asker, 0.0)


def _trusted(corpus: Corpus) -> float:
    """How much of a prior counts: among few passages none lies many deviations from the mean, so words must do more."""
    size = float(len(corpus.seq) if corpus.stands_for is None else corpus.stands_for.sum())
    return size / (size + _FEW)


def _bm25(corpus: Corpus, question: Question) -> tuple[Floats, Floats, Floats]:
    """BM25 of passages with their dates; and without names of people: with their neighbours, and of their threads."""
    size, terms = len(corpus.seq), len(question.terms)
    counts = np.zeros((terms, size))
    counts[corpus.term, corpus.row] = corpus.repeats
    dated = _dated(corpus.said_at, question.dates)
    every = np.vstack([counts, dated]) if dated else counts
    weights = np.array([*question.weights, *[1.0] * len(dated)])
    own = _weighted(every, weights, corpus.length, corpus)
    kept = np.array([term not in question.names for term in question.terms] + [True] * len(dated), bool)
    around, length = _neighbourhood(counts[kept[:terms]], corpus)
    near = np.vstack([around, dated]) if dated else around
    return own, _weighted(near, weights[kept], length, corpus), _of_threads(every[kept], weights[kept], corpus)


def _neighbourhood(counts: Floats, corpus: Corpus) -> tuple[Floats, Floats]:
    """Counts and lengths of each passage together with those before and after it in its thread."""
    follows = corpus.thread[1:] == corpus.thread[:-1]
    near, length = counts.copy(), corpus.length.astype(float)
    near[:, :-1] += counts[:, 1:] * follows
    near[:, 1:] += counts[:, :-1] * follows
    length[:-1] += corpus.length[1:] * follows
    length[1:] += corpus.length[:-1] * follows
    return near, length


def _of_threads(counts: Floats, weights: Floats, corpus: Corpus) -> Floats:
    """BM25 of each passage's thread among the threads; of candidates alone it cannot be told, and is 0."""
    if corpus.stands_for is not None or not counts.size:
        return np.zeros(counts.shape[1])
    starts = _starts(corpus.thread)
    held = np.add.reduceat(counts, starts, axis=1)
    length = np.add.reduceat(corpus.length, starts).astype(float)
    return np.repeat(_weighted(held, weights, length, None), _sizes(starts, counts.shape[1]))


def _weighted(counts: Floats, weights: Floats, length: Floats | Ints, corpus: Corpus | None) -> Floats:
    """BM25 with the inverse document frequency that never is negative; `counts` is (terms, texts).

    `corpus`: whose sample stands for what is not here.
    """
    if not counts.size:
        return np.zeros(counts.shape[1])
    stands_for = None if corpus is None else corpus.stands_for
    if stands_for is None:
        held, size = (counts > 0).sum(axis=1).astype(float), float(counts.shape[1])
        usual = float(length.sum()) / size
    else:
        held, size = (counts > 0) @ stands_for, float(stands_for.sum())
        usual = float(length @ stands_for) / size
    inverse = np.log1p((size - held + 0.5) / (held + 0.5)) * weights
    saturated = counts * (K1 + 1) / (counts + K1 * (1 - B + B * length / max(usual, 1.0)))
    found: Floats = inverse @ saturated
    return found


def _dated(said_at: Floats, dates: Dates) -> list[Floats]:
    """For each part of a date that the question names: 1 where a passage was said at such a time."""
    if not any(dates):
        return []
    moments = [datetime.fromtimestamp(value, UTC) for value in said_at.tolist()]
    parts = (
        (dates.months, [one.month for one in moments]),
        (dates.years, [one.year for one in moments]),
        (dates.days, [one.day for one in moments]),
        (dates.weekdays, [one.weekday() for one in moments]),
    )
    return [(np.array(have) == value).astype(float) for wanted, have in parts for value in wanted]


def _z_words(values: Floats, corpus: Corpus) -> Floats:
    """`_z` of BM25, which is 0 in most passages; 0 for all where the words stand everywhere."""
    if not len(values):
        return values
    mean, spread, _ = _moments(values, corpus.stands_for)
    peak = float(values.max())
    if spread < _TELLING and peak < _HIGH:
        return np.zeros(len(values))
    return (values - mean) / max(spread, peak / _PEAK)


def _z(values: Floats, corpus: Corpus) -> Floats:
    """Values in standard deviations from the mean of the user's passages; 0 where there is none, or all are alike."""
    mean, spread, unknown = _moments(values, corpus.stands_for)
    if spread < _ALIKE:
        return np.zeros(len(values))
    scaled = (values - mean) / spread
    if unknown is not None:
        scaled[unknown] = 0.0
    return scaled


def _moments(values: Floats, stands_for: Floats | None) -> tuple[float, float, Flags | None]:
    """Mean and standard deviation of what is known, each value as often as it stands for; and what is not known."""
    known, unknown = values, np.isnan(values)
    gaps = bool(unknown.any())
    if gaps:
        known = values[~unknown]
        stands_for = None if stands_for is None else stands_for[~unknown]
    if not len(known):
        return 0.0, 0.0, None
    if stands_for is None:
        size, mean = float(len(known)), float(known.sum()) / len(known)
    else:
        size = float(stands_for.sum())
        mean = float(known @ stands_for) / size
    away = known - mean
    spread = math.sqrt(float(away @ (away if stands_for is None else away * stands_for)) / size)  # np.std costs twice
    return mean, spread, unknown if gaps else None


def _lifted(total: Floats, thread: Ints, share: float) -> Floats:
    """Each passage with a share of the best score in its thread."""
    if not len(total):
        return total
    starts = _starts(thread)
    best = np.maximum.reduceat(total, starts)
    lifted: Floats = total + share * np.repeat(best, _sizes(starts, len(total)))
    return lifted


def _places(total: Floats, thread: Ints) -> Ints:
    """How many passages of its thread are better than each."""
    order = np.lexsort((-total, thread))
    starts = _starts(thread)
    places = np.empty(len(total), np.int64)
    places[order] = np.arange(len(total)) - np.repeat(starts, _sizes(starts, len(total)))
    return places


def _answered(total: Floats, corpus: Corpus, share: float) -> Floats:
    """Where an assistant's answer begins, with a share of what was said to it, if that is good."""
    begins = ~corpus.by_user[1:] & corpus.by_user[:-1] & (corpus.thread[1:] == corpus.thread[:-1])
    answered = total.copy()
    answered[1:] += share * begins * np.maximum(total[:-1] - _GOOD, 0.0)
    return answered


def _starts(thread: Ints) -> Ints:
    """Where each thread begins."""
    begins = np.ones(len(thread), np.bool_)
    np.not_equal(thread[1:], thread[:-1], out=begins[1:])
    return np.flatnonzero(begins)


def _sizes(starts: Ints, total: int) -> Ints:
    """How many passages each thread has."""
    return np.diff(starts, append=total)


def strong(corpus: Corpus, scores: Scores, question: Question, floor: float) -> Flags:
    """What a note may hold: each of its lines costs tokens on every call."""
    others = ~_itself(corpus, question)
    best = float(scores.total.max(where=corpus.fits & others, initial=-np.inf))
    near: Flags = scores.total >= best * (floor if best > 0 else 1.0)
    closest = np.nan if corpus.cosine is None else float(np.fmax.reduce(corpus.cosine[others], initial=np.nan))
    if closest < _CLOSE:  # nothing was said about this: then it must be a matter of words
        most = float(scores.words.max(where=others, initial=0.0))
        near = near & (scores.words > 0) & (scores.words >= _MOST_WORDS * most)
    return near


def _itself(corpus: Corpus, question: Question) -> Flags:
    """What is the question, said before, as in each of an agent's steps: nothing else is as good.

    By its vector, or without one by holding all of the words and few others.
    """
    asked = len(question.terms)
    held = np.bincount(corpus.row, minlength=len(corpus.seq))
    same: Flags = (held == asked) & (corpus.length <= len(words(question.bare)) + _MORE_WORDS) & (asked >= _ITS_WORDS)
    if corpus.cosine is not None:
        same = np.where(np.isnan(corpus.cosine), same, corpus.cosine >= _ITSELF)
    return same & corpus.by_user
