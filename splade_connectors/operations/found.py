"""Search results besides the hits: total count, matched terms, snippets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

from splade_connectors.backends.protocol import Plan
from splade_connectors.documents import Hit, StoredDocument, TermContribution, Total
from splade_connectors.encoders.base import SparseEncoder
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
        query: the query's sparse vector as sent; None without a sparse leg.
    """

    plan: Plan
    total: Total | None
    query: SparseVector | None

    @classmethod
    def of(
        cls,
        hits: Sequence[Hit],
        plan: Plan,
        *,
        query: SparseVector | None = None,
        total: Total | None = None,
    ) -> Hits:
        """Return hits with their plan."""
        made = cls(hits)
        made.plan, made.query, made.total = plan, query, total
        return made

    def with_hits(self, hits: Sequence[Hit]) -> Hits:
        """Return the same result with other hits."""
        return Hits.of(hits, self.plan, query=self.query, total=self.total)


def completed(session: Session, query: object, hits: Hits, options: SearchOptions) -> Steps[Hits]:
    """Apply `min_score`, and add terms and snippets if requested."""
    if options.min_score is not None:
        hits = hits.with_hits([hit for hit in hits if hit.score >= options.min_score])
    if options.with_terms and hits and hits.query is not None:
        hits = hits.with_hits((yield from _with_terms(session, query, hits, hits.query)))
    return hits


def contributions(
    encoder: SparseEncoder,
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
            shared, encoder.tokens(ids), encoder.readable(ids), strict=True
        )
    ]
    return sorted(found, key=lambda term: (-term.contribution, term.token))


def _with_terms(
    session: Session, query: object, hits: Sequence[Hit], vector: SparseVector
) -> Steps[list[Hit]]:
    """Add terms and snippets, fetching vectors and texts of all hits in one request."""
    seen = yield from session.look()
    fields = text_fields_of(seen)
    ids = [hit.id for hit in hits]
    documents = yield from session.backend.fetch(seen, ids, with_vectors=True, fields=fields)
    stored = {str(document.id): document for document in documents}

    def made() -> list[Hit]:
        encoder = session.encoder()
        # The text of a query vector is unknown, so all its terms count as its own.
        own = encoder.own_terms(query) if isinstance(query, str) else set(vector.to_dict())
        terms_of = cache(encoder.own_terms)
        return [
            _explained(hit, stored[str(hit.id)], vector, encoder, own, terms_of, fields)
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
    encoder: SparseEncoder,
    own: set[int],
    terms_of: Callable[[str], set[int]],
    fields: Sequence[str],
) -> Hit:
    vector = document.vector or SparseVector.empty()
    text = " - ".join(
        part for field in fields for part in texts_at(document.payload, field) if part
    )
    terms = contributions(encoder, query, vector, own, terms_of(text))
    weights = dict(zip(map(encoder.token_id, (term.token for term in terms)), terms, strict=True))

    def weight_of(word: str) -> float:
        return max(
            (weights[at].contribution for at in terms_of(word) if at in weights), default=0.0
        )

    return replace(hit, terms=tuple(terms), snippet=snippet(text, weight_of) if text else None)
