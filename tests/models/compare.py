"""When two encoders count as equal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from splade_connectors import SparseBatch

# Lighter terms carry nothing; whether one is there may hang on the last bit of a logit.
FLOOR = 1e-3
# By how much a weight may miss the floor and still count as on its other side by chance.
_NOISE = 1e-5

Dense = NDArray[np.float32]


def dense(batch: SparseBatch, vocabulary: int) -> Dense:
    """float32[rows, vocabulary]."""
    return np.asarray(batch.to_scipy(vocabulary).toarray(), np.float32)


def assert_same(left: Dense, right: Dense, *, tolerance: float = 1e-3) -> None:
    """The same terms above the floor in every row, and the same weights within the tolerance."""
    assert left.shape == right.shape
    for one, other in ((left, right), (right, left)):
        lost = np.argwhere((one > FLOOR) & (other <= FLOOR - _NOISE))
        assert not lost.size, f"{len(lost)} terms on one side only, first (row, term) {lost[0]}"
    difference = np.abs(left - right)
    row = int(difference.max(axis=1).argmax())
    assert difference.max() <= tolerance, f"row {row} differs by {difference[row].max():.2g}"
