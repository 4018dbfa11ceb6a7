"""Embeddings of an API: batches, repetitions within the deadline, and answers that are not what they should be."""

import math

import msgspec
import numpy as np
import pytest

from cmg.memory.embedding import upstream as upstream_module
from cmg.memory.embedding.embedder import EmbeddingFailed
from cmg.memory.embedding.upstream import UpstreamEmbedder


class Endpoint:
    """An API's `/embeddings`: answers what the test scripted, then vectors of three dimensions."""

    def __init__(self, *script: object) -> None:
        self.script, self.sizes, self.dimension = list(script), [], 3

    async def __call__(self, body: bytes, _timeout_s: float) -> tuple[int, bytes]:
        asked = msgspec.json.decode(body)
        self.sizes.append(len(asked["input"]))
        if self.script:
            told = self.script.pop(0)
            if isinstance(told, BaseException):
                raise told
            return told
        rows = [
            {"index": n, "embedding": [len(text), *[1.0] * (self.dimension - 1)]}
            for n, text in enumerate(asked["input"])
        ]
        return 200, msgspec.json.encode({"data": rows[::-1], "model": asked["model"]})


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(upstream_module, "_BACKOFF_S", (0.01, 0.02))


def answer(*vectors: list[object]) -> tuple[int, bytes]:
    return 200, msgspec.json.encode({"data": [{"index": n, "embedding": one} for n, one in enumerate(vectors)]})


async def test_texts_go_out_in_batches_and_come_back_in_order_with_length_one():
    endpoint = Endpoint()
    texts = ["x" * n for n in range(1, 151)]
    rows = await UpstreamEmbedder("up", "m", endpoint).embed(texts, 5)
    assert endpoint.sizes == [64, 64, 22]
    assert rows.shape == (150, 3)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1)
    assert rows[9][0] / rows[9][1] == pytest.approx(10)


async def test_the_model_is_named_by_its_upstream_and_has_the_answers_dimension():
    model = await UpstreamEmbedder("up", "org/m", Endpoint()).describe(5)
    assert (model.name, model.dimension) == ("up/org/m", 3)


@pytest.mark.parametrize("first", [(429, b"slow down"), (503, b""), ConnectionResetError("gone"), TimeoutError()])
async def test_what_may_pass_is_tried_again(first):
    endpoint = Endpoint(first, first)
    assert (await UpstreamEmbedder("up", "m", endpoint).embed(["a"], 5)).shape == (1, 3)
    assert len(endpoint.sizes) == 3


async def test_the_deadline_ends_the_attempts():
    with pytest.raises(EmbeddingFailed, match="gave no embeddings within") as caught:
        await UpstreamEmbedder("up", "m", Endpoint(*[(503, b"")] * 1000)).embed(["a"], 0.1)
    assert not caught.value.refused


@pytest.mark.parametrize(("status", "refused"), [(400, True), (413, True), (401, False), (404, False)])
async def test_only_an_error_about_the_texts_is_their_fault(status, refused):
    with pytest.raises(EmbeddingFailed, match=f"status {status}") as caught:
        await UpstreamEmbedder("up", "m", Endpoint((status, b"no"))).embed(["a"], 5)
    assert caught.value.refused is refused


@pytest.mark.parametrize(
    "told",
    [
        (200, b"<html>"),
        (200, b'{"data":[]}'),
        answer([math.nan, 1.0]),
        answer([]),
        answer(["a", "b"]),
        answer([1.0], [2.0, 3.0]),
    ],
    ids=["html", "too few", "nan", "empty", "words", "ragged"],
)
async def test_an_answer_that_is_no_embedding_is_an_error(told):
    with pytest.raises(EmbeddingFailed, match="answered with"):
        await UpstreamEmbedder("up", "m", Endpoint(told)).embed(
            ["a"] * (2 if told == answer([1.0], [2.0, 3.0]) else 1), 5
        )


async def test_a_model_that_changes_its_dimension_is_another_model_from_then_on():
    endpoint = Endpoint()
    embedder = UpstreamEmbedder("up", "m", endpoint)
    await embedder.embed(["a"], 5)
    endpoint.dimension = 5
    with pytest.raises(EmbeddingFailed, match="had 3 dimensions and now has 5"):
        await embedder.embed(["a"], 5)
    assert (await embedder.describe(5)).dimension == 5
    assert (await embedder.embed(["a"], 5)).shape == (1, 5)
