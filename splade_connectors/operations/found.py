"""Search results besides the hits: total count, matched terms, snippets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

from splade_connectors.backends.protocol import Plan
from splade_connectors.documents import Hit, StoredDocument, TermContribution, Total
from splade_connectors.operations.names import Names, names_of, own_terms
from splade_connectors.operations.session import Session, text_fields_of
from splade_connectors.operations.snippets import snippet
from splade_connectors.options import SearchOptions
from splade_connectors.payloads import texts_at
from splade_connectors.runtime.effects import Compute, Steps
from splade_connectors.vectors import SparseVector


class Hits(tuple[Hit, ...]):
    """The hits of a search, best first.

    Attributes:
        plan: the request that found them, with warnings.
        total: with `with_total`, the number of matching documents, whatever their score.
        query: the query's sparse vector as sent, of the first sparse leg if there are several;
            None without a sparse leg.
        leg: name of that leg; None without legs.
    """

    plan: Plan
    total: Total | None
    query: SparseVector | None
    leg: str | None

    @classmethod
    def of(
        cls,
        hits: Sequence[Hit],
        plan: Plan,
        *,
        query: SparseVector | None = None,
        total: Total | None = None,
        leg: str | None = None,
    ) -> Hits:
        """Return hits with their plan."""
        made = cls(hits)
        made.plan, made.query, made.total, made.leg = plan, query, total, leg
        return made

    def with_hits(self, hits: Sequence[Hit]) -> Hits:
        """Return the same result with other hits."""
        return Hits.of(hits, self.plan, query=self.query, total=self.total, leg=self.leg)


def completed(
    session: Session, query: str | SparseVector, hits: Hits, options: SearchOptions
) -> Steps[Hits]:
    """Apply `min_score`, and add terms and snippets if requested.

    Args:
        session: session of the vector that the terms are read from.
        query: the text or vector that was searched for in it.
        hits: the hits, with the query's vector as sent.
        options: options of the search.
    """
    if options.min_score is not None:
        hits = hits.with_hits([hit for hit in hits if hit.score >= options.min_score])
    if options.with_terms and hits and hits.query is not None:
        hits = hits.with_hits((yield from _with_terms(session, query, hits, hits.query)))
    return hits


def contributions(
    names: Names,
    query: SparseVector,
    document: SparseVector,
    query_terms: set[int],
    document_terms: set[int],
) -> list[TermContribution]:
    """Return the shared terms, largest contribution first; ties by token."""
    weights = document.to_dict()
    shared = [(index, weight) for index, weight in query.to_dict().items() if index in weights]
    ids = [index for index, _ in shared]
    found = [
        TermContribution(
            token=token,
            text=text,
            query_weight=weight,
            document_weight=weights[index],
            in_query=index in query_terms,
            in_document=index in document_terms,
        )
        for (index, weight), token, text in zip(
            shared, names.tokens(ids), names.readable(ids), strict=True
        )
    ]
    return sorted(found, key=lambda term: (-term.contribution, term.token))


def _with_terms(
    session: Session, query: str | SparseVector, hits: Sequence[Hit], vector: SparseVector
) -> Steps[list[Hit]]:
    """Add terms and snippets, fetching vectors and texts of all hits in one request."""
    seen = yield from session.look()
    fields = text_fields_of(seen)
    ids = [hit.id for hit in hits]
    documents = yield from session.backend.fetch(seen, ids, with_vectors=True, fields=fields)
    stored = {str(document.id): document for document in documents}

    def made() -> list[Hit]:
        names = names_of(session, seen, query)
        own, terms_of = own_terms(names, query), cache(names.own_terms)
        return [
            _explained(hit, stored[str(hit.id)], vector, names, own, terms_of, fields)
            if str(hit.id) in stored
            else hit  # deleted since the search
            for hit in hits
        ]

    found: list[Hit] = yield Compute(made)
    return found


def _explained(
    hit: Hit,
    document: StoredDocument,
    query: SparseVector,
    names: Names,
    own: set[int],
    terms_of: Callable[[str], set[int]],
    fields: Sequence[str],
) -> Hit:
    vector = document.vector or SparseVector.empty()
    text = " - ".join(
        part for field in fields for part in texts_at(document.payload, field) if part
    )
    terms = contributions(names, query, vector, own, terms_of(text))
    weights = dict(zip(map(names.token_id, (term.token for term in terms)), terms, strict=True))

    def weight_of(word: str) -> float:
        return max(
            (weights[at].contribution for at in terms_of(word) if at in weights), default=0.0
        )

    return replace(hit, terms=tuple(terms), snippet=snippet(text, weight_of) if text else None)
