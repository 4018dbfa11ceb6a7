"""A few passages of a user that stand for all the others, where only those that may rank high are fetched."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cmg.memory.ranking.corpus import Corpus, Flags, Floats, Ints
from cmg.memory.ranking.question import Question

_ROWS = 3000  # that the words of a question lead to at most, the rarest words first
_LEAST = 100.0  # what a word is counted for at least: the sample does not know better


class Sample(NamedTuple):
    """Passages by place, one entry each but for `terms`: those of passage after passage; `row` is whose each is.

    `names`: hashes, None without a name. All other columns as in `Corpus`.
    """

    seq: Ints
    thread: Ints
    said_at: Floats
    length: Ints
    by_user: Flags
    names: Sequence[int | None]
    asks: Flags
    salience: Floats
    tokens: Ints
    terms: Ints
    row: Ints


class Leads(NamedTuple):
    """What each asked word is worth, and those which lead to candidates."""

    worth: list[float]
    terms: list[int]


def leads(question: Question, sample: Sample, total: int) -> Leads:
    """By the sample, how telling the words are among a user's `total` passages."""
    size = max(len(sample.seq), 1)
    held = [len(np.unique(sample.row[sample.terms == term])) for term in question.terms]
    expected = [total * count / size for count in held]
    rows, found = 0.0, []
    for often, term in sorted(zip(expected, question.terms, strict=True)):
        rows += max(often, _LEAST)
        if rows > _ROWS:
            break
        found.append(term)
    return Leads([math.log1p(total / (often + 1)) for often in expected], found)


def completed(
    candidates: Corpus, sample: Sample, question: Question, total: int, cosines: tuple[Floats, Floats] | None
) -> Corpus:
    """The candidates among those of the sample, each of which stands for its share of the passages that are not here.

    `cosines`: of the sample's passages and their windows; none without vectors.
    """
    others = np.flatnonzero(~np.isin(sample.seq, candidates.seq))
    known = len(candidates.seq)
    order = np.lexsort((np.r_[candidates.seq, sample.seq[others]], np.r_[candidates.thread, sample.thread[others]]))

    def both(own: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        return np.concatenate((own, drawn[others]))[order]

    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    row, term, repeats = _postings(sample, question, others)
    cosine = window = None
    if candidates.cosine is not None and candidates.window_cosine is not None and cosines is not None:
        cosine, window = both(candidates.cosine, cosines[0]), both(candidates.window_cosine, cosines[1])
    each = max(total - known, len(others)) / max(len(others), 1)
    return Corpus(
        seq=both(candidates.seq, sample.seq),
        thread=both(candidates.thread, sample.thread),
        said_at=both(candidates.said_at, sample.said_at),
        length=both(candidates.length, sample.length),
        by_user=both(candidates.by_user, sample.by_user),
        person=both(candidates.person, _persons(sample, question.named)),
        asks=both(candidates.asks, sample.asks),
        salience=both(candidates.salience, sample.salience),
        tokens=both(candidates.tokens, sample.tokens),
        fits=np.ones(len(order), np.bool_),
        cosine=cosine,
        window_cosine=window,
        row=np.concatenate((place[candidates.row], place[known + row])),
        term=np.concatenate((candidates.term, term)),
        repeats=np.concatenate((candidates.repeats, repeats)),
        stands_for=np.where(order < known, 1.0, each),
    )


def _persons(sample: Sample, named: str | None) -> Ints:
    wanted = None if named is None else hash(named)
    return np.array([-1 if name is None else int(name != wanted) for name in sample.names], np.int64)


def _postings(sample: Sample, question: Question, others: Ints) -> tuple[Ints, Ints, Floats]:
    """How often the asked words stand in these passages: (index into `others`, index of the term, how often)."""
    at = np.full(len(sample.seq), -1)
    at[others] = np.arange(len(others))
    rows, terms = [], []
    for place, term in enumerate(question.terms):
        held = at[sample.row[sample.terms == term]]
        rows.append(held[held >= 0])
        terms.append(np.full(len(rows[-1]), place))
    if not rows:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    pairs, repeats = np.unique(np.stack((np.concatenate(rows), np.concatenate(terms))), axis=1, return_counts=True)
    return pairs[0], pairs[1], repeats.astype(float)
