"""Resolving the legs of a hybrid search: each with its query, or why it has none."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from splade_connectors.backends.protocol import Description, HybridBackend
from splade_connectors.errors import ConfigurationError, NotSupported
from splade_connectors.fusion.legs import (
    DenseLeg,
    Leg,
    SparseLeg,
    TextLeg,
    dense_vector,
    given_vector,
    makes_vectors,
)
from splade_connectors.fusion.request import ResolvedLeg
from splade_connectors.operations.search import Query, query_terms
from splade_connectors.operations.session import Session
from splade_connectors.options import SearchOptions
from splade_connectors.runtime.effects import Compute, Steps
from splade_connectors.vectors import SparseVector

# The leg (None if omitted), and warnings.
Found = tuple[ResolvedLeg | None, tuple[str, ...]]


def hybrid_backend(session: Session) -> HybridBackend:
    """Return the part of the backend that combines legs.

    Raises:
        NotSupported: if the adapter does not have one.
    """
    backend = session.backend
    if backend.hybrid is None:
        raise NotSupported(f"{backend.location} cannot combine several legs")
    return backend.hybrid


def session_of(session: Session, leg: SparseLeg) -> Session:
    """Return the session of the sparse vector that a leg searches, with its query encoder."""
    return session if leg.is_of_the_target else session.beside(leg.field, leg.encoder)


def query_of(leg: SparseLeg, query: Query) -> Query:
    """Return a leg's own query vector, or the search's query.

    Raises:
        ConfigurationError: if the query is a vector, but the leg has another encoder.
    """
    if leg.vector is not None:
        return leg.vector
    if isinstance(query, SparseVector) and leg.encoder is not None:
        raise ConfigurationError(
            f"the query is a vector of the store's encoder, but the {leg.name} leg has its own; "
            "pass SparseLeg(vector=…), or search for a text"
        )
    return query


@dataclass(frozen=True, slots=True)
class LegResolver:
    """Resolves the legs of one search.

    Attributes:
        session: session of the store.
        seen: description of the collection or index.
        query: a text, or a vector of the store's encoder.
        options: options of the search.
    """

    session: Session
    seen: Description
    query: Query
    options: SearchOptions

    def resolved(self, leg: Leg) -> Steps[Found]:
        """Return the leg with its query."""
        filters = [given for given in (self.options.filter, leg.filter) if given is not None]
        make = partial(
            ResolvedLeg, name=leg.name, candidates=leg.candidates, filters=tuple(filters)
        )
        if isinstance(leg, SparseLeg):
            return (yield from self._sparse(leg, make))
        if isinstance(leg, DenseLeg):
            return (yield from self._dense(leg, make))
        return self._words(leg, make)

    def _sparse(self, leg: SparseLeg, make: Any) -> Steps[Found]:
        session, seen, place = session_of(self.session, leg), self.seen, None
        if session is not self.session:
            seen = yield from session.look()
            place = hybrid_backend(session).sparse_place(seen)
        query = query_of(leg, self.query)
        vector, warnings = yield from query_terms(session, seen, query, self.options)
        if not len(vector):
            return None, (*warnings, f"the query has no terms, so the {leg.name} leg is omitted")
        return make(kind="sparse", sparse=vector, place=place), warnings

    def _dense(self, leg: DenseLeg, make: Any) -> Steps[Found]:
        field = hybrid_backend(self.session).dense_field(self.seen, leg.field)
        if not makes_vectors(leg.vector):
            numbers = given_vector(leg.vector)
        else:
            text = self._text(leg.name, "DenseLeg(vector=[…])")
            if not any(numbers := (yield Compute(lambda: dense_vector(leg.vector, text)))):
                # Without a direction, servers reject it or find every document equally near.
                return None, (
                    "the dense model knows no word of the query (its vector is all zeros), so the "
                    f"{leg.name} leg is omitted",
                )
        exact, breadth = leg.exact, leg.breadth
        return make(kind="dense", dense=numbers, field=field, exact=exact, breadth=breadth), ()

    def _words(self, leg: TextLeg, make: Any) -> Found:
        words = leg.text if leg.text is not None else self._text(leg.name, "TextLeg(text=…)")
        if not words.strip():
            return None, (f"the query has no words, so the {leg.name} leg is omitted",)
        return make(kind="text", text=words, fields=leg.fields), ()

    def _text(self, name: str, instead: str) -> str:
        """Return the query if it is a text.

        Raises:
            ConfigurationError: saying what to pass to the leg instead.
        """
        if isinstance(self.query, SparseVector):
            raise ConfigurationError(
                f"the query is a sparse vector, but the {name} leg needs its text; pass {instead}, "
                "or search for a text with SparseLeg(vector=…)"
            )
        return self.query
