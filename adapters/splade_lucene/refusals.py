"""Why an index would not take a document, or a change of one. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from splade_connectors.documents import EncodedDocument
from splade_connectors.errors import InvalidDocument, NotSupported
from splade_lucene.address import IndexAddress
from splade_lucene.dialect import Dialect
from splade_lucene.routing import routing_refusal
from splade_lucene.schema import Schema

_MAX_ID_BYTES = 512


def refusal(document: EncodedDocument, schema: Schema, address: IndexAddress) -> str | None:
    """Reserved fields, wrong dense vectors, ids that are too long, no usable routing."""
    vectors = document.document.dense_vectors()
    dense = {name or address.dense: values for name, values in vectors.items()}
    reserved = _reserved(document.payload, schema, list(dense))
    if reserved:
        return f"the payload has the field {reserved!r}, which holds vectors here; rename it"
    if len(str(document.id).encode()) > _MAX_ID_BYTES:
        return f"the id is longer than {_MAX_ID_BYTES} bytes"
    for name, values in dense.items():
        reason = _dense_refusal(name, len(values), schema, address.dialect)
        if reason:
            return reason
    return routing_refusal(document.payload, schema, address)


def check_update(changes: Mapping[str, Any], schema: Schema, location: str) -> None:
    """Refuse a change that would write into our own fields, or erase the owner's.

    Raises:
        InvalidDocument: naming the field.
        NotSupported: where `_source` is not whole.
    """
    reserved = _reserved(changes, schema)
    if reserved:
        raise InvalidDocument(f"the field {reserved!r} holds vectors here; change the text")
    if not schema.whole_source:
        # `_update` reads `_source`, changes it and rewrites all fields (7.17 and 9.3.2).
        raise NotSupported(
            f"{location} leaves fields out of _source, and an update would erase them; "
            "index the document again instead"
        )


def _reserved(payload: Mapping[str, Any], schema: Schema, dense: Sequence[str] = ()) -> str | None:
    """The first payload field in the way of our own; 8.19 and 9.3.2 take "splade.x" for one."""
    ours = {schema.field, schema.marker_field, *dense}
    return next((name for name in sorted(payload) if name.split(".")[0] in ours), None)


def _dense_refusal(name: str, dimensions: int, schema: Schema, dialect: Dialect) -> str | None:
    known = schema.dense
    if name not in known:
        names = ", ".join(map(repr, sorted(known))) or "none"
        return f"the index has no {dialect.dense_type} field {name!r}; it has {names}"
    if known[name] and dimensions != known[name]:
        return (
            f"the dense vector {name!r} has {dimensions} dimensions, the index's field has "
            f"{known[name]}"
        )
    return None
