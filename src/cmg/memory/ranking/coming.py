"""What was said a moment ago and is not stored yet: ranked as a passage that still waits for its vector."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import numpy as np

from cmg.memory.models import Hit, Thread
from cmg.memory.ranking.corpus import Corpus, Ints
from cmg.memory.ranking.question import Question
from cmg.memory.text.rows import Row

FIRST = 1 << 62  # their numbers and their threads' come behind all that the database gives out
_SALIENCE = 0.5  # as a new item has
_ASKED_AT_END = 240  # characters, as in the statements
_ASKS = re.compile(r"\?\s*(\[[^]]*\]\s*)?$")


class Coming(NamedTuple):
    """A passage, and the thread that it will stand in."""

    row: Row
    thread: Thread


class OnTheWay(Protocol):
    """What one user said a moment ago, and what may be stored, deleted or erased by now."""

    @property
    def ids(self) -> Sequence[UUID]:
        """Of all its passages."""
        ...

    def measure(self) -> None:
        """Count words and tokens now, while nothing else is to be done."""
        ...

    def passages(self, stored: Collection[UUID], erased_at: datetime | None) -> list[Coming]:
        """Those that are on their way still, as the database says that `ids` are `stored` and the user was erased."""
        ...


def numbered(coming: Iterable[Coming]) -> dict[int, Coming]:
    """These passages by numbers from `FIRST` on, those of a thread behind each other."""
    threads: dict[Thread, list[Coming]] = {}
    for one in coming:
        threads.setdefault(one.thread, []).append(one)
    return dict(enumerate(chain.from_iterable(threads.values()), FIRST))


def joined(corpus: Corpus, coming: Mapping[int, Coming], question: Question, standing: Sequence[int]) -> Corpus:
    """The corpus and these passages (one at least) behind it; those of a thread are neighbours.

    `standing`: the words by which the user says what holds in general.
    """
    rows, wishes = [one.row for one in coming.values()], set(standing)
    threads = list(dict.fromkeys(one.thread for one in coming.values()))
    held = [
        (place, term, count)
        for place, row in enumerate(rows)
        for term, asked in enumerate(question.terms)
        if (count := row.terms.count(asked))
    ]
    postings: Ints = np.array(held, np.int64).reshape(-1, 3).T
    unknown = None if corpus.cosine is None else np.full(len(rows), np.nan)
    more = Corpus(
        seq=np.array(list(coming), np.int64),
        thread=np.array([FIRST + threads.index(one.thread) for one in coming.values()], np.int64),
        said_at=np.array([row.created_at.timestamp() for row in rows]),
        length=np.array([row.length for row in rows], np.int64),
        by_user=np.array([row.role == "user" for row in rows], np.bool_),
        person=np.array([-1 if row.name is None else int(row.name != question.named) for row in rows], np.int64),
        asks=np.array([_ASKS.search(row.content[-_ASKED_AT_END:]) is not None for row in rows], np.bool_),
        standing=np.array([row.role == "user" and not wishes.isdisjoint(row.terms) for row in rows], np.bool_),
        salience=np.full(len(rows), _SALIENCE),
        tokens=np.array([row.tokens for row in rows], np.int64),
        fits=np.ones(len(rows), np.bool_),
        cosine=unknown,
        window_cosine=unknown,
        row=len(corpus.seq) + postings[0],
        term=postings[1],
        repeats=postings[2].astype(float),
        stands_for=None if corpus.stands_for is None else np.ones(len(rows)),
    )
    pairs: Any = zip(corpus, more, strict=True)
    columns: Any = [None if own is None else np.concatenate((own, one)) for own, one in pairs]
    return Corpus(*columns)


def hit(number: int, coming: Coming) -> Hit:
    """What is given out of one of them."""
    row, thread = coming
    return Hit(
        id=str(row.id),
        score=0.0,
        tokens=row.tokens,
        note_tokens=row.note_tokens,
        kind=row.kind,
        role=row.role,
        name=row.name,
        thread_id=thread.thread_id,
        implicit=thread.implicit,
        message_id=row.message_id,
        seq=number,
        created_at=row.created_at.timestamp(),
        content=row.content,
    )
