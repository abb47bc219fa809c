"""The `search` and `plan` verbs of a sparse query."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from splade_connectors.backends.protocol import Capabilities, Description, Plan
from splade_connectors.documents import Total
from splade_connectors.errors import ConfigurationError, NotFound
from splade_connectors.filters import Exists
from splade_connectors.filters.reference import paths_in
from splade_connectors.operations.found import Hits
from splade_connectors.operations.many_terms import warn_of_many_terms
from splade_connectors.operations.session import Session, check_exists
from splade_connectors.options import PruneOptions, SearchOptions
from splade_connectors.runtime.effects import Compute, Steps
from splade_connectors.shown import quoted
from splade_connectors.vectors import SparseVector

Query = str | SparseVector


def plan(session: Session, query: Query, options: SearchOptions) -> Steps[Plan]:
    """The request that `search` would send."""
    return (yield from _planned(session, query, options))[1]


def search(session: Session, query: Query, options: SearchOptions) -> Steps[Hits]:
    """The best documents by dot product."""
    vector, plan = yield from _planned(session, query, options)
    if not len(vector):
        return Hits.of((), plan, query=vector, total=Total(value=0) if options.with_total else None)
    hits = yield from session.backend.search(plan)
    total = (yield from session.backend.total(plan)) if options.with_total else None
    return Hits.of(hits, plan, query=vector, total=total)


def query_terms(
    session: Session, seen: Description, query: Query, options: SearchOptions
) -> Steps[tuple[SparseVector, tuple[str, ...]]]:
    """The query's vector as it is sent, after checking the index; and what to warn of."""
    # A vector says nothing of its model; where terms are named, the encoder names them.
    taken = isinstance(query, SparseVector) and seen.capabilities.key_style == "id"
    warnings = check_searchable(session, seen, taken=taken)
    vector = yield from query_vector(session, query)
    count = len(vector)
    limit = min(options.max_query_terms or count, seen.capabilities.max_query_terms or count)
    vector, dropped = cap_terms(vector, limit)
    if dropped:
        warnings += (
            f"the query has {count} terms; the {len(vector)} heaviest are "
            "sent (the limit of clauses in a query, or max_query_terms)",
        )
    if not isinstance(query, SparseVector):
        warn_of_many_terms(session.encoder().spec.model, [vector], "a query")
    return vector, warnings


def query_vector(session: Session, query: Query) -> Steps[SparseVector]:
    """The query's whole vector; an empty one of a text without words."""
    if isinstance(query, SparseVector):
        return query
    if not isinstance(query, str):
        kind = type(query).__name__
        raise ConfigurationError(f"a query is a text or a SparseVector, not {kind}")
    if not query.strip():
        return SparseVector.empty()
    vector: SparseVector = yield Compute(lambda: session.encoder().encode_queries([query])[0])
    return vector


def check_searchable(
    session: Session, seen: Description, *, taken: bool = False
) -> tuple[str, ...]:
    """The warnings for an index that does not say which model wrote it.

    Args:
        session: of the index.
        seen: of it.
        taken: the query is a vector that is sent as it is: no model is compared.

    Raises:
        NotFound: when there is no such index, or no sparse vectors in it.
        ManifestMismatch: when another model wrote it.
    """
    where = session.backend.location
    check_exists(session, seen)
    if not seen.capabilities.has_field:
        fields = _fields(seen.capabilities)
        raise NotFound(f"{where} has no sparse vectors under this name; {fields}")
    if taken:
        return ()
    session.check_for_queries(seen)
    if seen.manifest is None:
        return ("the index has no manifest: nothing tells which model wrote it",)
    return ()


def unknown_fields(session: Session, seen: Description, filters: Iterable[Any]) -> tuple[str, ...]:
    """A warning for each field that the filters name and that no document can have."""
    return tuple(
        f"no document of {session.backend.location} has the field {quoted(path)}, which the filter "
        "names"
        for path in paths_in(filters)
        if not seen.knows(path)
    )


def cap_terms(vector: SparseVector, limit: int | None) -> tuple[SparseVector, int]:
    """The heaviest `limit` terms and the number of the others."""
    if limit is None or len(vector) <= limit:
        return vector, 0
    return vector.prune(PruneOptions(top_k=limit)), len(vector) - limit


def _planned(
    session: Session, query: Query, options: SearchOptions
) -> Steps[tuple[SparseVector, Plan]]:
    seen = yield from session.look_for(asked_of(options))
    vector, warnings = yield from query_terms(session, seen, query, options)
    warnings += unknown_fields(session, seen, [options.filter])
    if not len(vector):
        return vector, _no_terms(warnings)
    plan = session.backend.plan(seen, vector, options)
    return vector, replace(plan, warnings=warnings + plan.warnings) if warnings else plan


def asked_of(options: SearchOptions) -> list[Any]:
    """What a search has to know of the index for its options: filters."""
    grouped = [Exists(options.group_by)] if options.group_by else []
    return [options.filter, *grouped]


def _fields(found: Capabilities) -> str:
    names = found.details.get("sparse_fields") or []
    return f"it has: {', '.join(names)}" if names else "it has none at all"


def _no_terms(warnings: tuple[str, ...]) -> Plan:
    reason = "the query has no terms: nothing is sent, nothing is found"
    return Plan(
        path="none", reason=reason, method="", url_path="", body={}, warnings=(*warnings, reason)
    )
