"""Whether a stored vector is that of a text."""

from __future__ import annotations

import numpy as np

from splade_connectors.precision import Precision, as_stored
from splade_connectors.vectors import SparseVector

# Padding and the grouping of texts into batches move weights by less than this; a term so light
# may be there or not.
_NOISE = 1e-3
# The distance of two neighbours among the weights that a store can hold, as a share of them.
_STEP = {"float32": 1e-3, "lucene": 1 / 256}


def is_same_vector(stored: SparseVector, fresh: SparseVector, precision: Precision) -> bool:
    """Whether the vectors are equal, but for the store's rounding and the encoder's noise.

    Args:
        stored: as read from the store.
        fresh: encoded and pruned.
        precision: of the store.
    """
    expected = as_stored(fresh, precision)
    indices = np.union1d(stored.indices, expected.indices)
    left, right = _spread(stored, indices), _spread(expected, indices)
    allowed = _NOISE + _STEP[precision] * np.maximum(left, right)
    return bool(np.all(np.abs(left - right) <= allowed))


def _spread(vector: SparseVector, indices: np.ndarray) -> np.ndarray:
    """Its weights at these indices, 0 where it has none."""
    weights = np.zeros(len(indices))
    weights[np.searchsorted(indices, vector.indices)] = vector.values
    return weights
