"""A few passages of a user that stand for all the others, where only those that may rank high are fetched."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cmg.memory.ranking.corpus import Corpus, Flags, Floats, Ints
from cmg.memory.ranking.question import Question

_ROWS = 3000  # that the words of a question lead to at most, the rarest words first
_LEAST = 100.0  # what a word is counted for at least: the sample does not know better
Cosines = tuple[Floats, Floats]  # of passages, and of their windows


class Sample(NamedTuple):
    """Passages by place, one entry each but for `terms`: those of passage after passage; `row` is whose each is.

    `names`: hashes, None without a name. `assisted`: a person talks to an assistant. All other columns as in `Corpus`.
    """

    seq: Ints
    thread: Ints
    said_at: Floats
    length: Ints
    by_user: Flags
    names: Sequence[int | None]
    asks: Flags
    standing: Flags
    salience: Floats
    tokens: Ints
    terms: Ints
    row: Ints
    assisted: bool


class Postings(NamedTuple):
    """How often (`repeats`) an asked word (`term`, its place in the question) stands in a passage (`row`)."""

    row: Ints
    term: Ints
    repeats: Floats


class Leads(NamedTuple):
    """The asked words that lead to candidates, and where all of them stand in the sample."""

    terms: list[int]
    held: Postings


def leads(question: Question, sample: Sample, total: int) -> Leads:
    """The words that are rare among a user's `total` passages, as the sample tells."""
    held = postings(sample, question)
    size, often = max(len(sample.seq), 1), np.bincount(held.term, minlength=len(question.terms))
    expected = [total * count / size for count in often.tolist()]
    rows, terms = 0.0, []
    for count, term in sorted(zip(expected, question.terms, strict=True)):
        rows += max(count, _LEAST)
        if rows > _ROWS:
            break
        terms.append(term)
    return Leads(terms, held)


def completed(
    candidates: Corpus, sample: Sample, named: str | None, held: Postings, total: int, cosines: Cosines | None
) -> Corpus:
    """The candidates among those of the sample, each of which stands for its share of the passages that are not here.

    `named`: the one person the question names; `held`: its words in the sample.
    """
    others, known = _absent(sample.seq, candidates.seq), len(candidates.seq)
    seq = np.concatenate((candidates.seq, sample.seq[others]))
    order = np.lexsort((seq, np.concatenate((candidates.thread, sample.thread[others]))))

    def both(own: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        return np.concatenate((own, drawn[others]))[order]

    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    row, term, repeats = _of(held, others, len(sample.seq))
    cosine = window = None
    if candidates.cosine is not None and candidates.window_cosine is not None and cosines is not None:
        cosine, window = both(candidates.cosine, cosines[0]), both(candidates.window_cosine, cosines[1])
    each = max(total - known, len(others)) / max(len(others), 1)
    return Corpus(
        seq=seq[order],
        thread=both(candidates.thread, sample.thread),
        said_at=both(candidates.said_at, sample.said_at),
        length=both(candidates.length, sample.length),
        by_user=both(candidates.by_user, sample.by_user),
        person=both(candidates.person, _persons(sample, named)),
        asks=both(candidates.asks, sample.asks),
        standing=both(candidates.standing, sample.standing),
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


def _absent(sample: Ints, candidates: Ints) -> Ints:
    """The places of those numbers of the sample that no candidate has; a third of the price of `np.isin`."""
    if not len(candidates):
        return np.arange(len(sample))
    known = np.sort(candidates)
    at = np.minimum(np.searchsorted(known, sample), len(known) - 1)
    return np.flatnonzero(known[at] != sample)


def postings(sample: Sample, question: Question) -> Postings:
    """Where the asked words stand in the sample, in the order of its passages."""
    term, at = np.nonzero(np.array(question.terms, np.int64)[:, None] == sample.terms)
    # There are few: np.unique takes five times as long.
    found = sorted(Counter(zip(sample.row[at].tolist(), term.tolist(), strict=True)).items())
    columns = np.array([(*place, count) for place, count in found], np.int64).reshape(-1, 3).T
    return Postings(columns[0], columns[1], columns[2].astype(float))


def _of(held: Postings, others: Ints, size: int) -> Postings:
    """The postings of these passages alone, by their place among them."""
    at = np.full(size, -1)
    at[others] = np.arange(len(others))
    row = at[held.row]
    mine = row >= 0
    return Postings(row[mine], held.term[mine], held.repeats[mine])
