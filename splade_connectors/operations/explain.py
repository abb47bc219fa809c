"""The `explain` verb: which terms, and which legs, made a score."""

from __future__ import annotations

from collections.abc import Sequence

from splade_connectors.documents import DocumentId, LegContribution, TermContribution
from splade_connectors.encoders.base import SparseEncoder
from splade_connectors.fusion.reference import LegRanking
from splade_connectors.vectors import SparseVector


def contributions(
    encoder: SparseEncoder,
    query: SparseVector,
    document: SparseVector,
    query_terms: set[int],
    document_terms: set[int],
) -> list[TermContribution]:
    """The shared terms, largest contribution first; ties by token."""
    weights = document.to_dict()
    shared = [(index, weight) for index, weight in query.to_dict().items() if index in weights]
    tokens = encoder.tokens([index for index, _ in shared])
    found = [
        TermContribution(
            token=token,
            query_weight=weight,
            document_weight=weights[index],
            in_query=index in query_terms,
            in_document=index in document_terms,
        )
        for (index, weight), token in zip(shared, tokens, strict=True)
    ]
    return sorted(found, key=lambda term: (-term.contribution, term.token))


def _contribution(ranking: LegRanking, values: Sequence[float], id: DocumentId) -> LegContribution:
    ids = [str(found) for found in ranking.ids]
    if str(id) not in ids:
        return LegContribution(leg=ranking.name, rank=None, score=None, contribution=0.0)
    at = ids.index(str(id))
    return LegContribution(
        leg=ranking.name,
        rank=at + 1,
        score=float(ranking.scores[at]),
        contribution=values[at],
    )
