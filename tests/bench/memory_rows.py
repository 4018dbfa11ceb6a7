"""Conversations for the memory's bench, made by the hundred thousand as the bytes that COPY BINARY takes.

A conversation of 20 turns has one of 600 topics. Half of its words are drawn from the whole language (Zipf), the rest
from its topic's own. A topic's vector is the local model's of its English words, so questions land among the turns
that they mean; each turn lies around it with as much noise as topic (a cosine of about 0.5 between two turns of one).
Words, terms, token counts and vectors are stored in the very form in which the service stores them, but for a word
that stands more than four times in a turn (it is rare) and for the repeated words, which do not stand side by side.
"""

import random
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from seed import vocabulary

from cmg.ledger import tokens
from cmg.memory.embedding.minilm import DIMENSION, MiniLm
from cmg.memory.text.terms import _SIGN, FUNCTION_WORDS, _hash, salt

PER_SESSION = 20
_NOUNS = """
    kitchen garden roof bicycle piano violin passport invoice database server printer camera marathon wedding visa
    mortgage allergy vaccine puppy aquarium balcony sourdough pottery telescope drone festival museum ferry tent
    skateboard thesis scholarship interview contract warehouse bakery orchard beehive greenhouse windmill
"""
_DEEDS = """
    repair budget lesson trip deadline accident purchase complaint recipe schedule permit insurance photograph
    delivery party
"""
NOUNS, DEEDS = _NOUNS.split(), _DEEDS.split()
TOPICS = len(NOUNS) * len(DEEDS)
_OWN, _WORDS = 150, 30_000
_DAY_US = 86_400 * 10**6
COPY_HEAD, COPY_TAIL = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"
TURN_COLUMNS = (
    "id", "seq", "user_no", "thread_no", "created_at", "recorded_at", "digest", "part", "length", "tokens",
    "note_tokens", "message_id", "workspace_id", "kind", "role", "content", "terms",
)  # fmt: skip
VECTOR_COLUMNS = ("user_no", "model_no", "seq", "thread_no", "indexed", "turn", "window")
_TURN = [("id", "V16"), *((name, ">i8") for name in TURN_COLUMNS[1:7]), *((name, ">i4") for name in TURN_COLUMNS[7:11])]
_HALVES = [("dimension", ">i2"), ("unused", ">i2"), ("values", ">f2", DIMENSION)]
_VECTOR = [("user_no", ">i8"), ("model_no", ">i4"), ("seq", ">i8"), ("thread_no", ">i8"), ("indexed", "?")]
_VECTOR += [("turn", _HALVES), ("window", _HALVES)]


class Sessions(NamedTuple):
    """Conversations in the order in which they are stored, one entry each; `salt` is the user's of its terms."""

    user_no: np.ndarray
    thread_no: np.ndarray
    topic: np.ndarray
    salt: np.ndarray
    indexed: np.ndarray


class Language:
    """Words with what is stored of them, and topics with their words and vectors."""

    def __init__(self, model: MiniLm, seed: int = 11) -> None:
        source = np.random.default_rng(seed)
        self.words = [*sorted(FUNCTION_WORDS), *NOUNS, *DEEDS, *vocabulary(_WORDS)]
        first = len(self.words) - _WORDS
        self.encoded = [word.encode() for word in self.words]
        self.hashes = np.array([_hash(word) for word in self.words], np.uint64)
        self.token_counts = np.array([tokens.count(f" {word}") for word in self.words])
        known = {word: place for place, word in enumerate(self.words)}
        own = source.integers(first + 500, len(self.words), (TOPICS, _OWN))
        for topic in range(TOPICS):
            own[topic, :2] = [known[word] for word in topic_words(topic)]
        self.own = own
        self.vectors = np.array([model.embed(" ".join(topic_words(topic))) for topic in range(TOPICS)], np.float32)
        self._common = np.cumsum(1 / (np.arange(len(self.words)) + 3.0))
        self._topical = np.cumsum(1 / (np.arange(_OWN) + 2.0))

    def draw(self, source: np.random.Generator, topics: np.ndarray, count: int) -> np.ndarray:
        """Words for each of these topics, (topics, count), as places in `words`."""
        shape = (len(topics), count)
        common = np.searchsorted(self._common, source.random(shape) * self._common[-1])
        topical = np.searchsorted(self._topical, source.random(shape) * self._topical[-1])
        return np.where(source.random(shape) < 0.5, common, self.own[topics[:, None], topical])


def topic_words(topic: int) -> tuple[str, str]:
    """The two English words of a topic."""
    return NOUNS[topic // len(DEEDS)], DEEDS[topic % len(DEEDS)]


def question(language: Language, topic: int, source: random.Random) -> str:
    """A question about a topic in words that its turns use, hardly ever the same twice."""
    noun, deed = topic_words(topic)
    more = " ".join(language.words[language.own[topic, source.randrange(2, _OWN)]] for _ in range(2))
    return f"What did we say about the {deed} of the {noun} and {more}?"


def turns(language: Language, sessions: Sessions, first_seq: int, workspace_id: str) -> Iterator[bytes]:
    """The rows of `memory_turns`, a session's in a row."""
    source = np.random.default_rng(first_seq)
    count = len(sessions.topic) * PER_SESSION
    each = [np.repeat(column, PER_SESSION) for column in sessions]
    lengths = source.integers(10, 31, count)
    drawn = language.draw(source, each[2], 30)
    used = np.arange(30) < lengths[:, None]
    seqs = first_seq + np.arange(count)
    fixed = _fixed(_TURN, count, len(TURN_COLUMNS))
    for name, values in zip(
        TURN_COLUMNS[1:11],
        (
            seqs, each[0], each[1], _moments(seqs, source), (_now_us(), ) * count, source.integers(0, 1 << 62, count),
            np.zeros(count), lengths, (language.token_counts[drawn] * used).sum(axis=1),
            (language.token_counts[drawn] * used).sum(axis=1) + 14,
        ),
        strict=True,
    ):  # fmt: skip
        fixed[name] = values
    fixed["id"] = np.frombuffer(source.bytes(16 * count), "V16")
    asked = source.random(count) < 0.1
    cells = np.empty(drawn.shape, [("size", ">i4"), ("value", ">i8")])
    cells["size"], cells["value"] = 8, ((language.hashes[drawn] ^ each[3][:, None]) - np.uint64(_SIGN)).view(np.int64)
    own_workspace = _field(workspace_id.encode())
    speakers = [own_workspace + _field(b"message") + _field(role) for role in (b"user", b"assistant")]
    head, encoded, size = fixed.tobytes(), language.encoded, fixed.dtype.itemsize
    for row in range(count):
        length = int(lengths[row])
        content = b" ".join([encoded[word] for word in drawn[row, :length].tolist()]) + (b"?" if asked[row] else b".")
        terms = np.array([1, 0, 20, length, 1], ">i4").tobytes() + cells[row, :length].tobytes()
        named = _field(b"%d" % seqs[row])
        yield b"".join((head[row * size : row * size + size], named, speakers[row % 2], _field(content), _field(terms)))


def vectors(language: Language, sessions: Sessions, first_seq: int, model_no: int) -> bytes:
    """The rows of `memory_vectors` for the same sessions."""
    source = np.random.default_rng(first_seq + 1)
    count = len(sessions.topic)
    centres = language.vectors[sessions.topic][:, None, :]
    noise = source.standard_normal((count, PER_SESSION, DIMENSION), np.float32) / np.float32(DIMENSION**0.5)
    own = _unit(centres + noise)
    around = own.copy()
    around[:, 1:] += own[:, :-1]
    around[:, :-1] += own[:, 1:]
    rows = _fixed(_VECTOR, count * PER_SESSION, len(VECTOR_COLUMNS))
    rows["user_no"], rows["model_no"] = np.repeat(sessions.user_no, PER_SESSION), model_no
    rows["seq"], rows["thread_no"] = first_seq + np.arange(len(rows)), np.repeat(sessions.thread_no, PER_SESSION)
    rows["indexed"] = np.repeat(sessions.indexed, PER_SESSION)
    for name, values in (("turn", own), ("window", _unit(around))):
        rows[name]["dimension"], rows[name]["unused"] = DIMENSION, 0
        rows[name]["values"] = values.reshape(-1, DIMENSION)
    return rows.tobytes()


def salts(workspace_id: str, users: list[str]) -> np.ndarray:
    """What the users' terms are mixed with."""
    return np.array([salt(workspace_id, user) for user in users], np.uint64)


def _fixed(fields: list, rows: int, columns: int) -> np.ndarray:
    """Rows of fields of a fixed size as COPY BINARY wants them: the number of columns, then each with its size."""
    described: list = [("columns", ">i2")]
    for name, *kind in fields:
        described += [(f"size of {name}", ">i4"), (name, *kind)]
    made = np.zeros(rows, described)
    made["columns"] = columns
    for name, *_ in fields:
        made[f"size of {name}"] = made.dtype[name].itemsize
    return made


def _field(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def _unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def _now_us() -> int:
    return 820 * 10**6 * 10**6  # a moment of December 2025, as PostgreSQL counts from 2000


def _moments(seqs: np.ndarray, source: np.random.Generator) -> np.ndarray:
    """When the turns were said: in their order, over the year before."""
    return _now_us() - 400 * _DAY_US + seqs * 30 * 10**6 // 2 + source.integers(0, 10**6, len(seqs))
