"""Texts of stored documents to vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from splade_connectors.encoders.base import EncodeStats
from splade_connectors.options import OnProgress
from splade_connectors.steps import Compute, Steps
from splade_connectors.vectors import SparseVector

if TYPE_CHECKING:
    from splade_connectors.verbs import Verbs


def encode_texts(
    verbs: Verbs,
    texts: Sequence[str],
    stats: EncodeStats,
    on_progress: OnProgress | None = None,
) -> Steps[list[SparseVector]]:
    """A pruned vector for each text, an empty one for a text without words.

    Args:
        verbs: of the store, with its encoder and its pruning.
        texts: of a window.
        stats: is added to.
        on_progress: called after each batch.
    """
    rows = [row for row, text in enumerate(texts) if text.strip()]
    vectors = [SparseVector.empty()] * len(texts)
    if rows:
        encoded = yield Compute(
            lambda: verbs.document_encoder().encode_documents(
                [texts[row] for row in rows], stats=stats, on_progress=on_progress
            )
        )
        for row, vector in zip(rows, encoded, strict=True):
            vectors[row] = vector.prune(verbs.prune)
    return vectors
