"""Finds one user's passages for a question: who takes part, what the question means, how every passage ranks."""

import asyncio
from collections.abc import Sequence
from typing import TypeAlias

import msgspec
import numpy as np

from cmg.kit.clock import Clock
from cmg.memory.embedding.query_embedder import QueryEmbedder, QueryVector
from cmg.memory.models import Filters, Hit, Owner, UserOfAnotherKey, walled
from cmg.memory.ranking.answers import Likely, holding
from cmg.memory.ranking.coming import Coming, OnTheWay, hit, joined, numbered
from cmg.memory.ranking.corpus import Corpus, Ints
from cmg.memory.ranking.held import Held
from cmg.memory.ranking.purposes import kinds_for, steered
from cmg.memory.ranking.question import Question, asked, bounded, standing_terms
from cmg.memory.ranking.sampling import Sample, leads, postings
from cmg.memory.ranking.scoring import Scores, score, strong
from cmg.memory.ranking.store import (
    ALL_RANKED,
    VERY_MANY,
    Asked,
    Fetched,
    Found,
    Profile,
    RankingStore,
    Search,
    Sizes,
    whole,
)
from cmg.storage.database import Connection, Database

NO_FILTERS = Filters()
Embedding: TypeAlias = asyncio.Future[QueryVector | None]
_PROFILES = 4096
_PROFILE_S = 600.0  # each search brings what is known by now, and asks again where that changes the question
_SAMPLE_S = 600.0  # a conversation does not change its nature faster
_SAMPLES = 1024  # of 10 KB for notes, of 40 KB for searches
_SECOND_S = 5.0  # what a second connection is wanted for is cancelled with the search
_INDEX_S = 60.0  # the index of neighbours grows, and a user's vectors move into it
SEARCH = Sizes(every=ALL_RANKED, candidates=150, sample=200)
LARGE = Sizes(every=ALL_RANKED, candidates=100, sample=100)  # 2 of 17 ms less, where a vector is a page each
# A note holds a few lines, and only what has the question's words or its meaning.
NOTE = Sizes(every=500, candidates=64, sample=64)
_MORE = 20  # passages that are looked at for that beyond those given out
_LOOKED_THROUGH = 120  # of the best, a millisecond
# Of whom nothing is known: mostly a person who talks to an assistant, so nobody has a name.
_STRANGER = Profile(NOTE.every + 1, [], 0, None)
_STRANGERS_EACH = 500  # of a word
_COST = 0.1 / 30  # of score a token, where tokens are short: of what fits as well the shorter one leaves room


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """One search. `limit`: passages at most; `token_budget` bounds their tokens, with `for_note` those of their lines.

    `floor`: leave out what scores less than this share of the best; and if nothing means nearly what is asked, what
    holds few of its words.
    `key_id`: the key that asks, where it reads its own users alone. Without a `query` a `purpose` that is after some
    kinds finds all that is of them.
    """

    owner: Owner
    query: str
    purpose: str | None = None
    limit: int
    token_budget: int | None = None
    floor: float = 0.0
    filters: Filters = NO_FILTERS
    key_id: str | None = None

    @property
    def text(self) -> str:
        """What is searched for."""
        return self.query or self.purpose or ""

    @property
    def anything(self) -> bool:
        """Whether it is given out also where it has nothing in common with what is asked."""
        return not self.query and self.filters.kinds is not None


class Finder:
    """Searches for one process; what it holds between searches is bounded."""

    def __init__(self, database: Database, embedder: QueryEmbedder | None, clock: Clock, embed_s: float) -> None:
        self._database, self._store, self._embedder = database, RankingStore(), embedder
        self._clock, self._embed_s = clock, embed_s
        self._profiles: Held[Owner, Profile] = Held(clock, _PROFILES, _PROFILE_S)
        self._samples: Held[tuple[Owner, int], Sample] = Held(clock, _SAMPLES, _SAMPLE_S)
        self._by_index: Held[tuple[Owner, int], bool] = Held(clock, _SAMPLES, _INDEX_S)

    async def find(self, wanted: Wanted, timeout_s: float, coming: OnTheWay | None = None) -> list[Hit]:
        """The passages, best first. Raises `UserOfAnotherKey`, `DatabaseAway`.

        `coming`: what is not stored yet, and is ranked with what is; of a user of whom nothing is stored it is not.
        The kinds that a purpose is after lead, and are searched for by themselves: facts drawn from turns are else left
        to their turns.
        """
        kinds, given = kinds_for(wanted.purpose), wanted.filters.kinds
        if given is not None:
            allowed = set(msgspec.json.decode(given, type=list[str]))
            kinds = tuple(kind for kind in kinds if kind in allowed)
        if not kinds:
            return await self._search(wanted, timeout_s, coming)
        filters = msgspec.structs.replace(wanted.filters, kinds=msgspec.json.encode(kinds).decode())
        of_kinds = msgspec.structs.replace(wanted, filters=filters)
        both = await asyncio.gather(self._search(wanted, timeout_s, coming), self._search(of_kinds, timeout_s))
        return steered(*both, wanted.limit)

    async def _search(self, wanted: Wanted, timeout_s: float, coming: OnTheWay | None = None) -> list[Hit]:
        """What the user's profile says leads the search; where it proves to be old, the search is done once more."""
        hits: list[Hit] = []
        profile = self._profiles.get(wanted.owner)
        if profile is None:
            # While a question gets its vector there is time to look who asks.
            at_once = self._embedder is None and coming is None and _is_plain_note(wanted)
            profile = _STRANGER if at_once else await self._opened(wanted, timeout_s)
        if profile is not None and walled(wanted.key_id, profile.key_id):
            profile = await self._opened(wanted, timeout_s)  # erased since, and stored by this key
        while profile is not None:
            if walled(wanted.key_id, profile.key_id):
                raise UserOfAnotherKey
            if not wanted.text:
                return []
            hits, known = await self._searched(wanted, profile, timeout_s, coming)
            self._keep(wanted.owner, known)
            if known is None or (hits if profile is _STRANGER else known.asks_like(profile)):
                break
            profile = known
        return hits

    async def _searched(
        self, wanted: Wanted, profile: Profile, timeout_s: float, coming: OnTheWay | None
    ) -> tuple[list[Hit], Profile | None]:
        """The passages, and what is known of the user now."""
        question = _question(wanted, profile.people)
        ids = () if coming is None else coming.ids
        asked_for = Asked(question, wanted.filters, self._clock.now(), wanted.key_id, ids)
        few = _few_are_enough(wanted, profile.passages)
        embedding = self._embedding(question.bare, profile, min(self._embed_s, timeout_s))
        try:
            if embedding is not None:  # it shall be on its way to the embedder before anything else is done
                await asyncio.sleep(0)
            # With filters the best way depends on the user.
            async with self._database.connection(timeout_s, keeps_plans=few) as conn:
                ranked = self._at_once if profile is _STRANGER else self._candidates if few else self._all
                if coming is not None:
                    asyncio.get_running_loop().call_soon(coming.measure)  # as soon as the database is at work
                corpus, known, texts, become, _ = await ranked(conn, wanted, asked_for, profile.passages, embedding)
                if corpus is None:
                    return [], known
                late: dict[int, Coming] = {}
                if coming is not None:
                    late = numbered(coming.passages(*(become or await self._store.become(conn, wanted.owner, ids))))
                if late:
                    corpus = joined(corpus, late, question, standing_terms(wanted.owner))
                likely = holding(wanted.text, (known or profile).people)
                chosen, scores = _chosen(corpus, question, wanted, 0 if likely is None else _MORE)
                seqs = corpus.seq[chosen].tolist()
                now = asked_for.now if wanted.filters.as_of is None else None
                if texts is None:
                    stored = [seq for seq in seqs if seq not in late]
                    read = await self._store.passages(conn, wanted.owner, stored, wanted.key_id, now)
                    texts = {one.seq: one for one in read}
                found = [
                    hit(seq, late[seq]) if seq in late else texts[seq] for seq in seqs if seq in late or seq in texts
                ]
        finally:
            if embedding is not None:
                embedding.cancel()
        totals = dict(zip(seqs, scores.total[chosen].tolist(), strict=True))
        hits = [msgspec.structs.replace(hit, score=totals[hit.seq]) for hit in found]
        if likely is None:
            return hits, known
        near = set(corpus.seq[chosen[~scores.hit[chosen]]].tolist())
        return _answers_first(hits, lambda *held: scores.answer * likely(*held), near, wanted), known

    def knows(self, owner: Owner) -> bool:
        """Whether the last search for this user found that there is anything."""
        return self._profiles.get(owner) is not None

    async def warm_up(self, connections: int, timeout_s: float) -> None:
        """Prepare the statements on so many connections: on a new one the first search takes 15 ms more.

        Raises `DatabaseAway`.
        """

        async def prepare() -> None:
            for candidates in (True, False):
                async with self._database.connection(timeout_s, keeps_plans=candidates) as conn:
                    await self._store.prepare(conn, candidates=candidates)

        await asyncio.gather(*(prepare() for _ in range(connections)))

    async def _all(
        self, conn: Connection, wanted: Wanted, asked_for: Asked, passages: int, embedding: Embedding | None
    ) -> Fetched:
        """All passages that may be given out; what needs no vector is read while the question gets its own."""
        fetched = await self._store.corpus(conn, wanted.owner, asked_for, passages)
        vector = None if embedding is None else await embedding
        blind = vector is None and not asked_for.question.terms and not wanted.anything
        if fetched.corpus is None or blind:
            return fetched._replace(corpus=None)
        if vector is None:
            return fetched
        compared = await self._store.compared(conn, wanted.owner, fetched.corpus, vector, passages)
        return fetched._replace(corpus=compared)

    async def _candidates(
        self, conn: Connection, wanted: Wanted, asked_for: Asked, passages: int, embedding: Embedding | None
    ) -> Fetched:
        """Those passages that may rank high; what has the words is looked up while the question gets its vector."""
        owner, question = wanted.owner, asked_for.question
        sizes = _sizes(wanted, passages)
        sample = await self._sample(conn, owner, sizes.sample)
        lead, drawn = leads(question, sample, passages), sample.seq.tolist()
        # What the person said would be lost among an assistant's long answers.
        own = sizes.candidates // 2 if sample.assisted and question.speaker != "assistant" else 0
        texts = sizes is NOTE  # which gives out many of its candidates: one statement less
        search = Search(lead.terms, sizes.candidates, own, drawn, texts)
        vector: QueryVector | None = None
        found: Found | None = None
        if embedding is not None and passages >= VERY_MANY:
            found, vector = await self._both_ways(conn, owner, search, passages, embedding)
        elif embedding is not None:
            found, vector = Found(await self._store.by_words(conn, owner, search)), await embedding
        few = await self._store.candidates(conn, owner, asked_for, search, vector, found)
        return whole(few, sample, question.named, lead.held, passages)

    async def _at_once(
        self, conn: Connection, wanted: Wanted, asked_for: Asked, _passages: int, _embedding: Embedding | None
    ) -> Fetched:
        """What has the words of somebody of whom nothing is known, and on another connection meanwhile who that is.

        No corpus where that changes what is to be looked for.
        """
        owner, question, most = wanted.owner, asked_for.question, NOTE.candidates
        search = Search(question.terms, most + most // 2, most // 2, texts=True, each=_STRANGERS_EACH)
        if not self._database.spare(keeps_plans=True):
            return Fetched(None, await self._open(conn, wanted))
        opened = asyncio.ensure_future(self._opened(wanted, _SECOND_S))
        try:
            few = await self._store.candidates(conn, owner, asked_for, search)
            known = await opened
        finally:
            opened.cancel()
        sample = self._samples.get((owner, NOTE.sample))
        if (
            known is None
            or sample is None
            or known.passages > ALL_RANKED
            or _question(wanted, known.people) != question
        ):
            return Fetched(None, known)
        return whole(few, sample, question.named, postings(sample, question), known.passages)

    async def _both_ways(
        self, conn: Connection, owner: Owner, search: Search, passages: int, embedding: Embedding
    ) -> tuple[Found, QueryVector | None]:
        """What has the words, on this connection, and on another one meanwhile, if there is one, what is nearest."""

        async def nearest() -> list[int] | None:
            async with self._database.connection(_SECOND_S, keeps_plans=True) as second:
                return await self._nearest(second, owner, search, passages, await embedding)

        if not self._database.spare(keeps_plans=True):
            words, vector = await self._store.by_words(conn, owner, search), await embedding
            return Found(words, await self._nearest(conn, owner, search, passages, vector)), vector
        near = asyncio.ensure_future(nearest())
        try:
            words = await self._store.by_words(conn, owner, search)
            return Found(words, await near), await embedding
        finally:
            near.cancel()

    async def _nearest(
        self, conn: Connection, owner: Owner, search: Search, passages: int, vector: QueryVector | None
    ) -> list[int] | None:
        """What the index of neighbours finds, if it is worth asking."""
        if vector is None or not await self._index_pays(conn, owner, passages, vector.model_no):
            return None
        return await self._store.by_neighbours(conn, owner, vector, search)

    async def _index_pays(self, conn: Connection, owner: Owner, passages: int, model_no: int) -> bool:
        pays = self._by_index.get((owner, model_no))
        if pays is None:
            pays = await self._store.index_pays(conn, owner, passages, model_no)
            self._by_index.put((owner, model_no), pays)
        return pays

    async def _sample(self, conn: Connection, owner: Owner, size: int) -> Sample:
        sample = self._samples.get((owner, size))
        if sample is None:
            sample = await self._store.sample(conn, owner, size)
            self._samples.put((owner, size), sample)
        return sample

    def _embedding(self, text: str, profile: Profile, timeout_s: float) -> Embedding | None:
        if self._embedder is None or not text.strip():
            return None
        return asyncio.ensure_future(self._vector(self._embedder, text, profile, timeout_s))

    async def _vector(
        self, embedder: QueryEmbedder, text: str, profile: Profile, timeout_s: float
    ) -> QueryVector | None:
        """The question's vector by the model that the user is searched by, None when there is none in time."""
        if not profile.model_no:
            return await embedder.vector(text, timeout_s)
        vectors = await embedder.vectors(text, timeout_s)
        return next((one for one in vectors if one.model_no == profile.model_no), None)

    async def _opened(self, wanted: Wanted, timeout_s: float) -> Profile | None:
        """The user's profile, read now; where few passages will be ranked their sample comes with it."""
        if self._embedder is not None and wanted.query.strip():
            self._embedder.begin(bounded(wanted.query))  # which it will be, unless it names who takes part
        async with self._database.connection(timeout_s, keeps_plans=True) as conn:
            return await self._open(conn, wanted)

    async def _open(self, conn: Connection, wanted: Wanted) -> Profile | None:
        sizes = NOTE if wanted.floor else SEARCH
        if _searches_all(wanted.filters):
            found, sample = await self._store.profile(conn, wanted.owner), None
        else:
            found, sample = await self._store.opening(conn, wanted.owner, sizes.sample, sizes.every)
        if sample is not None:
            self._samples.put((wanted.owner, sizes.sample), sample)
        self._keep(wanted.owner, found)
        return found

    def _keep(self, owner: Owner, profile: Profile | None) -> None:
        if profile is None:
            self._profiles.drop(owner)
        else:
            self._profiles.put(owner, profile)


def _question(wanted: Wanted, people: Sequence[str]) -> Question:
    """`people`: who takes part in the user's conversations."""
    return asked(wanted.owner, wanted.text, wanted.purpose if wanted.query else None, people)


def _sizes(wanted: Wanted, passages: int) -> Sizes:
    if wanted.floor:
        return NOTE
    return LARGE if passages >= VERY_MANY else SEARCH


def _few_are_enough(wanted: Wanted, passages: int) -> bool:
    """Whether to rank those passages alone that may rank high, not all."""
    return not _searches_all(wanted.filters) and passages > _sizes(wanted, passages).every


def _is_plain_note(wanted: Wanted) -> bool:
    return bool(wanted.floor and wanted.query) and not _searches_all(wanted.filters)


def _searches_all(filters: Filters) -> bool:
    """Whether the filters decide what is ranked: a sample cannot stand for it."""
    return filters.narrows or filters.as_of is not None


def _chosen(corpus: Corpus, question: Question, wanted: Wanted, more: int) -> tuple[Ints, Scores]:
    """Which rows are given out, and `more`: hits before mere neighbours, best first, newer before older."""
    scores = score(corpus, question)
    allowed = corpus.fits if wanted.anything else corpus.fits & scores.related
    if wanted.floor:
        allowed &= strong(corpus, scores, question, wanted.floor)
    worth = scores.total if wanted.token_budget is None else scores.total - _COST * corpus.tokens
    rows = np.flatnonzero(allowed)
    order: Ints = rows[np.lexsort((-corpus.seq[rows], -worth[rows], ~scores.hit[rows]))]
    if wanted.token_budget is not None:
        used = np.cumsum(corpus.tokens[order])
        order = order[
            (used - corpus.tokens[order] < wanted.token_budget) & (corpus.tokens[order] <= wanted.token_budget)
        ]
    return order[: wanted.limit + more], scores


def _answers_first(hits: list[Hit], likely: Likely, near: set[int], wanted: Wanted) -> list[Hit]:
    """The hits again, those raised that hold the kind of answer which the question asks for; `near` stay behind."""
    cost = 0.0 if wanted.token_budget is None else _COST
    raised = [
        msgspec.structs.replace(hit, score=hit.score + likely(hit.content, hit.tokens))
        for hit in hits[:_LOOKED_THROUGH]
    ]
    raised += hits[_LOOKED_THROUGH:]
    raised.sort(key=lambda hit: (hit.seq in near, cost * hit.tokens - hit.score, -hit.seq))
    return raised[: wanted.limit]
