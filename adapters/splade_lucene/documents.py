"""Convert documents to `_source`, and `_source` back to documents."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from splade_connectors.backends.attaching import Attachment
from splade_connectors.backends.feature_names import Keys
from splade_connectors.backends.rounding import as_stored, lucene_stored
from splade_connectors.documents import EncodedDocument, Stamp, StoredDocument
from splade_connectors.vectors import SparseVector
from splade_lucene.schema import marker_name

DEFAULT_DENSE = "dense"
# Fingerprints of the settings (absent without a manifest), of the text, and of the rest.
_MARKER = re.compile("([0-9a-f]{8})?-[0-9a-f]{16}(-v?[0-9a-f]{16})?(-empty)?")
# Added to the fingerprints if the vector has no terms. A marker without it, in a document without a
# vector, means that someone removed the vector.
EMPTY = "empty"
# The three parts of a stamp, and EMPTY.
_MOST_VALUES = 4


def source(document: EncodedDocument, field: str, dense_name: str, keys: Keys) -> dict[str, Any]:
    """The `_source` of a document."""
    dense = {
        name or dense_name: [float(value) for value in values]
        for name, values in document.document.dense_vectors().items()
    }
    sparse = features(document.vector, keys)
    marker = marker_values(document.stamp.to_text(), document.vector)
    return {**document.payload, **dense, field: sparse, marker_name(field): marker}


def attached_fields(vector: SparseVector, marker: str, field: str, keys: Keys) -> dict[str, Any]:
    """The update that gives a stored document its vector.

    A one-element array replaces the field, an empty array empties it; a plain object would be
    merged into the old one, whose terms would survive [7.17.29, 9.3.2].
    """
    weights = features(vector, keys)
    values = marker_values(marker, vector)
    return {field: [weights] if weights else [], marker_name(field): values}


def marker_field_of(item: Attachment, field: str) -> dict[str, Any]:
    """The update that marks the existing vector of a document."""
    stored = item.found.vector or SparseVector.empty()
    return {marker_name(field): marker_values(item.marker, stored)}


def without_fields(field: str) -> dict[str, Any]:
    """The update that empties the vector of a stored document, for servers without scripts."""
    return {field: [], marker_name(field): []}


def marker_values(stamp: str, vector: SparseVector) -> list[str]:
    """The values of the marker field: the parts of a stamp (settings, text, content), and `EMPTY`.

    Several terms instead of one, so that a `term` query finds documents with certain settings:
    clusters may forbid prefix queries (`search.allow_expensive_queries`).
    """
    return [*stamp.split("-"), *(() if len(vector) else (EMPTY,))]


def is_marker(value: Any) -> bool:
    """Whether a value of the marker field is ours, or empty."""
    if not value:
        return value in (None, [])
    return isinstance(value, list) and bool(_MARKER.fullmatch("-".join(map(str, value))))


def marker_of(source: Mapping[str, Any], field: str) -> str | None:
    """The marker in a `_source`, or None."""
    return stamp_of(source, field).marker or None


def stamp_of(source: Mapping[str, Any], field: str) -> Stamp:
    """The stamp in a `_source`; an empty one if there is none."""
    values = source.get(marker_name(field))
    if not isinstance(values, list) or not 2 <= len(values) <= _MOST_VALUES:
        return Stamp()
    parts = [str(value) for value in values]
    return Stamp.parse("-".join(parts[:-1] if parts[-1] == EMPTY else parts))


def features(vector: SparseVector, keys: Keys) -> dict[str, float]:
    """Feature name -> weight, rounded as the field stores it."""
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
    """The stored weights; after an update, `_source` has them in a one-element array."""
    if isinstance(found, list):
        found = found[0] if found else {}
    if found is None:
        return None
    pairs = [(keys.index(name), float(weight)) for name, weight in found.items()]
    # Names that the vocabulary lacks were written by another tool.
    known = [(index, weight) for index, weight in pairs if index is not None]
    vector, _ = SparseVector.from_pairs(known)
    return SparseVector(vector.indices, lucene_stored(vector.values))
