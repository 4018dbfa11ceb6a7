"""Reads what ranking needs of one user; the only caller of this folder's SQL."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import numpy as np

from cmg.memory.embedding.query_embedder import QueryVector
from cmg.memory.models import Filters, Hit, Owner
from cmg.memory.ranking.corpus import Corpus, Floats, Ints, column, rows_of
from cmg.memory.ranking.question import Question, standing_terms
from cmg.memory.ranking.question import asked as question_of
from cmg.memory.ranking.sampling import Postings, Sample, completed
from cmg.memory.ranking.scoring import looks_assisted
from cmg.memory.vectors.index_store import index_name
from cmg.storage.database import Connection
from cmg.storage.named_sql import load, variant

ALL_RANKED = 4000  # of a user with more passages candidates are ranked, or what fits the filters
VERY_MANY = 20_000  # passages of a user, from which on comparing all vectors takes longer than the index of neighbours
_WORTH_AN_INDEX = 2200.0  # vectors that are compared in the time the index takes for a user who is alone in it
_OF_A_WORD = 3000  # passages: of a word that more hold, these lead to candidates
_EPOCH_S = 946_684_800  # PostgreSQL counts microseconds from the year 2000
_profiles = msgspec.json.Decoder(tuple[int, list[str], int, str | None])
_names_or_none = msgspec.json.Decoder(list[str | None])
_hits = msgspec.json.Decoder(list[Hit])
_NUMBERS = (">i8", ">i8", ">i8", ">i4", "?", ">i4", "?", "?", ">f4", ">i4", ">i8", ">i8", ">i4")


class Profile(NamedTuple):
    """A user as a question meets them: the number of passages, who takes part in the conversations, and the model.

    `model_no`: by whose vectors the user is searched; 0: by those of the current one. `key_id`: which key stored the
    user.
    """

    passages: int
    people: list[str]
    model_no: int
    key_id: str | None

    def asks_like(self, other: "Profile") -> bool:
        """Whether a question means the same by both."""
        return self[1:] == other[1:]


class Sizes(NamedTuple):
    """Of a user with more than `every` passages so many candidates of each list are ranked, on so large a sample."""

    every: int
    candidates: int
    sample: int


class Asked(NamedTuple):
    """What a corpus is fetched for. `key_id`: the key that asks, where it reads its own users alone.

    `coming`: passages that were on their way a moment ago.
    """

    question: Question
    filters: Filters
    now: datetime
    key_id: str | None = None
    coming: Sequence[UUID] = ()


class Search(NamedTuple):
    """How candidates are looked for: `most` of each list, `own` of these places for what the person said.

    `terms`: the words that lead to them, of each of which `each` passages at most are looked at. `drawn`: the numbers
    of a sample that is compared with the vector too. `texts`: candidates come with their words.
    """

    terms: Sequence[int]
    most: int
    own: int
    drawn: Sequence[int] = ()
    texts: bool = False
    each: int = _OF_A_WORD


class Found(NamedTuple):
    """Numbers of passages: what has the words that were asked for, and what the index of neighbours finds nearest.

    `nearest`: None where it was not asked.
    """

    by_words: list[int]
    nearest: list[int] | None = None


class Become(NamedTuple):
    """What became of a user's passages on their way: those `stored` by now or deleted, and when the user was erased."""

    stored: Collection[UUID]
    erased_at: datetime | None


class Fetched(NamedTuple):
    """A user's passages, None when there are none; what is known of the user now; and words, by passages' numbers.

    `texts`: None where they are still to be read; `become`: None where it is still to be asked; `distances`: numbers,
    cosines and those of windows, of candidates and of what was drawn.
    """

    corpus: Corpus | None
    profile: Profile | None
    texts: Mapping[int, Hit] | None = None
    become: Become | None = None
    distances: tuple[Ints, Floats, Floats] | None = None


class RankingStore:
    """Profiles, corpora and passages, over the caller's connection."""

    def __init__(self) -> None:
        self._sql = load("cmg.memory.ranking")
        become = self._sql["become"].removeprefix("SELECT").replace("$3", "$19")
        self._and_become = variant(self._sql["candidates"], {"NULL::uuid[], NULL::timestamptz": become})

    async def prepare(self, conn: Connection, *, candidates: bool) -> None:
        """Have this connection know the statements of a search for `candidates`, or for all that fits."""
        nobody, nothing = Owner("", ""), question_of(Owner("", ""), "nothing", None, ())
        asked_for = Asked(nothing, Filters(), datetime.fromtimestamp(_EPOCH_S, UTC))
        if candidates:
            search = Search(nothing.terms, 0, 0)
            await self.profile(conn, nobody)
            await self.opening(conn, nobody, 1, 1)
            await self.by_words(conn, nobody, search)
            for coming in ([], [UUID(int=0)]):
                await self.candidates(conn, nobody, asked_for._replace(coming=coming), search)
        else:
            await self.corpus(conn, nobody, asked_for, 0)
        await self.passages(conn, nobody, [0])

    async def profile(self, conn: Connection, owner: Owner) -> Profile | None:
        """None for a user of whom nothing is stored."""
        return _profile(await conn.fetchval(self._sql["profile"], *owner))

    async def opening(
        self, conn: Connection, owner: Owner, size: int, every: int
    ) -> tuple[Profile | None, Sample | None]:
        """As `profile`; and of a user of more than `every` passages the `sample`, in the same statement."""
        row: Any = await conn.fetchrow(self._sql["sample"], *owner, size, every)
        return _profile(row[-1]), None if row[0] is None else _sample(owner, row)

    async def sample(self, conn: Connection, owner: Owner, size: int) -> Sample:
        """So many of a user's passages, drawn by chance that is the same each time."""
        return _sample(owner, await conn.fetchrow(self._sql["sample"], *owner, size, 0))  # a row, whatever there is

    async def by_words(self, conn: Connection, owner: Owner, search: Search) -> list[int]:
        """The numbers of the passages that hold most of what is asked for."""
        given = (array(search.terms), search.each, search.most, search.own)
        return _listed(await conn.fetchval(self._sql["by_words"], *owner, *given))

    async def index_pays(self, conn: Connection, owner: Owner, passages: int, model_no: int) -> bool:
        """Whether the index of neighbours finds what is nearest sooner than comparing all of the user's vectors.

        It is one for all large users, and goes through others' vectors too.
        """
        row: Any = await conn.fetchrow(self._sql["index_of_neighbours"], *owner, index_name(model_no))
        if row is None or not row[0]:
            return False
        share: float = passages / max(row[1], passages)
        return passages * share > _WORTH_AN_INDEX

    async def by_neighbours(self, conn: Connection, owner: Owner, vector: QueryVector, search: Search) -> list[int]:
        """The numbers of the passages that the index of neighbours finds nearest, the nearest first.

        Where some places are for the person's own they are twice as many, to find those among.
        """
        # There is an index for each model, on the cast to its dimension, and neither can be an argument.
        names = {
            "halfvec(384)": f"halfvec({vector.text.count(',') + 1})",
            "model_no = 0": f"model_no = {vector.model_no:d}",
        }
        sql = variant(self._sql["by_neighbours"], names)
        most = 2 * search.most if search.own else search.most
        return _listed(await conn.fetchval(sql, *owner, vector.text, most))

    async def candidates(
        self,
        conn: Connection,
        owner: Owner,
        asked: Asked,
        search: Search,
        vector: QueryVector | None = None,
        found: Found | None = None,
    ) -> Fetched:
        """Those of a user's passages that may rank high; `found`: what was looked up before."""
        question, (terms, most, own, drawn, texts, each) = asked.question, search
        one_by_one = vector is not None and (found is None or found.nearest is None)
        led, known = (terms, Found([])) if found is None else ((), found)
        compared = array(() if vector is None else drawn)
        asked_for = (array(question.terms), *_given(vector), question.named, asked.now, most, one_by_one, compared)
        before = (array(known.by_words), array(standing_terms(owner)), array(known.nearest or ()))
        given = (*asked_for, array(led), each, *before, own, texts, asked.key_id)
        row: Any  # one, whatever there is
        if asked.coming:
            row = await conn.fetchrow(self._and_become, *owner, *given, asked.coming)
        else:
            row = await conn.fetchrow(self._sql["candidates"], *owner, *given)
        profile, become = _profile(row[-1]), Become(row[-3] or (), row[-2]) if asked.coming else None
        if row[0] is None:
            return Fetched(None, profile)
        few, distances = _corpus(row[: len(_NUMBERS)]), None
        if vector is not None:
            distances = _distances(row[len(_NUMBERS) : len(_NUMBERS) + 3])
            few = _compared(few, distances)
        words = {hit.seq: hit for hit in _hits.decode(row[-4] or b"[]")} if texts else None
        return Fetched(few, profile, words, become, distances)

    async def corpus(self, conn: Connection, owner: Owner, asked: Asked, total: int) -> Fetched:
        """A user's passages as columns, without words."""
        narrow = (getattr(asked.filters, name) for name in Filters.__struct_fields__ if name != "as_of")
        row: Any = await conn.fetchrow(
            self._sql["corpus"],
            *owner,
            array(asked.question.terms),
            asked.question.named,
            asked.now,
            asked.filters.as_of,
            asked.filters.narrows,
            *narrow,
            total > ALL_RANKED,
            array(standing_terms(owner)),
        )
        if row[0] is None:
            return Fetched(None, _profile(row[-1]))
        whole = _corpus(row[: len(_NUMBERS)])._replace(fits=column(row[len(_NUMBERS)], "?"))
        return Fetched(whole, _profile(row[-1]))

    async def compared(self, conn: Connection, owner: Owner, corpus: Corpus, vector: QueryVector, total: int) -> Corpus:
        """The corpus again, with the distances of those passages that have a vector."""
        some = array(corpus.seq.tolist()) if total > ALL_RANKED else None
        row: Any = await conn.fetchrow(self._sql["distances"], *owner, vector.model_no, vector.text, some)
        return _compared(corpus, _distances(row))

    async def passages(
        self,
        conn: Connection,
        owner: Owner,
        seqs: Sequence[int],
        key_id: str | None = None,
        now: datetime | None = None,
    ) -> list[Hit]:
        """What these numbers stand for, in their order, with a score of 0; nothing of a user whom the key may not read.

        With `now` nothing that has ended by then. A profile may be seconds old, a sample minutes: here, and where
        candidates come with their texts, no word leaves the database that should not.
        """
        if not seqs:
            return []
        return _hits.decode(await conn.fetchval(self._sql["passages"], *owner, array(seqs), key_id, now))

    async def become(self, conn: Connection, owner: Owner, ids: Sequence[UUID]) -> Become:
        """What became of a user's passages that were on their way."""
        row: Any = await conn.fetchrow(self._sql["become"], *owner, ids)
        return Become(row[0] or (), row[1])


def whole(few: Fetched, sample: Sample, named: str | None, held: Postings, total: int) -> Fetched:
    """Candidates as a corpus, in which a sample stands for the others of a user's `total` passages.

    `named`: the one person the question names; `held`: its words in the sample.
    """
    if few.corpus is None:
        return few
    cosines = None if few.distances is None else _of(sample.seq, few.distances)
    corpus = completed(few.corpus, sample, named, held, total, cosines)
    if few.texts is not None:  # those of the sample stand for others, and are not given out
        given_out = np.array([seq in few.texts for seq in corpus.seq.tolist()], np.bool_)
        corpus = corpus._replace(fits=given_out)
    return few._replace(corpus=corpus)


def array(values: Sequence[float]) -> str:
    """Numbers as PostgreSQL writes an array."""
    return f"{{{','.join(map(str, values))}}}"


def _profile(told: str | None) -> Profile | None:
    return None if told is None else Profile(*_profiles.decode(told))


def _sample(owner: Owner, row: Any) -> Sample:
    kinds = (">i8", ">i8", ">i8", ">i4", "?", "?", ">f4", ">i4")
    seq, thread, said_at, length, by_user, asks, salience, tokens = map(column, row[:8], kinds)
    names = [None if name is None else hash(name) for name in _names_or_none.decode(row[8])]
    terms, counts = column(row[10], ">i8"), column(row[9], ">i4")
    rows = np.repeat(np.arange(len(seq)), counts)
    wishes = np.zeros(len(seq), np.bool_)
    wishes[rows[np.isin(terms, standing_terms(owner))]] = True
    said, standing = said_at / 1e6 + _EPOCH_S, wishes & by_user
    assisted = looks_assisted(by_user, np.array([name is not None for name in names], np.bool_), length)
    return Sample(seq, thread, said, length, by_user, names, asks, standing, salience, tokens, terms, rows, assisted)


def _given(vector: QueryVector | None) -> tuple[int | None, str | None]:
    return (None, None) if vector is None else (vector.model_no, vector.text)


def _listed(sent: bytes | None) -> list[int]:
    found: list[int] = column(sent, ">i8").tolist()
    return found


def _distances(row: Any) -> tuple[Ints, Floats, Floats]:
    return column(row[0], ">i8"), column(row[1], ">f8"), column(row[2], ">f8")


def _compared(corpus: Corpus, distances: tuple[Ints, Floats, Floats]) -> Corpus:
    """With the distances of those passages that have a vector."""
    cosine, around = _of(corpus.seq, distances)
    return corpus if np.isnan(cosine).all() else corpus._replace(cosine=cosine, window_cosine=around)


def _of(seq: Ints, distances: tuple[Ints, Floats, Floats]) -> tuple[Floats, Floats]:
    """The two distances of each of these passages; NaN where it has no vector."""
    at = rows_of(distances[0], seq)
    known = at >= 0
    cosine, around = np.full(len(seq), np.nan), np.full(len(seq), np.nan)
    cosine[known], around[known] = distances[1][at[known]], distances[2][at[known]]
    return cosine, around


def _corpus(row: Any) -> Corpus:
    """Everything but distances."""
    columns = [column(sent, kind) for sent, kind in zip(row, _NUMBERS, strict=True)]
    seq, thread, said_at, length, by_user, person, asks, standing, salience, tokens, at, term, repeats = columns
    rows = rows_of(seq, at)
    held = rows >= 0  # a posting of an expired or retired passage
    return Corpus(
        seq=seq,
        thread=thread,
        said_at=said_at / 1e6 + _EPOCH_S,
        length=length,
        by_user=by_user,
        person=person,
        asks=asks,
        standing=standing,
        salience=salience,
        tokens=tokens,
        fits=np.ones(len(seq), np.bool_),
        cosine=None,
        window_cosine=None,
        row=rows[held],
        term=term[held],
        repeats=repeats[held].astype(float),
    )
