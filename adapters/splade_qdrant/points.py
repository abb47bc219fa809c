"""Documents to points, points to documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from splade_connectors.backend import EncodedDocument
from splade_connectors.documents import DocumentId, Hit, StoredDocument, point_id
from splade_connectors.vectors import SparseVector

# Qdrant's own ids are integers and UUIDs; any other id is kept in the payload under this key.
ID_KEY = "_splade_id"
_INT64 = range(-(2**63), 2**63)


def point(document: EncodedDocument, vector_name: str, dense_name: str) -> dict[str, Any]:
    """The point of a document, as JSON."""
    return {
        "id": point_id(document.id),
        "vector": {
            **{
                name or dense_name: [float(value) for value in values]
                for name, values in document.document.dense_vectors().items()
            },
            vector_name: sparse_json(document.vector),
        },
        "payload": {**document.payload, **id_payload(document.id)},
    }


def sparse_json(vector: SparseVector) -> dict[str, Any]:
    """A sparse vector as JSON. Python floats hold each float32 exactly."""
    return {"indices": vector.indices.tolist(), "values": vector.values.tolist()}


def id_payload(id: DocumentId) -> dict[str, Any]:
    """What to keep in the payload so that the id comes back."""
    if point_id(id) == id:
        return {}
    # Numbers beyond 64 bits would come back as floats.
    return {ID_KEY: id if isinstance(id, str) or id in _INT64 else {"int": str(id)}}


def _original_id(payload: dict[str, Any], point: int | str) -> DocumentId:
    kept: Any = payload.pop(ID_KEY, point)
    return int(kept["int"]) if isinstance(kept, Mapping) else kept


def hit(found: Mapping[str, Any], with_payload: bool) -> Hit:
    """The hit in a scored point."""
    payload = dict(found.get("payload") or {})
    id = _original_id(payload, found["id"])
    return Hit(id=id, score=float(found["score"]), payload=payload if with_payload else {})


def stored(found: Mapping[str, Any], vector_name: str) -> StoredDocument:
    """The document in a retrieved point."""
    payload = dict(found.get("payload") or {})
    id = _original_id(payload, found["id"])
    vectors = found.get("vector")
    raw = vectors.get(vector_name) if isinstance(vectors, Mapping) else None
    vector = None
    if raw is not None:
        # Others may have written weights that SPLADE does not have: they are left out.
        pairs = zip(raw["indices"], raw["values"], strict=True)
        vector, _ = SparseVector.from_pairs((i, v) for i, v in pairs if v > 0)
    return StoredDocument(id=id, payload=payload, vector=vector)
