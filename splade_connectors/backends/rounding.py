"""How stores round weights: exact scores have to be compared under the same rounding."""

from __future__ import annotations

from typing import Literal

import numpy as np

from splade_connectors.vectors import SparseVector, Weights

Rounding = Literal["float32", "lucene"]

# Lucene's FeatureField keeps the upper 16 of a float's 31 magnitude bits as a term frequency:
# 8 bits of exponent and 8 of mantissa, 9 significant bits with the implicit one.
_DROPPED_BITS = 15
# Rounding up from a larger value would give infinity.
_LARGEST = np.float32(np.ldexp(511.0, 127 - 8))
_SMALLEST_NORMAL = np.float32(np.finfo(np.float32).tiny)


def lucene_stored(values: Weights) -> Weights:
    """The float32 weights that Lucene's FeatureField stores for `values`: truncated."""
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits >> _DROPPED_BITS) << _DROPPED_BITS).view(np.float32)


def lucene_nearest(values: Weights) -> Weights:
    """The nearest float32 weights that Lucene's FeatureField can represent.

    Sending these halves the rounding error of `lucene_stored`, removes its bias, and makes
    `_source` show exactly the weights that are scored.
    """
    bits = np.minimum(values.astype(np.float32), _LARGEST).view(np.uint32)
    half = np.uint32(1 << (_DROPPED_BITS - 1))
    return lucene_stored((bits + half).view(np.float32))


def as_stored(vector: SparseVector, rounding: Rounding) -> SparseVector:
    """The vector that a store with this rounding scores with after writing `vector`.

    Weights below float32's smallest normal number, which Lucene refuses, are dropped.
    """
    if rounding == "float32":
        return vector
    kept = vector.values >= _SMALLEST_NORMAL
    return SparseVector(vector.indices[kept], lucene_nearest(vector.values[kept]))
