"""Compile a search to an Elasticsearch request. Pure: nothing is sent here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from splade_connectors.backends.feature_names import Keys
from splade_connectors.backends.protocol import Plan
from splade_connectors.errors import ConfigurationError
from splade_connectors.filters import Condition
from splade_connectors.options import SearchOptions
from splade_connectors.vectors import SparseVector
from splade_lucene.compile.filters import Fields
from splade_lucene.dialect import Kind
from splade_lucene.hits import GROUP

_REASONS = {
    "rank_features": (
        "rank_feature with the linear function is the dot product on every version; "
        "its default function, saturation, is not"
    ),
    "sparse_vector": "sparse_vector with prune: false is the dot product; by default it prunes",
}

# Keys of request and bool bodies, which are not query types: a filter cannot have them.
_NOT_A_QUERY = {"query", "size", "from", "aggs", "_source", "must", "should", "must_not", "filter"}


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupedPlan(Plan):
    """A search whose hits are grouped by the server.

    Attributes:
        group_by: the field, as documents have it.
        ungrouped: the query for documents that are in no group because their value is too long
            for the mapping's `ignore_above`; None if there is no such limit.
    """

    group_by: str
    ungrouped: Mapping[str, Any] | None


def compile_search(
    index: str,
    field: str,
    kind: Kind,
    keys: Keys,
    query: SparseVector,
    options: SearchOptions,
    hidden_fields: Sequence[str],
    fields: Fields,
) -> Plan:
    """The request for the best documents by dot product.

    Args:
        index: name of the index or alias.
        field: the sparse field.
        kind: its type.
        keys: codec of the feature names.
        query: has at least one term.
        options: limit, offset, filter, grouping.
        hidden_fields: omitted from the payload: vectors and markers.
        fields: of the index, for conditions.
    """
    names = keys.names(query.indices.tolist())
    weights = dict(zip(names, query.values.tolist(), strict=True))
    clauses = rank_feature_clauses(field, weights)
    if kind == "sparse_vector":
        clauses = [sparse_vector_clause(field, weights)]
    condition: dict[str, Any] = {"should": clauses, "minimum_should_match": 1}
    group = fields.grouped(options.group_by) if options.group_by else None
    restricted = [filter_json(options.filter, fields)] if options.filter is not None else []
    if group:
        # Otherwise all documents without a value would form another group.
        restricted.append({"exists": {"field": group}})
    if restricted:
        condition["filter"] = restricted
    body: dict[str, Any] = {
        "query": {"bool": condition},
        "size": options.limit,
        "track_total_hits": False,
        "_source": {"excludes": list(hidden_fields)} if options.with_payload else False,
    }
    if options.offset:
        body["from"] = options.offset
    if group:
        counted = {"name": GROUP, "size": 0, "_source": False}
        body["collapse"] = {"field": group, "inner_hits": counted}
    made: dict[str, Any] = {
        "path": kind,
        "reason": _REASONS[kind],
        "method": "POST",
        "url_path": f"/{quote(index, safe='')}/_search",
        "body": body,
    }
    if options.group_by:
        ungrouped = fields.ungrouped(options.group_by)
        return GroupedPlan(**made, group_by=options.group_by, ungrouped=ungrouped)
    return Plan(**made)


def rank_feature_clauses(field: str, weights: Mapping[str, float]) -> list[dict[str, Any]]:
    """Σ q·d as `bool.should`: each clause scores boost x stored weight."""
    return [
        {"rank_feature": {"field": f"{field}.{name}", "linear": {}, "boost": weight}}
        for name, weight in weights.items()
    ]


def sparse_vector_clause(field: str, weights: Mapping[str, float]) -> dict[str, Any]:
    """Σ q·d in one clause; without `prune: false`, 8.19, 9.1 and later drop terms."""
    return {
        "sparse_vector": {"field": field, "query_vector": dict(weights), "prune": False},
    }


def filter_json(given: Any, fields: Fields) -> Mapping[str, Any]:
    """A filter as a query: from a condition, or from Elasticsearch's JSON or DSL objects.

    Raises:
        ConfigurationError: for anything else.
    """
    if isinstance(given, Condition):
        return fields.query(given)
    if hasattr(given, "to_dict"):
        given = given.to_dict()
    if not isinstance(given, Mapping) or len(given) != 1 or set(given) & _NOT_A_QUERY:
        raise ConfigurationError(
            "a filter must be a condition of splade_connectors.filters or one Elasticsearch query, "
            f'such as {{"term": {{"lang": "en"}}}} or {{"bool": {{…}}}}, not {given!r}'
        )
    return given
