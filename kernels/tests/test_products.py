"""Every path of this processor against numpy: integers to the bit, floats to rounding."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import splade_kernels as sk

SHAPES = [
    (1, 1, 1),
    (1, 4, 16),
    (5, 128, 64),
    (6, 130, 65),
    (7, 64, 200),
    (40, 31, 33),
    (13, 768, 129),
]


@pytest.fixture(params=sk.paths())
def path(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def extremes(
    rng: np.random.Generator, low: int, high: int, shape: tuple[int, int], dtype: Any
) -> Any:
    """Numbers of the whole range, many of them at its ends."""
    ends = rng.choice([low, high], size=shape)
    return np.where(rng.random(shape) < 0.3, ends, rng.integers(low, high + 1, shape)).astype(dtype)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_integers_equal_numpy(path: str, shape: tuple[int, int, int]) -> None:
    rows, depth, terms = shape
    rng = np.random.default_rng(rows + depth)
    acts = extremes(rng, 0, 255, (rows, depth), np.uint8)
    weights = extremes(rng, -128, 127, (terms, depth), np.int8)
    linear = sk.Linear(weights, np.ones(terms), path=path)
    assert np.array_equal(linear.integers(acts), acts.astype(np.int32) @ weights.astype(np.int32).T)


def test_the_largest_sums_do_not_saturate(path: str) -> None:
    acts = np.full((6, 3072), 255, np.uint8)
    for weight in (127, -128):
        linear = sk.Linear(np.full((64, 3072), weight, np.int8), np.ones(64), path=path)
        assert (linear.integers(acts) == 255 * weight * 3072).all()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_forward_is_the_quantized_product(path: str, shape: tuple[int, int, int]) -> None:
    rows, depth, terms = shape
    rng = np.random.default_rng(depth + terms)
    x = rng.normal(size=(rows, depth)).astype(np.float32)
    matrix = rng.normal(size=(terms, depth)).astype(np.float32)
    bias = rng.normal(size=terms).astype(np.float32)
    weights, scale = sk.quantize(matrix)
    got = sk.Linear(weights, scale, bias, path=path).forward(x)
    acts, steps, zero = sk.quantize_rows(x)
    sums = acts.astype(np.int64) @ weights.T.astype(np.int64)
    sums -= zero[:, None].astype(np.int64) * weights.sum(axis=1, dtype=np.int64)
    exact = sums * steps[:, None].astype(float) * scale + bias
    np.testing.assert_allclose(got, exact, rtol=1e-5, atol=1e-5)
    # What quantizing loses: half a step of either factor for each product.
    assert np.abs(got - (x @ matrix.T + bias)).max() < 0.05 * np.sqrt(depth)


def test_floats_are_the_same_on_every_path() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(29, 768)).astype(np.float32) * 3
    weights, scale = sk.quantize(rng.normal(size=(1000, 768)))
    results = [sk.Linear(weights, scale, path=path).forward(x) for path in sk.paths()]
    for result in results[1:]:
        assert np.array_equal(result, results[0])


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_head_is_the_largest_of_its_rows(path: str, threads: int) -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(50, 128)).astype(np.float32)
    weights, scale = sk.quantize(rng.normal(size=(333, 128)))
    linear = sk.Linear(weights, scale, rng.normal(size=333), path=path)
    offsets = [0, 1, 7, 30, 50]
    got = linear.maximum(x, offsets, threads=threads)
    logits = linear.forward(x)
    wanted = [logits[a:b].max(axis=0) for a, b in pairwise(offsets)]
    # The scale is applied behind the maximum, not before it: the last bit may differ.
    np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-6)


def test_a_row_of_zeros_gives_the_bias(path: str) -> None:
    weights, scale = sk.quantize(np.ones((5, 8)))
    bias = np.arange(5, dtype=np.float32)
    got = sk.Linear(weights, scale, bias, path=path).forward(np.zeros((2, 8)))
    assert np.array_equal(got, [bias, bias])


def test_quantize_keeps_the_ends_and_takes_rows_of_zeros() -> None:
    matrix = np.array([[1.0, -2.0, 0.5], [0.0, 0.0, 0.0]], np.float32)
    weights, scale = sk.quantize(matrix)
    assert weights.tolist() == [[64, -127, 32], [0, 0, 0]]
    assert scale.tolist() == [pytest.approx(2 / 127), 1.0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sk.Linear(np.ones((2, 2), np.int16), [1, 1]), "weights must be int8"),
        (lambda: sk.Linear(np.ones((2, 2), np.int8), [1]), "scale and bias must be float32[2]"),
        (
            lambda: sk.Linear(np.ones((2, 2), np.int8), [1, 1], path="mmx"),
            "This processor has no path 'mmx'; it has",
        ),
        (
            lambda: sk.Linear(np.ones((2, 2), np.int8), [1, 1]).forward([[1.0]]),
            "Rows must have the shape [rows, 2], not (1, 1).",
        ),
        (
            lambda: sk.Linear(np.ones((2, 2), np.int8), [1, 1]).maximum([[1.0, 2.0]], [0, 2]),
            "Rows, offsets and result do not fit together.",
        ),
        (
            lambda: sk.Linear(np.ones((2, 2), np.int8), [1, 1]).forward([[1.0, 2.0]], threads=0),
            "threads must be at least 1.",
        ),
    ],
)
def test_bad_input_is_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        make()
    assert message.replace("'", '"') in str(caught.value).replace("'", '"')
