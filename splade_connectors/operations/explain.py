"""The `explain` verb: which terms and legs contribute to a score."""

from __future__ import annotations

from collections.abc import Sequence

from splade_connectors.documents import (
    DocumentId,
    Explanation,
    GivenId,
    LegContribution,
)
from splade_connectors.fusion.reference import LegRanking
from splade_connectors.operations.edit import get
from splade_connectors.operations.found import contributions
from splade_connectors.operations.names import names_of, own_terms
from splade_connectors.operations.search import Query, query_terms
from splade_connectors.operations.session import Session, text_fields_of
from splade_connectors.options import SearchOptions
from splade_connectors.payloads import text_of
from splade_connectors.runtime.effects import Steps
from splade_connectors.vectors import SparseVector


def explain(
    session: Session, query: Query, id: GivenId, max_query_terms: int | None = None
) -> Steps[Explanation]:
    """Return the terms shared by query and document, with each one's contribution."""
    seen = yield from session.look()
    options = SearchOptions(max_query_terms=max_query_terms)
    vector, _ = yield from query_terms(session, seen, query, options)
    document = (yield from get(session, [id], with_vectors=True))[0]
    stored = SparseVector.empty() if document.vector is None else document.vector
    text = text_of(document.payload, text_fields_of(seen))
    names = names_of(session, seen, query)
    own = own_terms(names, query)
    terms = contributions(names, vector, stored, own, names.own_terms(text))
    return Explanation(
        id=document.id,
        query="" if isinstance(query, SparseVector) else query,
        score=sum(term.contribution for term in terms),
        terms=tuple(terms),
        query_terms=len(vector),
        document_terms=len(stored),
    )


def leg_contribution(
    ranking: LegRanking, values: Sequence[float], id: DocumentId
) -> LegContribution:
    """Return a leg's contribution to a document's fused score; 0 if outside its window."""
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
