"""Sparse vectors and batches: invariants, dot products, pruning, conversions."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_connectors import PruneOptions, SparseBatch, SparseVector
from splade_connectors.errors import ConfigurationError, InvalidVector
from splade_connectors.testing.strategies import sparse_batches, sparse_vectors, weights
from splade_connectors.vectors import dot, prune

VOCABULARY = 60
VECTORS = sparse_vectors(VOCABULARY)
BATCHES = sparse_batches(VOCABULARY)


def vector(pairs: dict[int, float]) -> SparseVector:
    return SparseVector.from_pairs(pairs)[0]


def u32(*values: int) -> np.ndarray[Any, Any]:
    return np.array(values, np.uint32)


def f32(*values: float) -> np.ndarray[Any, Any]:
    return np.array(values, np.float32)


@pytest.mark.parametrize(
    ("indices", "values", "sentence"),
    [
        ([1, 2], [1.0], "needs one weight per index, got 2 indices and 1 weight"),
        ([2, 1], [1.0, 1.0], "strictly ascending and unique, found 2 then 1; SparseVector.from_"),
        ([1, 3, 3], [1.0, 1.0, 1.0], "strictly ascending and unique, found 3 then 3"),
        ([1, 5], [1.0, 0.0], r"weight 0.0 at position 1 is invalid: .* finite and > 0"),
        ([1], [-0.5], r"weight -0.5 at position 0"),
        ([1], [math.nan], "weight nan at position 0"),
        ([1, 2], [1.0, math.inf], "weight inf at position 1"),
        ([1], [1e39], "weight inf at position 0"),
        ([1], [1e-60], "weight 0.0 at position 0"),
        ([-1], [1.0], r"index -1 does not fit into 32 bits \(0 to 2\^32 - 1\)"),
        ([2**32], [1.0], "index 4294967296 does not fit into 32 bits"),
        ([1.5], [1.0], "indices must be integers, got float64"),
        ([True], [1.0], "indices must be integers, got bool"),
        (["a"], [1.0], "indices must be integers, got <U1"),
        ([[1]], [1.0], r"indices must have one dimension, got shape \(1, 1\)"),
        ([1], [[1.0]], r"weights must have one dimension, got shape \(1, 1\)"),
    ],
)
def test_a_vector_that_breaks_an_invariant_is_refused(
    indices: Any, values: Any, sentence: str
) -> None:
    with pytest.raises(InvalidVector, match=sentence):
        SparseVector(np.array(indices), np.array(values))


def test_an_invalid_vector_is_a_value_error_too() -> None:
    with pytest.raises(ValueError, match="strictly ascending"):
        SparseVector(u32(2, 1), f32(1, 1))


def test_a_vector_of_any_integers_has_uint32_indices_and_float32_weights() -> None:
    made = SparseVector(np.array([0, 2**32 - 1], np.int64), np.array([1, 2], np.int8))
    assert (made.indices.dtype, made.values.dtype) == (np.uint32, np.float32)
    assert made.to_dict() == {0: 1.0, 4294967295: 2.0}


def test_the_empty_vector_has_no_terms() -> None:
    empty = SparseVector.empty()
    assert len(empty) == 0
    assert empty == SparseVector([], [])  # type: ignore[arg-type]
    assert (empty.indices.dtype, empty.values.dtype) == (np.uint32, np.float32)


def test_from_pairs_sorts_and_counts_what_it_dropped() -> None:
    made, dropped = SparseVector.from_pairs([(7, 1.5), (3, 0.0), (1, 2.0), (9, 1e-60)])
    assert made.to_dict() == {1: 2.0, 7: 1.5}
    assert dropped == 2


@pytest.mark.parametrize(
    ("pairs", "sentence"),
    [
        ([(4, 1.0), (2, 1.0), (4, 2.0)], "index 4 is given twice"),
        ([(4, 0.0), (4, 1.0)], "index 4 is given twice"),
        ({1: -1.0}, "weight -1.0 at position 0"),
        ({1: math.nan}, "weight nan"),
        ({1: 1e39}, "weight inf"),
        ({-1: 1.0}, "index -1 does not fit"),
        ({1.5: 1.0}, "indices must be integers"),
    ],
)
def test_from_pairs_refuses(pairs: Any, sentence: str) -> None:
    with pytest.raises(InvalidVector, match=sentence):
        SparseVector.from_pairs(pairs)


@given(st.dictionaries(st.integers(0, 2**32 - 1), st.one_of(st.just(0.0), weights())))
def test_from_pairs_drops_exactly_the_zeros(pairs: dict[int, float]) -> None:
    made, dropped = SparseVector.from_pairs(pairs)
    assert made.to_dict() == {index: weight for index, weight in pairs.items() if weight > 0}
    assert dropped == sum(weight == 0 for weight in pairs.values())
    assert made.indices.tolist() == sorted(made.indices.tolist())


@given(VECTORS)
def test_dense_and_back_is_the_same_vector(one: SparseVector) -> None:
    dense = one.to_dense(VOCABULARY)
    assert dense.shape == (VOCABULARY,)
    assert SparseVector.from_dense(dense) == one


def test_from_dense_refuses_a_negative_entry() -> None:
    with pytest.raises(InvalidVector, match=r"weight -1.0 at position 1"):
        SparseVector.from_dense([0.5, 0.0, -1.0])


@given(VECTORS, VECTORS)
def test_dot_is_that_of_the_dense_vectors(left: SparseVector, right: SparseVector) -> None:
    dense = [one.to_dense(VOCABULARY).astype(np.float64) for one in (left, right)]
    assert left.dot(right) == pytest.approx(float(dense[0] @ dense[1]), rel=1e-12, abs=0)
    assert dot(left, right) == left.dot(right) == right.dot(left)


def test_dot_sums_in_double_precision() -> None:
    one = vector(dict.fromkeys(range(10_001), 0.1))
    exact = 10_001 * float(np.float32(0.1)) ** 2
    assert one.dot(one) == pytest.approx(exact, rel=1e-13)


@given(BATCHES, VECTORS)
def test_the_dot_of_a_batch_is_that_of_its_rows(batch: SparseBatch, query: SparseVector) -> None:
    found = batch.dot(query)
    assert found.dtype == np.float64
    assert found.tolist() == pytest.approx([row.dot(query) for row in batch], rel=1e-12, abs=0)


def reference_prune(one: SparseVector, options: PruneOptions) -> SparseVector:
    """Slow and plain: the ratio first, then the heaviest, ties to the lower index."""
    pairs = list(zip(one.indices.tolist(), one.values, strict=True))
    if options.max_ratio and pairs:
        floor = np.float32(options.max_ratio) * max(weight for _, weight in pairs)
        pairs = [(index, weight) for index, weight in pairs if weight >= floor]
    pairs.sort(key=lambda pair: (-pair[1], pair[0]))
    return vector({index: float(weight) for index, weight in pairs[: options.top_k]})


OPTIONS = st.builds(
    PruneOptions,
    top_k=st.none() | st.integers(1, 12),
    max_ratio=st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.7, 0.999]),
)


@given(VECTORS, OPTIONS)
def test_pruning_keeps_what_the_reference_keeps(one: SparseVector, options: PruneOptions) -> None:
    assert one.prune(options) == reference_prune(one, options) == prune(one, options)


@given(BATCHES, OPTIONS)
def test_pruning_a_batch_prunes_its_rows(batch: SparseBatch, options: PruneOptions) -> None:
    assert list(batch.prune(options)) == [row.prune(options) for row in batch]


def test_ties_keep_the_lower_index() -> None:
    one = vector({5: 1.0, 2: 1.0, 9: 1.0, 1: 0.5})
    assert one.prune(PruneOptions(top_k=2)).to_dict() == {2: 1.0, 5: 1.0}


def test_a_term_at_the_ratio_exactly_is_kept() -> None:
    one = vector({1: 1.0, 2: 0.7, 3: float(np.nextafter(np.float32(0.7), np.float32(0)))})
    assert one.prune(PruneOptions(max_ratio=0.7)).indices.tolist() == [1, 2]


def test_both_prunings_together_take_the_ratio_first() -> None:
    one = vector({1: 10.0, 2: 4.0, 3: 6.0, 4: 1.0})
    assert one.prune(PruneOptions(top_k=3, max_ratio=0.5)).indices.tolist() == [1, 3]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"top_k": 0}, "top_k must be at least 1, not 0"),
        ({"max_ratio": 1.0}, r"max_ratio must lie in \[0, 1\), not 1.0"),
        ({"max_ratio": -0.1}, r"max_ratio must lie in \[0, 1\), not -0.1"),
        ({"max_ratio": math.nan}, r"max_ratio must lie in \[0, 1\), not nan"),
    ],
)
def test_pruning_options_out_of_range_are_refused(options: Any, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        PruneOptions(**options)


@given(VECTORS, VECTORS)
def test_equal_vectors_hash_alike(left: SparseVector, right: SparseVector) -> None:
    same = SparseVector(left.indices.copy(), left.values.copy())
    assert same == left
    assert hash(same) == hash(left)
    assert (left == right) == (left.to_dict() == right.to_dict())


def test_a_vector_is_no_tuple() -> None:
    assert SparseVector.empty() != ()
    assert SparseBatch.from_vectors([]) != ()


def test_a_batch_is_no_key() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(SparseBatch.from_vectors([]))


@pytest.mark.parametrize(
    ("indptr", "indices", "values", "sentence"),
    [
        ([], [], [], "indptr must start at 0, never decrease, and end at len"),
        ([1, 1], [1], [1.0], "indptr must start at 0"),
        ([0, 2, 1], [1], [1.0], "never decrease"),
        ([0, 1], [1, 2], [1.0, 1.0], "end at len"),
        ([[0, 1]], [1], [1.0], "indptr must start at 0"),
        ([0, 2], [1, 2], [1.0], "a batch needs one weight per index, got 2 indices and 1 weight"),
        ([0, 1, 3], [9, 4, 4], [1.0] * 3, "indices of row 1 must be strictly ascending and unique"),
        ([0, 0, 2, 2], [4, 3], [1.0] * 2, "indices of row 1 must be"),
        ([0, 1], [1], [math.nan], "weight nan at position 0"),
        ([0, 1], [-1], [1.0], "index -1 does not fit"),
    ],
)
def test_a_batch_that_breaks_an_invariant_is_refused(
    indptr: Any, indices: Any, values: Any, sentence: str
) -> None:
    with pytest.raises(InvalidVector, match=sentence):
        SparseBatch(np.array(indptr), np.array(indices), np.array(values))


@given(st.lists(VECTORS, max_size=8))
def test_rows_come_back_in_order(rows: list[SparseVector]) -> None:
    batch = SparseBatch.from_vectors(iter(rows))
    assert len(batch) == len(rows)
    assert list(batch) == rows
    assert [batch[at] for at in range(len(rows))] == rows
    assert [batch[at] for at in range(-len(rows), 0)] == rows
    assert batch.term_counts.tolist() == [len(row) for row in rows]


@given(BATCHES, st.slices(8))
def test_a_slice_is_a_batch_of_those_rows(batch: SparseBatch, part: slice) -> None:
    found = batch[part]
    assert isinstance(found, SparseBatch)
    assert list(found) == list(batch)[part]


@pytest.mark.parametrize("row", [2, -3])
def test_a_row_outside_the_batch_is_an_index_error(row: int) -> None:
    batch = SparseBatch.from_vectors([SparseVector.empty()] * 2)
    with pytest.raises(IndexError, match=f"row {row} is out of range for a batch of 2 rows"):
        batch[row]


@given(BATCHES)
def test_a_dense_array_and_back_is_the_same_batch(batch: SparseBatch) -> None:
    dense = np.zeros((len(batch), VOCABULARY), np.float32)
    for at, row in enumerate(batch):
        dense[at] = row.to_dense(VOCABULARY)
    assert SparseBatch.from_dense(dense) == batch


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (0, 0)])
def test_an_array_without_entries_is_a_batch_of_empty_rows(shape: tuple[int, int]) -> None:
    batch = SparseBatch.from_dense(np.zeros(shape))
    assert list(batch) == [SparseVector.empty()] * shape[0]


@pytest.mark.parametrize("shape", [(3,), (1, 2, 3)])
def test_a_dense_array_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidVector, match=r"shape \(n, vocabulary\), got"):
        SparseBatch.from_dense(np.ones(shape))


@given(BATCHES)
def test_scipy_and_back_is_the_same_batch(batch: SparseBatch) -> None:
    matrix = batch.to_scipy(VOCABULARY)
    assert matrix.shape == (len(batch), VOCABULARY)
    assert matrix.dtype == np.float32
    assert SparseBatch.from_scipy(matrix) == batch
    for at, row in enumerate(batch):
        assert matrix[[at]].toarray()[0].tolist() == row.to_dense(VOCABULARY).tolist()


def test_a_scipy_matrix_shares_no_memory_with_its_batch() -> None:
    batch = SparseBatch.from_vectors([vector({1: 1.0, 2: 2.0})])
    batch.to_scipy(5).data[:] = -1
    assert batch[0].to_dict() == {1: 1.0, 2: 2.0}


def test_from_scipy_drops_zeros_and_sums_duplicates() -> None:
    from scipy.sparse import coo_matrix

    entries = ([1.0, 2.0, 0.0, 1e-60, 4.0], ([0, 0, 0, 0, 2], [3, 3, 1, 2, 0]))
    matrix = coo_matrix(entries, shape=(3, 5))
    batch = SparseBatch.from_scipy(matrix)
    assert [row.to_dict() for row in batch] == [{3: 3.0}, {}, {0: 4.0}]
    assert matrix.nnz == 5


@pytest.mark.parametrize("value", [-1.0, math.nan, 1e300])
def test_from_scipy_refuses_what_is_no_weight(value: float) -> None:
    from scipy.sparse import csr_matrix

    with pytest.raises(InvalidVector, match="is invalid"):
        SparseBatch.from_scipy(csr_matrix(np.array([[0.0, value]])))


@given(VECTORS, BATCHES)
def test_vectors_and_batches_survive_pickling(one: SparseVector, batch: SparseBatch) -> None:
    assert pickle.loads(pickle.dumps(one)) == one
    assert pickle.loads(pickle.dumps(batch)) == batch


def test_fields_cannot_be_assigned() -> None:
    one = vector({1: 1.0})
    with pytest.raises(AttributeError):
        one.values = f32(2)  # type: ignore[misc]
