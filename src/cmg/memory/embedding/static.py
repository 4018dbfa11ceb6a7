"""Static word vectors (wordllama, 256 dimensions): a text is the mean of its tokens' rows. 0.07 ms, less quality.

As with MiniLM the wheel's files are read and its code is not run: it would bring an HTTP client to download models.
"""

from importlib import metadata
from pathlib import Path

import numpy as np

from cmg.memory.embedding.embedder import EmbeddingFailed, Vectors, bounded
from cmg.memory.embedding.minilm import ModelUnusable

NAME, DIMENSION = "wordllama-256", 256
_WHEEL = "wordllama"
_WEIGHTS = "wordllama/weights/l2_supercat_256.safetensors"
_TOKENIZER = "wordllama/tokenizers/l2_supercat_tokenizer_config.json"
_HEAD = 8  # bytes that say how long the description before the rows is


class StaticVectors:
    """The loaded table. `embed` may be called from several threads."""

    name, dimension = NAME, DIMENSION

    def __init__(self) -> None:
        """Load. Raises `ModelUnusable`."""
        try:
            from tokenizers import Tokenizer  # noqa: PLC0415  as for MiniLM

            files = metadata.distribution(_WHEEL)
            self._table = _table(Path(str(files.locate_file(_WEIGHTS))))
            self._tokenizer = Tokenizer.from_file(str(files.locate_file(_TOKENIZER)))
        except Exception as error:  # whatever is missing or damaged
            raise ModelUnusable(f"the static vectors cannot be loaded: {error!r}") from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def embed(self, text: str) -> Vectors:
        """The vector of one text, of length 1; of a text without tokens all zeros. Raises `EmbeddingFailed`."""
        try:
            ids = self._tokenizer.encode(bounded(text), add_special_tokens=False).ids
        except Exception as error:
            raise EmbeddingFailed(f"the tokenizer failed on a text: {error!r}", refused=True) from error
        if not ids:
            return np.zeros(DIMENSION, np.float32)
        total = self._table[ids].sum(axis=0, dtype=np.float32)
        found: Vectors = total / max(float(np.linalg.norm(total)), 1e-12)
        return found


def _table(file: Path) -> np.ndarray:
    """The one 16-bit array of a file in the safetensors format, mapped."""
    data = np.memmap(file, np.uint8, "r")
    size = int(data[:_HEAD].view("<u8")[0])
    rows: np.ndarray = data[_HEAD + size :].view("<f2").reshape(-1, DIMENSION)
    return rows
