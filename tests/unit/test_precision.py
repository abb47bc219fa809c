"""The weights that Lucene keeps: 9 significant bits."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_connectors import SparseVector
from splade_connectors.backends.rounding import as_stored, lucene_nearest, lucene_stored
from splade_connectors.testing.strategies import sparse_vectors

SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)
WEIGHTS = st.floats(SMALLEST_NORMAL, 2.0**100, width=32)


def bits(value: float) -> str:
    """The 32 bits of a float: sign, 8 of exponent, 23 of mantissa."""
    return f"{struct.unpack('>I', struct.pack('>f', value))[0]:032b}"


def value_of(pattern: str) -> float:
    found: float = struct.unpack(">f", struct.pack(">I", int(pattern, 2)))[0]
    return found


def reference_stored(value: float) -> float:
    """Exponent and the first 8 bits of the mantissa; the others are cut off."""
    return value_of(bits(value)[:17] + "0" * 15)


def reference_nearest(value: float) -> float:
    """The nearer of the two neighbours; the upper one where both are as near."""
    below = reference_stored(value)
    above = value_of(f"{int(bits(below), 2) + (1 << 15):032b}")
    return below if value - below < above - value else above


def nearest(value: float) -> float:
    return float(lucene_nearest(np.array([value], np.float32))[0])


def stored(value: float) -> float:
    return float(lucene_stored(np.array([value], np.float32))[0])


@given(WEIGHTS)
def test_what_lucene_keeps_is_the_weight_cut_off(weight: float) -> None:
    assert stored(weight) == reference_stored(weight)
    assert 0 <= weight - stored(weight) < weight / 256


@given(WEIGHTS)
def test_the_nearest_weight_is_the_nearest(weight: float) -> None:
    assert nearest(weight) == reference_nearest(weight)


@given(WEIGHTS)
def test_rounding_errs_by_half_of_what_cutting_off_may(weight: float) -> None:
    assert abs(nearest(weight) - weight) <= weight / 512


@given(WEIGHTS)
def test_a_rounded_weight_is_kept_as_it_is(weight: float) -> None:
    rounded = nearest(weight)
    assert stored(rounded) == rounded
    assert nearest(rounded) == rounded


@given(st.lists(WEIGHTS, min_size=2, max_size=2))
def test_rounding_keeps_the_order(pair: list[float]) -> None:
    low, high = sorted(pair)
    assert nearest(low) <= nearest(high)


@pytest.mark.parametrize(
    ("weight", "cut", "rounded"),
    [
        (1.1, 1.09765625, 1.1015625),  # 1.09765625 is what a server was seen to return
        (1.0, 1.0, 1.0),
        (1.998046875, 1.99609375, 2.0),  # halfway, and over into the next exponent
        (0.1, 0.099853515625, 0.10009765625),
    ],
)
def test_known_values(weight: float, cut: float, rounded: float) -> None:
    assert stored(weight) == cut
    assert nearest(weight) == rounded


def test_the_weights_given_are_not_changed() -> None:
    given_weights = np.array([1.1, 2.3], np.float32)
    before = given_weights.copy()
    lucene_nearest(given_weights)
    lucene_stored(given_weights)
    assert given_weights.tolist() == before.tolist()


@given(sparse_vectors())
def test_a_vector_in_lucene_is_its_rounded_weights(vector: SparseVector) -> None:
    kept = as_stored(vector, "lucene")
    assert kept.indices.tolist() == vector.indices.tolist()
    assert kept.values.tolist() == [nearest(weight) for weight in vector.values.tolist()]
    assert as_stored(kept, "lucene") == kept
    assert as_stored(vector, "float32") == vector


def test_weights_below_the_smallest_normal_number_are_left_out() -> None:
    tiny = np.nextafter(np.float32(SMALLEST_NORMAL), np.float32(0))
    vector = SparseVector(np.array([1, 2, 3]), np.array([tiny, SMALLEST_NORMAL, 1.0], np.float32))
    assert as_stored(vector, "lucene").indices.tolist() == [2, 3]
    assert as_stored(vector, "float32").indices.tolist() == [1, 2, 3]
