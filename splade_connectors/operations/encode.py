"""Encoding the texts of documents."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from splade_connectors.documents import Document
from splade_connectors.encoders.base import EncodeStats, SparseEncoder
from splade_connectors.operations.many_terms import warn_of_many_terms
from splade_connectors.operations.session import Recipe
from splade_connectors.options import OnProgress, Progress, PruneOptions
from splade_connectors.runtime.effects import Compute, Steps
from splade_connectors.vectors import SparseVector


def encode_texts(
    recipe: Recipe,
    texts: Sequence[str],
    stats: EncodeStats,
    on_progress: OnProgress | None = None,
    *,
    advise: bool = True,
) -> Steps[list[SparseVector]]:
    """Return a pruned vector for each text; an empty one for a blank text.

    Args:
        recipe: encoder and pruning.
        texts: texts of a portion.
        stats: counters to update.
        on_progress: called after each batch.
        advise: warn of too many terms; False if vectors are left unpruned only for comparison.
    """
    rows = [row for row, text in enumerate(texts) if text.strip()]
    vectors = [SparseVector.empty()] * len(texts)
    if rows:
        encoded = yield Compute(
            lambda: recipe.encoder.encode_documents(
                [texts[row] for row in rows], stats=stats, on_progress=on_progress
            )
        )
        for row, vector in zip(rows, encoded, strict=True):
            vectors[row] = vector.prune(recipe.prune)
        if advise:
            warn_of_many_terms(recipe.encoder.spec.model, vectors, "a document")
    return vectors


def document_vectors(
    encoder: SparseEncoder,
    documents: Sequence[Document],
    stats: EncodeStats,
    on_progress: Callable[[Progress], None] | None = None,
    prune: PruneOptions | None = None,
) -> list[SparseVector]:
    """Return each document's vector: its own, an empty one for blank text, or a fresh encoding.

    Args:
        encoder: encoder for the documents without a vector.
        documents: documents of a portion.
        stats: counters to update.
        on_progress: called after each batch.
        prune: pruning of every vector; None for no pruning.
    """
    vectors = [
        SparseVector.empty() if document.vector is None else document.vector
        for document in documents
    ]
    rows = [
        row
        for row, document in enumerate(documents)
        if document.vector is None and document.text.strip()
    ]
    encoded = encoder.encode_documents(
        [documents[row].text for row in rows], stats=stats, on_progress=on_progress
    )
    for row, vector in zip(rows, encoded, strict=True):
        vectors[row] = vector
    pruned = [vector.prune(prune) for vector in vectors] if prune else vectors
    warn_of_many_terms(encoder.spec.model, pruned, "a document")
    return pruned
