"""Hypothesis strategies for vectors, batches and tokens.

Hypothesis is an optional dependency: imported when a strategy is created, not with this module.

    from splade_connectors.testing.strategies import sparse_vectors

    @given(sparse_vectors(vocabulary=100))
    def test_something(vector): ...
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from splade_connectors.extras import require
from splade_connectors.vectors import SparseBatch, SparseVector

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

# SPLADE weights are well inside this range; its ends reveal rounding and format errors.
_LIGHTEST = 2.0**-20
_HEAVIEST = 2.0**10


def sparse_vectors(
    vocabulary: int = 30_522, *, max_terms: int = 30, min_terms: int = 0
) -> SearchStrategy[SparseVector]:
    """Sparse vectors, including empty ones.

    Args:
        vocabulary: indices are in [0, vocabulary).
        max_terms: maximum number of terms of a vector.
        min_terms: minimum number of terms of a vector.
    """
    st = _strategies()
    pairs = st.dictionaries(
        st.integers(0, vocabulary - 1),
        weights(),
        min_size=min_terms,
        max_size=min(max_terms, vocabulary),
    )
    made: SearchStrategy[SparseVector] = pairs.map(lambda found: SparseVector.from_pairs(found)[0])
    return made


def sparse_batches(
    vocabulary: int = 30_522, *, max_rows: int = 8, max_terms: int = 15
) -> SearchStrategy[SparseBatch]:
    """Batches of sparse vectors, including batches without rows and with empty rows.

    Args:
        vocabulary: indices are in [0, vocabulary).
        max_rows: maximum number of rows of a batch.
        max_terms: maximum number of terms of a row.
    """
    rows = _strategies().lists(sparse_vectors(vocabulary, max_terms=max_terms), max_size=max_rows)
    made: SearchStrategy[SparseBatch] = rows.map(SparseBatch.from_vectors)
    return made


def weights() -> SearchStrategy[float]:
    """Weights that float32 represents exactly; few distinct ones, so that ties occur."""
    st = _strategies()
    common = st.sampled_from([0.25, 0.5, 1.0, 1.5, float(np.float32(0.1)), float(np.float32(0.7))])
    made: SearchStrategy[float] = st.one_of(common, st.floats(_LIGHTEST, _HEAVIEST, width=32))
    return made


def tokens() -> SearchStrategy[str]:
    """Realistic and awkward tokens: dots, escapes, white space, the empty string."""
    st = _strategies()
    awkward = ["", ".", "..", "%", "%2E", "%25", "%empty", "empty", " ", "\t", "\u00a0", "\u2028"]
    pieces = st.sampled_from(["a", "##a", ".", "%", "2E", "C2A0", " ", "\x00", "é", "文", "😀"])
    made: SearchStrategy[str] = st.one_of(
        st.sampled_from(awkward), st.lists(pieces, max_size=6).map("".join), st.text(max_size=12)
    )
    return made


def _strategies() -> Any:
    return require("hypothesis", "test", "splade_connectors.testing.strategies").strategies
