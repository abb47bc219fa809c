"""A search as Qdrant's query request. Pure: nothing is sent here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from splade_connectors.backends.protocol import Plan
from splade_connectors.errors import ConfigurationError
from splade_connectors.options import SearchOptions
from splade_connectors.vectors import SparseVector
from splade_qdrant.documents import ID_KEY, sparse_json


def compile_search(
    collection: str, vector_name: str, query: SparseVector, options: SearchOptions
) -> Plan:
    """The request for the best points by dot product."""
    body: dict[str, Any] = {
        "query": sparse_json(query),
        "using": vector_name,
        "limit": options.limit,
        "with_payload": True if options.with_payload else [ID_KEY],
    }
    if options.offset:
        body["offset"] = options.offset
    if options.filter is not None:
        body["filter"] = filter_json(options.filter)
    return Plan(
        path="sparse query",
        reason="Qdrant scores sparse vectors by their dot product, exactly",
        method="POST",
        # The embedded engine has no names: what is shown is for a server's collection.
        url_path=f"/collections/{quote(collection, safe='') or 'COLLECTION'}/points/query",
        body=body,
    )


def filter_json(given: Any) -> Mapping[str, Any]:
    """A filter as JSON, from a dict or from qdrant-client's `models.Filter`.

    Raises:
        ConfigurationError: for anything else, or JSON that is no Qdrant filter.
    """
    if hasattr(given, "model_dump"):
        given = given.model_dump(mode="json", exclude_none=True, by_alias=True)
    if not isinstance(given, Mapping):
        raise ConfigurationError(
            f"a Qdrant filter is a models.Filter or its JSON, not {type(given).__name__}"
        )
    unknown = sorted(set(given) - {"must", "should", "must_not", "min_should"})
    if unknown:
        raise ConfigurationError(
            f"a Qdrant filter has must, should, must_not or min_should, not {unknown[0]!r}; "
            'for example {"must": [{"key": "lang", "match": {"value": "en"}}]}'
        )
    return given
