"""Whether a difference between two systems over the same queries may be chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

TEST = "two-sided paired randomization test"

_SEED = 20070
_SAMPLES = 100_000
_AT_ONCE = 5_000
# Up to here every assignment of signs is counted: 2^16 of them.
_EXACT = 16
# Sums of the same differences in another order differ by rounding; they count as equal.
_ROUNDING = 1e-12


def randomization_test(left: Sequence[float], right: Sequence[float]) -> float:
    """The p value of a two-sided paired randomization test (Fisher's) of equal means.

    Were the two systems alike, each query's difference could as well have the other sign: p is the
    share of assignments of signs whose mean is at least as far from 0 as the one observed. All of
    them are counted for up to 16 queries that differ, else 100,000 drawn with a fixed seed; the
    observed one counts among the drawn. Smucker, Allan and Carterette, "A Comparison of Statistical
    Significance Tests for Information Retrieval Evaluation", CIKM 2007, who recommend it.

    Args:
        left: values of one system, one per query.
        right: values of the other, in the same order.
    """
    differences = np.asarray(left, np.float64) - np.asarray(right, np.float64)
    # A difference of 0 is the same with either sign.
    differences = differences[differences != 0]
    if not differences.size:
        return 1.0
    observed = abs(differences.sum()) - _ROUNDING
    if differences.size <= _EXACT:
        return float((np.abs(_all_sums(differences)) >= observed).mean())
    draw = np.random.default_rng(_SEED)
    extreme = 0
    for _ in range(_SAMPLES // _AT_ONCE):
        signs = draw.integers(0, 2, (_AT_ONCE, differences.size), np.int8) * 2.0 - 1.0
        extreme += int((np.abs(signs @ differences) >= observed).sum())
    return (extreme + 1) / (_SAMPLES + 1)


def _all_sums(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sums under every assignment of signs."""
    sums = np.zeros(1)
    for difference in differences:
        sums = np.concatenate([sums + difference, sums - difference])
    return sums
