"""Documents to index actions, `_source` back to documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from splade_connectors.backend import EncodedDocument
from splade_connectors.documents import StoredDocument
from splade_connectors.keys import Keys
from splade_connectors.precision import as_stored, lucene_stored
from splade_connectors.vectors import SparseVector
from splade_elasticsearch.schema import marker_name

DEFAULT_DENSE = "dense"


def source(document: EncodedDocument, field: str, dense_name: str, keys: Keys) -> dict[str, Any]:
    """The `_source` of a document."""
    dense = {
        name or dense_name: [float(value) for value in values]
        for name, values in document.document.dense_vectors().items()
    }
    sparse = features(document.vector, keys)
    return {**document.payload, **dense, field: sparse, marker_name(field): document.marker}


def features(vector: SparseVector, keys: Keys) -> dict[str, float]:
    """Feature name -> weight, rounded to what the field will hold."""
    rounded = as_stored(vector, "lucene")
    names = keys.names(rounded.indices.tolist())
    return dict(zip(names, rounded.values.tolist(), strict=True))


def stored(id: str, found: Mapping[str, Any], field: str, keys: Keys) -> StoredDocument:
    """The document in a `_source`."""
    payload = {
        name: value for name, value in found.items() if name not in (field, marker_name(field))
    }
    return StoredDocument(id=id, payload=payload, vector=_vector(found.get(field), keys))


def _vector(found: Any, keys: Keys) -> SparseVector | None:
    """The stored weights. An update leaves a one-element array in `_source`."""
    if isinstance(found, list):
        found = found[0] if found else {}
    if found is None:
        return None
    pairs = [(keys.index(name), float(weight)) for name, weight in found.items()]
    # Names that the vocabulary does not have were written by something else.
    known = [(index, weight) for index, weight in pairs if index is not None]
    vector, _ = SparseVector.from_pairs(known)
    return SparseVector(vector.indices, lucene_stored(vector.values))
