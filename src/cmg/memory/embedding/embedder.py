"""What every embedder offers, its one error, and a vector as PostgreSQL reads it."""

import unicodedata
from collections.abc import Sequence
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from cmg.memory.text.cleaning import clean

Vectors = NDArray[np.float32]
TEXT_CHARACTERS = 4000  # of a longer text no model here would read the rest
_PLACES = 5  # behind the point
_BEHIND_LATIN, _LATIN_MORE = "\u0250", ("\u1e00", "\u1eff")
_encode = msgspec.json.Encoder().encode


class Model(msgspec.Struct, frozen=True, array_like=True):
    """Which model makes the vectors. `instead_of`: why it is not the one that was asked for."""

    name: str
    dimension: int
    instead_of: str | None = None


class EmbeddingFailed(Exception):
    """No vectors came.

    `refused`: because of the texts, they would fail again. `lost`: the embedder died with them in its hands. Neither:
    the embedder is away, too slow or too busy; the same texts may work in a moment.
    """

    def __init__(self, message: str, *, refused: bool = False, lost: bool = False) -> None:
        super().__init__(message)
        self.refused, self.lost = refused, lost


class Embedder(Protocol):
    """Embeds texts with one model, wherever that runs."""

    async def describe(self, timeout_s: float) -> Model:
        """The model that `embed` uses now. Raises `EmbeddingFailed`."""
        ...

    async def embed(self, texts: Sequence[str], timeout_s: float) -> Vectors:
        """One row of length 1 for each text, float32 (texts, dimension). Raises `EmbeddingFailed`."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


def bounded(text: str) -> str:
    """The part of a text that is embedded, letters for show (script, ligatures, full width) as usual ones."""
    text = clean(text[:TEXT_CHARACTERS])
    return text if text.isascii() else unicodedata.normalize("NFKC", text)[:TEXT_CHARACTERS]


def readable(text: str) -> bool:
    """Whether at least half of a text's letters are Latin, or it has none."""
    if text.isascii():
        return True
    letters = [one for one in unicodedata.normalize("NFKC", text) if one.isalpha()]
    latin = sum(one < _BEHIND_LATIN or _LATIN_MORE[0] <= one <= _LATIN_MORE[1] for one in letters)
    return 2 * latin >= len(letters)


def normalised(vectors: Vectors) -> Vectors:
    """The rows with length 1; a row of zeros stays as it is."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.float32(1e-12)), np.float32)


def as_text(vector: Vectors) -> str:
    """`[0.0512,-0.1,…]`: pgvector's form, of a vector of length 1, to the precision of a half float."""
    return _encode(vector.astype(np.float64).round(_PLACES).tolist()).decode()
