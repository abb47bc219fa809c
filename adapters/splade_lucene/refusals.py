"""Why an index would refuse a document or an update. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from splade_connectors.documents import EncodedDocument
from splade_connectors.errors import InvalidDocument, NotSupported
from splade_connectors.shown import counted
from splade_lucene.address import IndexAddress
from splade_lucene.dialect import Dialect
from splade_lucene.routing import routing_refusal
from splade_lucene.schema import Schema

_MAX_ID_BYTES = 512


def refusal(document: EncodedDocument, schema: Schema, address: IndexAddress) -> str | None:
    """Why the index would refuse the document; None if no reason is known."""
    vectors = document.document.dense_vectors()
    dense = {name or address.dense: values for name, values in vectors.items()}
    reserved = _reserved(document.payload, schema, list(dense))
    if reserved:
        return f"the payload field {reserved!r} is reserved for vectors; rename it"
    if len(str(document.id).encode()) > _MAX_ID_BYTES:
        return f"the id is longer than {_MAX_ID_BYTES} bytes"
    for name, values in dense.items():
        reason = _dense_refusal(name, len(values), schema, address.dialect)
        if reason:
            return reason
    return routing_refusal(document.payload, schema, address)


def check_update(changes: Mapping[str, Any], schema: Schema, location: str) -> None:
    """Refuse an update that would write to reserved fields, or erase the owner's.

    Raises:
        InvalidDocument: if it changes a reserved field.
        NotSupported: if `_source` omits fields, which an update would erase.
    """
    reserved = _reserved(changes, schema)
    if reserved:
        raise InvalidDocument(f"the field {reserved!r} is reserved for vectors; change the text")
    if not schema.whole_source:
        # `_update` reads `_source`, changes it and rewrites all fields (7.17 and 9.3.2).
        raise NotSupported(
            f"{location} omits fields from _source, which an update would erase; index the "
            "document again instead"
        )


def _reserved(payload: Mapping[str, Any], schema: Schema, dense: Sequence[str] = ()) -> str | None:
    """The first payload field that collides with ours; 8.19 and 9.3.2 treat "splade.x" as one."""
    ours = {schema.field, schema.marker_field, *dense}
    taken = [name for name in payload if name.split(".")[0] in ours]
    return min(taken, default=None)


def _dense_refusal(name: str, dimensions: int, schema: Schema, dialect: Dialect) -> str | None:
    known = schema.dense
    if name not in known:
        names = ", ".join(map(repr, sorted(known))) or "none"
        return f"the index has no {dialect.dense_type} field {name!r}; it has {names}"
    if known[name] and dimensions != known[name]:
        return (
            f"the dense vector {name!r} has {counted(dimensions, 'dimension')}, but the index's "
            f"field has {known[name]}"
        )
    return None
