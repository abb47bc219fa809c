"""Names of stored terms, which reveal how their author names terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from splade_connectors.errors import AccessDenied, RequestRejected
from splade_connectors.runtime.effects import Steps
from splade_lucene.address import IndexAddress
from splade_lucene.answers import asked
from splade_lucene.dialect import Version
from splade_lucene.queries import at_random
from splade_lucene.requests import HttpRequest
from splade_lucene.schema import Schema

_SAMPLE = 20


def term_names(address: IndexAddress, schema: Schema, version: Version) -> Steps[tuple[str, ...]]:
    """Term names of some documents; () if there are none, or this user may not read them.

    `rank_features` has no `exists` query, so its sample is drawn from all documents.
    """
    has_field = {"exists": {"field": schema.field}} if schema.kind == "sparse_vector" else None
    source: dict[str, Any] = {"includes": [schema.field]}
    # An unknown version (see `read_version`) is assumed to be new.
    if address.dialect.keeps_vectors_apart(version or address.dialect.vectors_apart or ()):
        source["exclude_vectors"] = False
    body = {"size": _SAMPLE, "query": at_random(has_field), "_source": source}
    request = HttpRequest("POST", f"{address.path}/_search", body)

    def parse(answer: Any) -> tuple[str, ...]:
        names: dict[str, None] = {}
        for hit in answer["hits"]["hits"]:
            names |= dict.fromkeys(names_in(hit, schema))
        return tuple(names)

    try:
        return (yield from asked(request, parse, address))
    except (AccessDenied, RequestRejected):
        return ()


def names_in(hit: Mapping[str, Any], schema: Schema) -> list[str]:
    """The terms of a hit; after an update, `_source` has them in a one-element array."""
    value = (hit.get("_source") or {}).get(schema.field)
    parts = value if isinstance(value, list) else [value]
    return [str(name) for part in parts for name in part or ()]
