"""The exact reference for scores: numpy, double precision, over the weights that a store holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from splade_connectors.backends.rounding import Rounding, as_stored
from splade_connectors.documents import DocumentId
from splade_connectors.vectors import SparseBatch, SparseVector

TOLERANCE = 1e-5


def exact_scores(
    query: SparseVector, documents: SparseBatch, rounding: Rounding = "float32"
) -> NDArray[np.float64]:
    """float64[n]: the dot product of the query with every document, rounded as in the store.

    Args:
        query: not rounded, since stores keep query weights as float32.
        documents: the encoded vectors.
        rounding: how the store rounds document weights.
    """
    return stored_batch(documents, rounding).dot(query)


def stored_batch(documents: SparseBatch, rounding: Rounding) -> SparseBatch:
    """The vectors that a store with this rounding scores with."""
    if rounding == "float32":
        return documents
    return SparseBatch.from_vectors(as_stored(row, rounding) for row in documents)


def exact_ranking(
    ids: Sequence[DocumentId], scores: NDArray[np.float64], limit: int
) -> list[tuple[DocumentId, float]]:
    """The best `limit` documents with a score above zero, best first; ties by id as text."""
    order = sorted(
        (int(at) for at in np.flatnonzero(scores > 0)), key=lambda at: (-scores[at], str(ids[at]))
    )
    return [(ids[at], float(scores[at])) for at in order[:limit]]


def assert_same_ranking(
    found: Sequence[tuple[DocumentId, float]],
    scores: Mapping[DocumentId, float],
    limit: int,
    tolerance: float = TOLERANCE,
) -> None:
    """Check the hits of a store against exact scores, on every row.

    Each score must be within `tolerance` (relative) of the exact one, the order must be that of
    the exact scores except among documents whose scores differ by less, and no missing document
    may belong above the last hit.

    Args:
        found: (id, score) of each hit, best first.
        scores: the exact score of every document.
        limit: number of hits requested.
        tolerance: relative.

    Raises:
        AssertionError: if not; names the first wrong row.
    """
    positive = sorted((score for score in scores.values() if score > 0), reverse=True)
    expected = positive[:limit]
    assert len(found) == len(expected), f"{len(found)} hits, expected {len(expected)}"
    assert len({id for id, _ in found}) == len(found), "a document was found twice"
    for rank, ((id, score), best) in enumerate(zip(found, expected, strict=True), start=1):
        exact = scores[id]
        assert abs(score - exact) <= tolerance * exact, f"row {rank}: {id!r} {score} is not {exact}"
        # The exact score at this rank, whichever of the tied documents has it.
        assert abs(exact - best) <= tolerance * best, f"row {rank}: {exact} should be {best}"
