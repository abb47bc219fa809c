"""Whole encoders: against a plain forward pass in numpy, and against themselves in company."""

import json
import math
import pathlib
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import small

import splade_kernels as sk

Array = Any


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    file = tmp_path_factory.mktemp("model") / "small.splade"
    sk.write_model(file, small.config(), small.tensors())
    return file


@pytest.fixture(scope="module")
def model(file: pathlib.Path) -> sk.Model:
    return sk.Model.load(file)


def plain(ids: Array) -> Array:
    """The largest logits in fp64, without any quantizing."""
    t = {name: tensor.astype(np.float64) for name, tensor in small.tensors().items()}

    def linear(name: str, x: Array) -> Array:
        return x @ t[f"{name}.weight"].T + t[f"{name}.bias"]

    def norm(name: str, x: Array) -> Array:
        x = x - x.mean(axis=1, keepdims=True)
        x = x / np.sqrt((x * x).mean(axis=1, keepdims=True) + 1e-12)
        return x * t[f"{name}.weight"] + t[f"{name}.bias"]

    def gelu(x: Array) -> Array:
        return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))

    embeddings = "bert.embeddings"
    x = t[f"{embeddings}.word_embeddings.weight"][ids]
    x = x + t[f"{embeddings}.position_embeddings.weight"][: len(ids)]
    x = norm(f"{embeddings}.LayerNorm", x + t[f"{embeddings}.token_type_embeddings.weight"][0])
    for i in range(2):
        layer = f"bert.encoder.layer.{i}"
        parts = [
            linear(f"{layer}.attention.self.{part}", x).reshape(len(ids), 3, 16)
            for part in ("query", "key", "value")
        ]
        scores = np.einsum("qhd,khd->hqk", parts[0], parts[1]) / 4
        weights = np.exp(scores - scores.max(axis=2, keepdims=True))
        weights /= weights.sum(axis=2, keepdims=True)
        context = np.einsum("hqk,khd->qhd", weights, parts[2]).reshape(len(ids), 48)
        x = norm(
            f"{layer}.attention.output.LayerNorm",
            x + linear(f"{layer}.attention.output.dense", context),
        )
        inner = gelu(linear(f"{layer}.intermediate.dense", x))
        x = norm(f"{layer}.output.LayerNorm", x + linear(f"{layer}.output.dense", inner))
    head = "cls.predictions"
    x = norm(f"{head}.transform.LayerNorm", gelu(linear(f"{head}.transform.dense", x)))
    logits: Array = x @ t[f"{embeddings}.word_embeddings.weight"].T + t[f"{head}.bias"]
    return logits.max(axis=0)


def test_it_is_the_model_but_for_quantizing(model: sk.Model) -> None:
    ids, offsets = small.texts([1, 5, 64, 96])
    got = model.encode(ids, offsets)
    for i in range(4):
        wanted = plain(ids[offsets[i] : offsets[i + 1]])
        cosine = got[i] @ wanted / np.linalg.norm(got[i]) / np.linalg.norm(wanted)
        assert cosine > 0.9995
        assert np.abs(got[i] - wanted).max() < 0.1


def test_a_text_is_the_same_alone_in_any_batch_with_any_threads(model: sk.Model) -> None:
    lengths = [96, 1, 33, 7, 80, 2, 96, 96, 11, 64, 0, 50]
    ids, offsets = small.texts(lengths)
    wanted = model.encode(ids, offsets, threads=1)
    for threads in (2, 3, 7):
        assert np.array_equal(model.encode(ids, offsets, threads=threads), wanted)
    for i, length in enumerate(lengths):
        mine = ids[offsets[i] : offsets[i + 1]]
        assert np.array_equal(model.encode(mine, [0, length], threads=2)[0], wanted[i])


@pytest.mark.parametrize("path", sk.paths())
def test_every_path_gives_the_same_bits(file: pathlib.Path, model: sk.Model, path: str) -> None:
    ids, offsets = small.texts([31, 96])
    other = sk.Model.load(file, path=path)
    assert other.path == path
    assert np.array_equal(other.encode(ids, offsets), model.encode(ids, offsets))


@pytest.mark.parametrize("logs", [0, 1, 2])
def test_sparse_is_what_is_above_zero(model: sk.Model, logs: int) -> None:
    ids, offsets = small.texts([9, 0, 70])
    rows, terms, weights = model.encode_sparse(ids, offsets, logs=logs)
    dense = np.maximum(model.encode(ids, offsets), 0)
    for _ in range(logs):
        dense = np.log1p(dense)
    assert rows.tolist() == [0, *np.cumsum((dense > 0).sum(axis=1))]
    for i in range(3):
        mine = slice(rows[i], rows[i + 1])
        assert np.array_equal(terms[mine], np.flatnonzero(dense[i]))
        np.testing.assert_allclose(weights[mine], dense[i][terms[mine]], rtol=3e-7)


def test_the_mask_says_which_tokens_count(model: sk.Model) -> None:
    ids, offsets = small.texts([10, 4])
    one = [np.eye(14, dtype=bool)[i] for i in range(14)]
    each = np.stack([model.encode(ids, offsets, mask=mask) for mask in one])
    every = model.encode(ids, offsets)
    assert np.array_equal(each.max(axis=0), every)
    assert np.isneginf(each[0][1]).all()
    ends = np.ones(14, bool)
    ends[[0, 9, 10, 13]] = False
    assert np.array_equal(model.encode(ids, offsets, mask=ends), each[ends].max(axis=0))


def test_no_texts_at_all(model: sk.Model) -> None:
    assert model.encode([], [0]).shape == (0, small.VOCABULARY)
    rows, terms, weights = model.encode_sparse([], [0])
    assert (rows.tolist(), len(terms), len(weights)) == ([0], 0, 0)


@pytest.mark.parametrize("vocabulary", [65_537, 250_002])
def test_large_vocabularies(vocabulary: int) -> None:
    made = small.tensors()
    words = np.random.default_rng(9).normal(size=(vocabulary, 48)).astype(np.float32)
    made["bert.embeddings.word_embeddings.weight"] = words
    made["cls.predictions.bias"] = np.zeros(vocabulary, np.float32)
    large = sk.Model.from_arrays(small.config(), made)
    ids = [vocabulary - 1, 70, 65_536, 3] * 20
    logits = large.encode(ids, range(0, 81, 4), threads=2)
    rows, terms, weights = large.encode_sparse(ids, range(0, 81, 4), logs=0)
    assert logits.shape == (20, vocabulary)
    assert np.array_equal(logits[0], logits[19])
    # Large enough that a chunk's head is shared by the threads.
    assert np.array_equal(large.encode(ids, range(0, 81, 4), threads=1), logits)
    assert np.array_equal(terms[: rows[1]], np.flatnonzero(logits[0] > 0))
    assert np.array_equal(weights[: rows[1]], logits[0][terms[: rows[1]]])
    assert terms.max() > vocabulary - 100


def test_out_is_written_to(model: sk.Model) -> None:
    ids, offsets = small.texts([3])
    out = np.zeros((1, small.VOCABULARY), np.float32)
    assert model.encode(ids, offsets, out=out) is out
    assert np.array_equal(out, model.encode(ids, offsets))
    with pytest.raises(ValueError, match="out must be a contiguous float32 array"):
        model.encode(ids, offsets, out=out.astype(np.float64))


def test_from_arrays_is_the_file(model: sk.Model) -> None:
    ids, offsets = small.texts([20])
    other = sk.Model.from_arrays(small.config(), small.tensors())
    assert np.array_equal(other.encode(ids, offsets), model.encode(ids, offsets))


def test_old_names_of_norms_are_understood(model: sk.Model) -> None:
    ends = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    old = {}
    for name, tensor in small.tensors().items():
        for end, other in ends.items():
            name = name.replace(end, other)
        old[name] = tensor
    ids, offsets = small.texts([20])
    got = sk.Model.from_arrays(small.config(), old).encode(ids, offsets)
    assert np.array_equal(got, model.encode(ids, offsets))


@pytest.mark.parametrize(
    ("ids", "offsets", "more", "message"),
    [
        ([1, 2], [0, 1], {}, "offsets must begin with 0 and end with the number of ids, 2."),
        ([1, 2], [0, 3, 2], {}, "offsets must not fall, but text 1 has -1 tokens."),
        ([1, 211], [0, 2], {}, "Token 1 has the id 211; the vocabulary has 211 terms."),
        ([-1], [0, 1], {}, "Token ids must not be negative."),
        ([1] * 97, [0, 97], {}, "Text 0 has 97 tokens; the model takes at most 96."),
        ([1], [0, 1], {"mask": [True, False]}, "The mask has 2 entries for 1 ids."),
        ([1], [0, 1], {"threads": 0}, "threads must be at least 1."),
        ([[1]], [0, 1], {}, "ids and offsets must be arrays of one dimension, offsets not empty."),
        ([], [], {}, "ids and offsets must be arrays of one dimension, offsets not empty."),
    ],
)
def test_bad_texts_are_refused(
    model: sk.Model, ids: Any, offsets: Any, more: dict[str, Any], message: str
) -> None:
    for encode in (model.encode, model.encode_sparse):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            encode(ids, offsets, **more)


def without(name: str) -> dict[str, Array]:
    made = small.tensors()
    del made[name]
    return made


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: sk.convert({"model_type": "t5"}, {}),
            "Models of the type 't5' are not supported; bert, distilbert, roberta, xlm-roberta, "
            "camembert, modernbert are.",
        ),
        (
            lambda: sk.convert(small.config(), without("cls.predictions.transform.dense.weight")),
            "The model has no tensor 'cls.predictions.transform.dense.weight'.",
        ),
        (
            lambda: sk.convert(small.config(hidden_act="mish"), small.tensors()),
            "The activation 'mish' (hidden_act) is not supported.",
        ),
        (
            lambda: sk.convert(
                small.config(position_embedding_type="relative_key"), small.tensors()
            ),
            "Position embeddings of the type 'relative_key' are not supported.",
        ),
        (
            lambda: sk.convert(
                small.config(),
                small.tensors() | {"cls.predictions.decoder.weight": np.ones((5, 48), np.float32)},
            ),
            "The head has 5 terms, the vocabulary 211: such a model is not supported.",
        ),
        (
            lambda: sk.Model.from_arrays(small.config(num_attention_heads=5), small.tensors()),
            "The model is damaged: 48 hidden values cannot be shared among 5 heads.",
        ),
    ],
)
def test_models_that_cannot_be_run_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make()


def damage(data: bytes, how: str) -> bytes:
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    if how == "cut":
        return data[:-100]
    if how == "empty":
        return b""
    if how == "no header":
        return (1 << 60).to_bytes(8, "little") + data[8:]
    if how == "no json":
        return data[:8] + b"?" + data[9:]
    if how == "format":
        header["__metadata__"]["format"] = "splade-kernels-9"
    elif how == "missing":
        del header["head.scale"]
    elif how == "shape":
        header["head.scale"]["shape"] = [1, small.VOCABULARY]
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("cut", 'is damaged: the tensor "'),
        ("empty", "is damaged: it has fewer than 8 bytes."),
        ("no header", "is damaged: its header of 1152921504606846976 bytes goes beyond its end."),
        ("no json", "is damaged: its header is not JSON ("),
        (
            "format",
            'its format is "splade-kernels-9", this version of splade_kernels reads',
        ),
        ("missing", 'the tensor "head.scale" is missing'),
        ("shape", 'the tensor "head.scale" is F32 [1, 211], not F32 [211]'),
    ],
)
def test_a_damaged_file_is_refused(
    file: pathlib.Path, tmp_path: pathlib.Path, how: str, message: str
) -> None:
    bad = tmp_path / "bad.splade"
    bad.write_bytes(damage(file.read_bytes(), how))
    with pytest.raises(ValueError, match=re.escape(message)):
        sk.Model.load(bad)


def test_a_missing_file_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="cannot be opened") as caught:
        sk.Model.load(tmp_path / "none.splade")
    assert "none.splade" in str(caught.value)
