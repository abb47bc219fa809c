"""Sparse vectors: one (`SparseVector`), many in CSR form (`SparseBatch`), and their operations.

Invariants, checked on construction: indices are uint32 and strictly ascending; values are float32,
finite and greater than zero; both have shape (nnz,).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from splade_connectors.errors import InvalidVector
from splade_connectors.options import PruneOptions
from splade_connectors.shown import counted

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Indices = NDArray[np.uint32]
Weights = NDArray[np.float32]

_MAX_INDEX = 2**32 - 1
# Of every empty vector.
_NO_INDICES, _NO_WEIGHTS = np.empty(0, np.uint32), np.empty(0, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class SparseVector:
    """One sparse vector.

    Attributes:
        indices: uint32[nnz], strictly ascending term ids.
        values: float32[nnz], finite weights > 0.

    Raises:
        InvalidVector: if the arrays break an invariant; the message names the first violation.
    """

    indices: Indices
    values: Weights

    def __post_init__(self) -> None:
        object.__setattr__(self, "indices", _as_indices(self.indices))
        object.__setattr__(self, "values", _as_weights(self.values))
        if self.indices.shape != self.values.shape:
            raise InvalidVector(
                "a sparse vector needs one weight per index, got "
                f"{counted(self.indices.size, 'index', 'indices')} and "
                f"{counted(self.values.size, 'weight')}"
            )
        if self.indices.size > 1 and not np.all(self.indices[1:] > self.indices[:-1]):
            at = int(np.flatnonzero(self.indices[1:] <= self.indices[:-1])[0])
            pair = f"{self.indices[at]} then {self.indices[at + 1]}"
            raise InvalidVector(
                f"indices must be strictly ascending and unique, found {pair}; "
                "SparseVector.from_pairs sorts them"
            )

    @classmethod
    def of_checked(cls, indices: Indices, values: Weights) -> SparseVector:
        """Wrap arrays that are known to satisfy the invariants, without checking them."""
        made = object.__new__(cls)
        object.__setattr__(made, "indices", indices)
        object.__setattr__(made, "values", values)
        return made

    @classmethod
    def empty(cls) -> SparseVector:
        """Return a vector without terms."""
        return cls.of_checked(_NO_INDICES, _NO_WEIGHTS)

    @classmethod
    def from_pairs(
        cls, pairs: Mapping[int, float] | Iterable[tuple[int, float]]
    ) -> tuple[SparseVector, int]:
        """Build a vector from (index, weight) pairs in any order.

        Drops only weights that are zero, or become zero in float32.

        Returns:
            The vector, and the number of pairs dropped.

        Raises:
            InvalidVector: for a negative, NaN or infinite weight, or an index given twice.
        """
        items = list(pairs.items() if isinstance(pairs, Mapping) else pairs)
        indices = _as_indices([index for index, _ in items])
        values = _as_weights([weight for _, weight in items], zeros_allowed=True)
        order = np.argsort(indices, kind="stable")
        indices, values = indices[order], values[order]
        repeated = np.flatnonzero(indices[1:] == indices[:-1])
        if repeated.size:
            raise InvalidVector(f"index {indices[repeated[0]]} is given twice")
        kept = values > 0
        return cls(indices[kept], values[kept]), int(values.size - kept.sum())

    @classmethod
    def from_dense(cls, row: ArrayLike) -> SparseVector:
        """Build a vector from a float array of shape (vocabulary,); negative entries raise."""
        dense = np.asarray(row, dtype=np.float32)
        indices = np.flatnonzero(dense).astype(np.uint32)
        return cls(indices, dense[indices])

    def __len__(self) -> int:
        """Number of terms."""
        return int(self.indices.size)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SparseVector):
            return NotImplemented
        return np.array_equal(self.indices, other.indices) and np.array_equal(
            self.values, other.values
        )

    def __hash__(self) -> int:
        return hash((self.indices.tobytes(), self.values.tobytes()))

    def to_dict(self) -> dict[int, float]:
        """Return index -> weight, in ascending order of index."""
        return dict(zip(self.indices.tolist(), self.values.tolist(), strict=True))

    def to_dense(self, size: int) -> Weights:
        """Return a float32[size] array; `size` is the vocabulary size."""
        dense = np.zeros(size, np.float32)
        dense[self.indices] = self.values
        return dense

    def dot(self, other: SparseVector) -> float:
        """Return the dot product, summed in double precision."""
        _, mine, theirs = np.intersect1d(
            self.indices, other.indices, assume_unique=True, return_indices=True
        )
        return float(self.values[mine].astype(np.float64) @ other.values[theirs].astype(np.float64))

    def prune(self, options: PruneOptions) -> SparseVector:
        """Return the vector without its lightest terms."""
        kept = _kept_terms(self.values, options)
        return SparseVector(self.indices[kept], self.values[kept])


@dataclass(frozen=True, slots=True, eq=False)
class SparseBatch(Sequence[SparseVector]):
    """Many sparse vectors in compressed sparse row (CSR) form.

    Attributes:
        indptr: int64[n + 1]; row i spans entries indptr[i] to indptr[i + 1].
        indices: uint32[nnz], strictly ascending within each row.
        values: float32[nnz], finite and > 0.

    Raises:
        InvalidVector: if the arrays break an invariant.
    """

    indptr: NDArray[np.int64]
    indices: Indices
    values: Weights

    def __post_init__(self) -> None:
        object.__setattr__(self, "indptr", np.asarray(self.indptr, dtype=np.int64))
        object.__setattr__(self, "indices", _as_indices(self.indices))
        object.__setattr__(self, "values", _as_weights(self.values))
        self._check_shape()
        self._check_order()

    def _check_shape(self) -> None:
        starts = self.indptr
        well_formed = starts.ndim == 1 and starts.size > 0 and starts[0] == 0
        if not well_formed or np.any(np.diff(starts) < 0) or starts[-1] != self.indices.size:
            raise InvalidVector("indptr must start at 0, never decrease, and end at len(indices)")
        if self.indices.shape != self.values.shape:
            raise InvalidVector(
                f"a batch needs one weight per index, got "
                f"{counted(self.indices.size, 'index', 'indices')} and "
                f"{counted(self.values.size, 'weight')}"
            )

    def _check_order(self) -> None:
        if self.indices.size < 2:
            return
        rising = self.indices[1:] > self.indices[:-1]
        starts = self.indptr[1:-1]
        rising[starts[(starts > 0) & (starts < self.indices.size)] - 1] = True
        if not rising.all():
            at = int(np.flatnonzero(~rising)[0])
            row = int(np.searchsorted(self.indptr, at, side="right") - 1)
            raise InvalidVector(f"indices of row {row} must be strictly ascending and unique")

    @classmethod
    def of_checked(
        cls, indptr: NDArray[np.int64], indices: Indices, values: Weights
    ) -> SparseBatch:
        """Wrap arrays that are known to satisfy the invariants, without checking them."""
        made = object.__new__(cls)
        object.__setattr__(made, "indptr", indptr)
        object.__setattr__(made, "indices", indices)
        object.__setattr__(made, "values", values)
        return made

    @classmethod
    def from_vectors(cls, vectors: Iterable[SparseVector]) -> SparseBatch:
        """Build a batch from vectors, in order."""
        rows = list(vectors)
        indptr = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(row) for row in rows], out=indptr[1:])
        empty = SparseVector.empty()
        indices = np.concatenate([row.indices for row in rows] or [empty.indices])
        values = np.concatenate([row.values for row in rows] or [empty.values])
        return cls(indptr, indices, values)

    @classmethod
    def from_dense(cls, rows: ArrayLike) -> SparseBatch:
        """Build a batch from a float array of shape (n, vocabulary); negative entries raise."""
        dense = np.asarray(rows, dtype=np.float32)
        if dense.ndim != 2:
            raise InvalidVector(f"expected an array of shape (n, vocabulary), got {dense.shape}")
        flat = np.flatnonzero(dense)
        row, column = np.divmod(flat, dense.shape[1])
        indptr = np.zeros(len(dense) + 1, np.int64)
        np.cumsum(np.bincount(row, minlength=len(dense)), out=indptr[1:])
        return cls(indptr, column.astype(np.uint32), dense.reshape(-1)[flat])

    @classmethod
    def from_scipy(cls, matrix: csr_matrix) -> SparseBatch:
        """Build a batch from a scipy CSR matrix; explicit zeros are dropped, duplicates summed."""
        csr = matrix.tocsr(copy=True)
        csr.sum_duplicates()
        with np.errstate(over="ignore"):  # overflow becomes infinity, which is rejected below
            csr.data = csr.data.astype(np.float32)
        csr.eliminate_zeros()
        return cls(csr.indptr, csr.indices.astype(np.uint32), csr.data)

    def to_scipy(self, vocabulary: int) -> csr_matrix:
        """Return a float32 scipy CSR matrix of shape (n, vocabulary)."""
        from scipy.sparse import csr_matrix

        shape = (len(self), vocabulary)
        columns = self.indices.astype(np.int64)
        return csr_matrix((self.values.copy(), columns, self.indptr.copy()), shape=shape)

    def __len__(self) -> int:
        """Number of rows."""
        return int(self.indptr.size - 1)

    def __getitem__(self, row: Any) -> Any:
        """Return row `row` as a `SparseVector`, or a slice as a `SparseBatch`."""
        if isinstance(row, slice):
            return SparseBatch.from_vectors(self[i] for i in range(*row.indices(len(self))))
        if not -len(self) <= row < len(self):
            raise IndexError(
                f"row {row} is out of range for a batch of {counted(len(self), 'row')}"
            )
        row %= len(self)
        part = slice(self.indptr[row], self.indptr[row + 1])
        return SparseVector.of_checked(self.indices[part], self.values[part])

    def __iter__(self) -> Iterator[SparseVector]:
        return (self[row] for row in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SparseBatch):
            return NotImplemented
        return (
            np.array_equal(self.indptr, other.indptr)
            and np.array_equal(self.indices, other.indices)
            and np.array_equal(self.values, other.values)
        )

    __hash__ = None  # type: ignore[assignment]  # large and compared by value, so unhashable

    @property
    def term_counts(self) -> NDArray[np.int64]:
        """int64[n]: number of terms in each row."""
        return np.diff(self.indptr)

    def dot(self, query: SparseVector) -> NDArray[np.float64]:
        """Return float64[n]: the dot product of each row with `query`, in double precision."""
        if not len(query):
            return np.zeros(len(self))
        position = np.searchsorted(query.indices, self.indices).clip(max=len(query) - 1)
        matched = query.indices[position] == self.indices
        products = np.where(matched, query.values[position], 0).astype(np.float64) * self.values
        rows = np.repeat(np.arange(len(self)), self.term_counts)
        sums = np.bincount(rows, weights=products, minlength=len(self))
        return np.asarray(sums, dtype=np.float64)

    def prune(self, options: PruneOptions) -> SparseBatch:
        """Return the batch with the lightest terms of each row removed."""
        if options == PruneOptions():
            return self
        return SparseBatch.from_vectors(row.prune(options) for row in self)


def dot(left: SparseVector, right: SparseVector) -> float:
    """Return the dot product of two sparse vectors, summed in double precision."""
    return left.dot(right)


def prune(vector: SparseVector, options: PruneOptions) -> SparseVector:
    """Return the vector without its lightest terms: applies `max_ratio`, then `top_k`."""
    return vector.prune(options)


def _kept_terms(values: Weights, options: PruneOptions) -> NDArray[np.intp]:
    kept = np.arange(values.size)
    if options.max_ratio > 0 and values.size:
        kept = np.flatnonzero(values >= np.float32(options.max_ratio) * values.max())
    if options.top_k is not None and kept.size > options.top_k:
        heaviest = np.argsort(-values[kept], kind="stable")[: options.top_k]
        kept = np.sort(kept[heaviest])
    return kept


def _as_indices(raw: ArrayLike) -> Indices:
    array = np.asarray(raw)
    if array.ndim != 1:
        raise InvalidVector(f"indices must have one dimension, got shape {array.shape}")
    if array.dtype == np.uint32:
        return array
    if array.size == 0:
        return np.empty(0, np.uint32)
    if array.dtype.kind not in "iu":
        raise InvalidVector(f"indices must be integers, got {array.dtype}")
    outside = (array < 0) | (array > _MAX_INDEX)
    if outside.any():
        raise InvalidVector(f"index {array[outside][0]} does not fit into 32 bits (0 to 2^32 - 1)")
    return array.astype(np.uint32)


def _as_weights(raw: ArrayLike, *, zeros_allowed: bool = False) -> Weights:
    if isinstance(raw, np.ndarray) and raw.dtype == np.float32:
        array = raw
    else:
        with np.errstate(over="ignore"):  # float32 overflow becomes infinity, rejected below
            array = np.asarray(raw, dtype=np.float32)
    if array.ndim != 1:
        raise InvalidVector(f"weights must have one dimension, got shape {array.shape}")
    fine = np.isfinite(array) & ((array >= 0) if zeros_allowed else (array > 0))
    if not fine.all():
        at = int(np.flatnonzero(~fine)[0])
        raise InvalidVector(
            f"weight {array[at]} at position {at} is invalid: SPLADE weights are finite and > 0"
        )
    return array
