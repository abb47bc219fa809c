"""The `search` and `plan` verbs for a sparse query."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from splade_connectors.backends.protocol import Description, Plan
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
    """Return the request that `search` would send."""
    return (yield from _planned(session, query, options))[1]


def search(session: Session, query: Query, options: SearchOptions) -> Steps[Hits]:
    """Return the best documents by dot product."""
    vector, plan = yield from _planned(session, query, options)
    if not len(vector):
        return Hits.of((), plan, query=vector, total=Total(value=0) if options.with_total else None)
    hits = yield from session.backend.search(plan)
    if not hits:
        plan = yield from _with_advice(session, plan)
    total = (yield from session.backend.total(plan)) if options.with_total else None
    return Hits.of(hits, plan, query=vector, total=total)


def _with_advice(session: Session, plan: Plan) -> Steps[Plan]:
    """Of a search without hits: what to type where no document has a vector, as after `detach`."""
    seen = yield from session.look()
    if seen.manifest is not None or (yield from session.backend.count(seen)):
        return plan
    return replace(plan, warnings=(*plan.warnings, no_vectors(session)))


def no_vectors(session: Session) -> str:
    """The sentence for a collection or index in which no document has a sparse vector."""
    return f"{session.backend.location} has no sparse vectors: {_attach_adds_them(session)}"


def _attach_adds_them(session: Session) -> str:
    line = shlex.join(["splade-connectors", "attach", session.backend.location, "--text", "FIELD"])
    return f"`{line}` adds them"


def query_terms(
    session: Session, seen: Description, query: Query, options: SearchOptions
) -> Steps[tuple[SparseVector, tuple[str, ...]]]:
    """Check the index, and return the query's vector as sent, and warnings."""
    # A vector does not reveal its model; but if terms have names, the encoder provides them.
    taken = isinstance(query, SparseVector) and seen.capabilities.key_style == "id"
    warnings = check_searchable(session, seen, taken=taken)
    vector = yield from query_vector(session, query)
    count = len(vector)
    limit = min(options.max_query_terms or count, seen.capabilities.max_query_terms or count)
    vector, dropped = cap_terms(vector, limit)
    if dropped:
        warnings += (
            f"only the {len(vector):,} heaviest of the query's {count:,} terms are sent (clause "
            "limit of the server, or max_query_terms)",
        )
    if not isinstance(query, SparseVector):
        warn_of_many_terms(session.encoder().spec.model, [vector], "a query")
    return vector, warnings


def query_vector(session: Session, query: Query) -> Steps[SparseVector]:
    """Return the query's full vector; an empty one for a blank text."""
    if isinstance(query, SparseVector):
        return query
    if not isinstance(query, str):
        kind = type(query).__name__
        raise ConfigurationError(f"the query must be a string or a SparseVector, not {kind}")
    if not query.strip():
        return SparseVector.empty()
    vector: SparseVector = yield Compute(lambda: session.encoder().encode_queries([query])[0])
    return vector


def check_searchable(
    session: Session, seen: Description, *, taken: bool = False
) -> tuple[str, ...]:
    """Check that the index can be searched, and return warnings.

    Args:
        session: session of the index.
        seen: description of the index.
        taken: the query is a vector sent as is, so models are not compared.

    Raises:
        NotFound: if there is no such index, or no sparse vectors in it.
        ManifestMismatch: if another model wrote it.
    """
    where = session.backend.location
    check_exists(session, seen)
    if not seen.capabilities.has_field:
        names = ", ".join(seen.capabilities.details.get("sparse_fields") or ())
        fields = (
            f"it has: {names}" if names else f"it has none at all: {_attach_adds_them(session)}"
        )
        raise NotFound(f"{where} has no sparse vectors under this name; {fields}")
    if taken:
        return ()
    session.check_for_queries(seen)
    if seen.manifest is None:
        return ("the index has no manifest, so it is unknown which model wrote it",)
    return ()


def unknown_fields(session: Session, seen: Description, filters: Iterable[Any]) -> tuple[str, ...]:
    """Return a warning for each filter field that no document has."""
    return tuple(
        f"no document in {session.backend.location} has the field {quoted(path)} of the filter"
        for path in paths_in(filters)
        if not seen.knows(path)
    )


def cap_terms(vector: SparseVector, limit: int | None) -> tuple[SparseVector, int]:
    """Return the heaviest `limit` terms, and the number of terms dropped."""
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
    """Return the filters whose fields a search must know about."""
    grouped = [Exists(options.group_by)] if options.group_by else []
    return [options.filter, *grouped]


def _no_terms(warnings: tuple[str, ...]) -> Plan:
    reason = "the query has no terms, so nothing is sent or found"
    return Plan(
        path="none", reason=reason, method="", url_path="", body={}, warnings=(*warnings, reason)
    )
