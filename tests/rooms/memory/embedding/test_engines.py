"""The models of this machine: what they find alike, always the same vectors, and no weights but the right ones."""

import hashlib
import shutil

import numpy as np
import pytest

from cmg.memory.embedding import minilm as minilm_module
from cmg.memory.embedding.embedder import as_text
from cmg.memory.embedding.engines import Engines
from cmg.memory.embedding.minilm import DIMENSION, TOKENS, MiniLm, ModelUnusable, converted_file, prepare, source_folder
from cmg.memory.embedding.static import StaticVectors

# The model's card gives no numbers; these are its similarities at 32 bits, to the two digits that 8 bits keep.
PAIRS = [
    ("A cat sits on the mat", "A kitten rests on a rug", 0.66),
    ("How do I reset my password?", "I forgot my login and cannot sign in", 0.66),
    ("A cat sits on the mat", "Quarterly taxes are due", -0.01),
    ("We moved to Lisbon in March", "Where do they live now?", 0.22),
]


def test_alike_texts_are_near_each_other_and_others_are_not(minilm):
    for one, other, known in PAIRS:
        assert float(minilm.embed(one) @ minilm.embed(other)) == pytest.approx(known, abs=0.05), (one, other)


def test_vectors_have_length_one_and_the_models_dimension(minilm):
    for text in ("x", "", "ὦ ἄνδρες 日本語 🎉", "word " * 5000):
        vector = minilm.embed(text)
        assert vector.shape == (DIMENSION,)
        assert float(np.linalg.norm(vector)) == pytest.approx(1, abs=1e-3)


def test_a_model_loaded_again_gives_equal_vectors(minilm, models):
    text = "When did Ana adopt the dog?"
    assert np.array_equal(minilm.embed(text), MiniLm(models).embed(text))


def test_what_stands_behind_the_models_length_changes_nothing(minilm):
    long = "river " * (TOKENS - 2)
    assert np.array_equal(minilm.embed(long), minilm.embed(long + "and a dog"))


def test_weights_with_another_hash_are_refused_and_nothing_is_left(tmp_path):
    source, folder = tmp_path / "source", tmp_path / "models"
    source.mkdir()
    data = bytearray((source_folder() / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (source / "model.safetensors").write_bytes(data)
    with pytest.raises(ModelUnusable, match="is not the file it should be"):
        prepare(folder, source)
    assert [file.name for file in folder.iterdir()] == ["lock"]


def test_a_conversion_that_fails_says_why_and_leaves_nothing(tmp_path, monkeypatch):
    source, folder = tmp_path / "source", tmp_path / "models"
    source.mkdir()
    empty = b"\x02\0\0\0\0\0\0\0{}"  # a weights file without weights
    (source / "model.safetensors").write_bytes(empty)
    monkeypatch.setattr(minilm_module, "_WEIGHTS_SHA256", hashlib.sha256(empty).hexdigest())
    with pytest.raises(ModelUnusable, match=r"(?s)cannot be converted.*KeyError"):
        prepare(folder, source)
    assert [file.name for file in folder.iterdir()] == ["lock"]


def test_a_damaged_converted_file_is_removed_so_that_it_is_made_again(models, tmp_path):
    damaged = converted_file(tmp_path)
    shutil.copy(converted_file(models), damaged)
    with damaged.open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(ModelUnusable, match="cannot be loaded"):
        MiniLm(tmp_path)
    assert not damaged.exists()


def test_a_file_of_an_earlier_form_goes_when_its_successor_is_made(tmp_path):
    earlier = tmp_path / "minilm-l6-v2.53aa5117.1.int8.onnx"
    earlier.write_bytes(b"what an earlier release read")
    assert prepare(tmp_path) == converted_file(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(["lock", converted_file(tmp_path).name])


def test_static_vectors_take_the_place_of_a_model_that_cannot_run(tmp_path):
    (tmp_path / "models").write_text("a file where a folder should be")
    engines = Engines("local", tmp_path / "models")
    assert engines.model.name == "wordllama-256"
    assert "cannot be used" in (engines.model.instead_of or "")
    assert engines.engine(None).embed("hello").shape == (256,)


def test_static_vectors_find_shared_words_alike():
    static = StaticVectors()
    near = float(static.embed("We walked the dog by the river") @ static.embed("a dog walk along the river"))
    far = float(static.embed("We walked the dog by the river") @ static.embed("quarterly tax return"))
    assert near > 0.6
    assert far < 0.3


def test_a_vector_as_text_keeps_what_a_half_float_keeps(minilm):
    vector = minilm.embed("precision")
    read = np.array(as_text(vector).strip("[]").split(","), np.float64)
    assert np.abs(read - vector).max() <= 5e-4 * np.abs(vector).max()
    assert len(as_text(vector)) < 384 * 11


def test_an_unknown_model_is_an_error_that_names_it(models):
    with pytest.raises(ModelUnusable, match="no model 'bert-99'"):
        Engines("static", models).engine("bert-99")
