"""What becomes of a weight in a store: the rounding that scores must be compared under."""

from __future__ import annotations

from typing import Literal

import numpy as np

from splade_connectors.vectors import SparseVector, Weights

Rounding = Literal["float32", "lucene"]

# Lucene's FeatureField keeps the 16 upper bits of a float's 31 magnitude bits as a term frequency:
# 8 bits of exponent and 8 of mantissa, 9 significant bits with the implicit one.
_DROPPED_BITS = 15
# Rounding up from above it would give infinity.
_LARGEST = np.float32(np.ldexp(511.0, 127 - 8))
_SMALLEST_NORMAL = np.float32(np.finfo(np.float32).tiny)


def lucene_stored(values: Weights) -> Weights:
    """The float32 weights that Lucene's FeatureField holds after being given `values`: cut off."""
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits >> _DROPPED_BITS) << _DROPPED_BITS).view(np.float32)


def lucene_nearest(values: Weights) -> Weights:
    """The nearest weights that Lucene's FeatureField can hold.

    Sending these halves the rounding error of `lucene_stored` and removes its bias, and what
    `_source` shows is then what is scored.
    """
    bits = np.minimum(values.astype(np.float32), _LARGEST).view(np.uint32)
    half = np.uint32(1 << (_DROPPED_BITS - 1))
    return lucene_stored((bits + half).view(np.float32))


def as_stored(vector: SparseVector, rounding: Rounding) -> SparseVector:
    """The vector that a store of this rounding scores with after we wrote `vector`.

    Weights below float32's smallest normal number, which Lucene refuses, are left out.
    """
    if rounding == "float32":
        return vector
    kept = vector.values >= _SMALLEST_NORMAL
    return SparseVector(vector.indices[kept], lucene_nearest(vector.values[kept]))
