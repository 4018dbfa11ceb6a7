"""Counting tokens with the o200k vocabulary: exact for texts of a usual size, bounded for all others."""

from functools import cache
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from typing import Any

EXACT_CHARACTERS = 100_000  # about 5 ms; a longer text is judged by this much of it
_PIECE = 20_000  # a single run of letters without a break costs more than its share beyond this
_BYTES_PER_TOKEN = 4
_COMMON = 8500  # numbers of o200k below this: "remember" (8203) is common, "meeting" (9176) is not


def count(text: str) -> int:
    """How many tokens the text has.

    Counted in pieces (a cut adds at most a token or two); beyond 100,000 characters extrapolated from samples
    over the whole text. Never raises: what is no Unicode counts as its replacement character.
    """
    length = len(text)
    if length <= _PIECE:
        return _count(text)
    if length <= EXACT_CHARACTERS:
        return sum(_count(text[at : at + _PIECE]) for at in range(0, length, _PIECE))
    samples = EXACT_CHARACTERS // _PIECE
    stride = (length - _PIECE) // (samples - 1)
    counted = sum(_count(text[at * stride : at * stride + _PIECE]) for at in range(samples))
    return counted * length // EXACT_CHARACTERS


def estimate(body_bytes: int) -> int:
    """About how many prompt tokens a request body of this many bytes holds; errs on the high side for English."""
    return body_bytes // _BYTES_PER_TOKEN + 1


def is_common(word: str) -> bool:
    """Whether a word is among the commonest over many languages: a token of its own with a low number.

    A vocabulary is built by merging what is most frequent first, so its numbers are ranks of frequency.
    """
    try:
        numbers = _encoding().encode(f" {word}")
    except UnicodeEncodeError:
        return False
    return len(numbers) == 1 and numbers[0] < _COMMON


def _count(text: str) -> int:
    try:
        return int(_encoding().count(text))
    except UnicodeEncodeError:
        return int(_encoding().count(text.encode("utf-8", "replace").decode()))


@cache
def _encoding() -> Any:
    """The vocabulary; 0.1 s and 35 MB at the first use of a process.

    Only the package's native module is loaded: its Python side would unpack the same vocabulary a second time, at
    65 MB in each process.
    """
    package = find_spec("bpe_openai")
    spec = PathFinder.find_spec("bpe_openai._bindings", package.submodule_search_locations if package else [])
    if spec is None or spec.loader is None:
        raise ImportError("bpe-openai is not installed as expected; install from the lock file", name="bpe_openai")
    native = module_from_spec(spec)
    spec.loader.exec_module(native)
    return native.tokenizer_for_encoding("o200k_base")


def warm_up() -> None:
    """Load the vocabulary now, so that no call pays for it."""
    _count("warm")
