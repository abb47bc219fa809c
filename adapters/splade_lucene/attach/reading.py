"""Stored documents, as attaching reads them: queries and parsing. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from splade_connectors.backends.attaching import Found, Selection
from splade_connectors.backends.feature_names import Keys
from splade_lucene.dialect import Dialect, Version
from splade_lucene.documents import marker_of, stored
from splade_lucene.queries import EVERYTHING, holding, lacks, marked
from splade_lucene.schema import Schema


def selected(selection: Selection, schema: Schema) -> Mapping[str, Any]:
    """The query for the selected documents."""
    match selection.which:
        case "missing":
            return lacks(schema, selection.settings)
        case "attached":
            return marked(schema)
        case "stored":
            return holding(schema)
    return EVERYTHING


def fields_of(
    selection: Selection, schema: Schema, dialect: Dialect, version: Version
) -> dict[str, Any]:
    """The part of each `_source` to read."""
    source: dict[str, Any] = {"includes": [*selection.fields, schema.marker_field]}
    if selection.whole:
        source = {} if selection.with_vectors else {"excludes": schema.hidden}
    elif selection.with_vectors:
        source["includes"].append(schema.field)
    if selection.with_vectors and dialect.keeps_vectors_apart(version):
        source["exclude_vectors"] = False
    return source


def found_in(hits: Sequence[Mapping[str, Any]], schema: Schema, keys: Keys) -> list[Found]:
    """The documents in the hits of a search or multi-get."""
    return [_found(hit, schema, keys) for hit in hits]


def _found(hit: Mapping[str, Any], schema: Schema, keys: Keys) -> Found:
    source = hit.get("_source") or {}
    document = stored(str(hit["_id"]), source, schema.field, keys)
    handle = {
        "id": hit["_id"],
        "seq_no": hit.get("_seq_no"),
        "term": hit.get("_primary_term"),
        "routing": hit.get("_routing"),
    }
    return Found(
        id=document.id,
        payload={
            name: value for name, value in document.payload.items() if name not in schema.hidden
        },
        marker=marker_of(source, schema.field),
        vector=document.vector,
        dense={name: source[name] for name in schema.dense if isinstance(source.get(name), list)},
        handle=handle,
    )
