"""Why Qdrant would refuse a document, or silently change it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from splade_connectors.documents import EncodedDocument
from splade_connectors.shown import counted
from splade_connectors.vectors import SparseVector
from splade_qdrant.documents import reserved_key
from splade_qdrant.schema import Schema


def document_reason(
    document: EncodedDocument, schema: Schema, vector_name: str, dense_name: str
) -> str | None:
    """Why Qdrant would refuse the document (dense vector, terms or payload); None if it is fine."""
    for name, values in document.document.dense_vectors().items():
        reason = _dense_reason(schema, name or dense_name, len(values))
        if reason:
            return reason
    return _reserved_reason(document.payload) or terms_reason(schema, vector_name, document.vector)


def changes_reason(payload: Mapping[str, Any]) -> str | None:
    """Why these fields cannot be stored; None if no reason is known."""
    return _reserved_reason(payload)


def terms_reason(schema: Schema, vector_name: str, vector: SparseVector) -> str | None:
    """Why strict mode refuses the vector; None if it allows that many terms."""
    most = schema.max_terms(vector_name)
    if most is None or len(vector) <= most:
        return None
    return (
        f"its vector has {len(vector)} terms, but the collection's strict mode allows {most}: "
        f"--prune-top-k {most} keeps the heaviest"
    )


def _dense_reason(schema: Schema, name: str, dimensions: int) -> str | None:
    known = schema.dense
    shown = repr(name) if name else "without a name"
    if name not in known:
        names = ", ".join(repr(other) for other in sorted(known)) or "none"
        return f"the collection has no dense vector {shown}; it has {names}"
    if dimensions != known[name]:
        return (
            f"the dense vector {shown} has {counted(dimensions, 'dimension')}, but the "
            f"collection's has {known[name]}"
        )
    return None


def _reserved_reason(payload: Mapping[str, Any]) -> str | None:
    reserved = reserved_key(payload)
    if reserved is None:
        return None
    return f"the payload key {reserved!r} is reserved by splade-connectors; rename it"
