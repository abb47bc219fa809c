"""Testing whether a difference between two systems on the same queries is significant."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

TEST = "two-sided paired randomization test"

_SEED = 20070
_SAMPLES = 100_000
_AT_ONCE = 5_000
# Up to this many queries, all 2^16 sign assignments are enumerated.
_EXACT = 16
# Tolerance for sums of the same differences in another order.
_ROUNDING = 1e-12


def randomization_test(left: Sequence[float], right: Sequence[float]) -> float:
    """Return the p-value of Fisher's two-sided paired randomization test of equal means.

    Under the null hypothesis, each query's difference is equally likely to have the opposite sign;
    p is the fraction of sign assignments whose mean is at least as far from 0 as the observed one.
    All assignments are enumerated for up to 16 queries that differ; otherwise 100,000 are drawn
    with a fixed seed, and the observed one is counted too. Recommended by Smucker, Allan and
    Carterette, "A Comparison of Statistical Significance Tests for Information Retrieval
    Evaluation", CIKM 2007.

    Args:
        left: one system's values, one per query.
        right: the other system's values, in the same order.
    """
    differences = np.asarray(left, np.float64) - np.asarray(right, np.float64)
    # The sign of a zero difference does not matter.
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
    """The sums for every sign assignment."""
    sums = np.zeros(1)
    for difference in differences:
        sums = np.concatenate([sums + difference, sums - difference])
    return sums
