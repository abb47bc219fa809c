"""Convert documents to points, and points to documents."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from splade_connectors.documents import DocumentId, EncodedDocument, Stamp, StoredDocument
from splade_connectors.errors import InvalidVector
from splade_connectors.vectors import SparseVector

# Qdrant's point ids are integers and UUIDs; any other id is kept in the payload under this key.
ID_KEY = "_splade_id"

# Prefix of the payload key of a vector's marker, if markers are on; the vector's name follows.
MARKER_PREFIX = "_splade_marker_"

# Other characters would have to be quoted in a path to a payload key.
_UNSAFE = re.compile("[^A-Za-z0-9_-]")

# The largest index. A query with it would match the placeholder, at the smallest possible weight.
NO_TERMS = 2**32 - 1
_LIGHTEST = float(np.finfo(np.float32).tiny)

# Never change this: a document's point id must be the same in every run and every version.
_POINT_ID_NAMESPACE = uuid.UUID("6c1d2f0a-0d3b-5c55-9b50-5b1f6a3f9e11")

_INTEGER_NAMESPACE = uuid.uuid5(_POINT_ID_NAMESPACE, "")  # no text id is empty

_LARGEST_POINT_ID = 2**64 - 1

_HYPHENED = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
# uuid.UUID itself accepts far more: signs, underscores, and hyphens anywhere.
_UUID = re.compile(
    rf"(?P<plain>[0-9a-f]{{32}})|(?:(?P<open>{{)|urn:uuid:)?(?P<hyphened>{_HYPHENED})(?(open)}})",
    re.IGNORECASE | re.ASCII,
)


# A run asks for each id several times within a portion. Typed, because 1 and True are equal.
@lru_cache(maxsize=2**14, typed=True)
def point_id(value: DocumentId) -> int | str:
    """The id that Qdrant stores a document under: an unsigned 64-bit integer or a UUID.

    Integers from 0 to 2^64 - 1 and UUIDs in any spelling stand for themselves; anything else
    becomes the UUIDv5 of its text in a fixed namespace (RFC 9562), the same in every run. Integers
    have their own namespace, so that -3 and "-3" are two documents.
    """
    if isinstance(value, int):
        if 0 <= value <= _LARGEST_POINT_ID:
            return value
        return _uuid5(_INTEGER_NAMESPACE, str(value))
    return uuid_in(value) or _uuid5(_POINT_ID_NAMESPACE, value)


def _uuid5(namespace: uuid.UUID, name: str) -> str:
    """The UUIDv5 of a name as text, in a third of the time of `uuid.uuid5` [Python 3.11]."""
    made = bytearray(
        hashlib.sha1(namespace.bytes + name.encode(), usedforsecurity=False).digest()[:16]
    )
    made[6] = made[6] & 0x0F | 0x50  # the version
    made[8] = made[8] & 0x3F | 0x80  # the variant
    digits = made.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def uuid_in(text: str) -> str | None:
    """The text as a UUID in lower case with hyphens; None if it is not a UUID.

    Accepts the spellings that Qdrant accepts: with or without hyphens, in braces, as a URN, in
    lower or upper case.
    """
    found = _UUID.fullmatch(text)
    return str(uuid.UUID(found["hyphened"] or found["plain"])) if found else None


# An integer beyond 64 bits; by default Python parses at most 4,300 digits.
_INTEGER = re.compile("-?[0-9]{1,4300}")

_INT64 = range(-(2**63), 2**63)


def point(
    document: EncodedDocument, vector_name: str, dense_name: str, *, mark: bool = False
) -> dict[str, Any]:
    """The point of a document as JSON; with its stamp if points are marked."""
    stamp = {marker_key(vector_name): document.stamp.to_text()} if mark else {}
    return {
        "id": point_id(document.id),
        "vector": {
            **{
                name or dense_name: [float(value) for value in values]
                for name, values in document.document.dense_vectors().items()
            },
            vector_name: sparse_json(document.vector),
        },
        "payload": {**document.payload, **id_payload(document.id), **stamp},
    }


def sparse_json(vector: SparseVector) -> dict[str, Any]:
    """A sparse vector as JSON. Python floats represent each float32 exactly."""
    return {"indices": vector.indices.tolist(), "values": vector.values.tolist()}


def changed_json(vector: SparseVector) -> dict[str, Any]:
    """The new sparse vector of an existing point; an empty one becomes a placeholder term.

    Servers refuse to replace a point's vector with an empty one [1.18.3], and only a vector shows
    that the point was processed. Points that are written whole may have an empty one.
    """
    return sparse_json(vector) if len(vector) else {"indices": [NO_TERMS], "values": [_LIGHTEST]}


def id_payload(id: DocumentId) -> dict[str, Any]:
    """The payload entry that preserves the original id; {} if the point id is the original."""
    if point_id(id) == id:
        return {}
    # Numbers beyond 64 bits would come back as floats.
    return {ID_KEY: id if isinstance(id, str) or id in _INT64 else {"int": str(id)}}


def marker_key(vector_name: str) -> str:
    """The payload key of a vector's marker."""
    name = _UNSAFE.sub(lambda found: f"-{ord(found[0]):x}-", vector_name)
    return f"{MARKER_PREFIX}{name}"


def stamp_of(found: Mapping[str, Any], vector_name: str) -> Stamp:
    """The stamp in a point's marker; an empty stamp if there is none or it is not valid."""
    kept = (found.get("payload") or {}).get(marker_key(vector_name))
    return Stamp.parse(kept) if isinstance(kept, str) else Stamp()


def payload_selector(keys: Sequence[str]) -> list[str] | bool:
    """The selector for these payload keys: the whole payload if one would have to be quoted."""
    return True if any(map(_UNSAFE.search, keys)) else list(keys)


def reserved_key(payload: Mapping[str, Any]) -> str | None:
    """The first payload key reserved by this package; None if there is none."""
    ours = (key for key in payload if key == ID_KEY or str(key).startswith(MARKER_PREFIX))
    return next(ours, None)


def original_id(found: Mapping[str, Any]) -> DocumentId:
    """The document id of a point: the point id, unless the payload holds a valid original id."""
    payload = found["payload"]
    match payload.get(ID_KEY) if payload else None:
        case str() as kept if kept:  # nearly always
            return kept
        case bool():
            pass
        case int() as kept:
            return kept
        case {"int": str(digits)} if _INTEGER.fullmatch(digits):
            return int(digits)
    own = found["id"]
    return own if isinstance(own, int) else str(own)


def page_of(found: Sequence[Mapping[str, Any]], offset: int, limit: int) -> list[Mapping[str, Any]]:
    """The scored points of a page, with ties ordered by the document's id as text.

    Reads only the points of the page and those tied with its ends.

    Args:
        found: points by descending score, as the server returns them.
        offset: points before the page.
        limit: maximum number of points in the page.
    """
    first, last = min(offset, len(found)), min(offset + limit, len(found))
    if first == last:
        return []
    points = [found[at] for at in range(first, last)]
    start, end = first, last
    while start and (before := found[start - 1])["score"] == points[0]["score"]:
        points.insert(0, before)
        start -= 1
    while end < len(found) and (after := found[end])["score"] == points[-1]["score"]:
        points.append(after)
        end += 1
    return in_order(points)[first - start : last - start]


def in_order(points: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Order ties by the document's id as text; the points come by descending score."""
    if len({point["score"] for point in points}) < len(points):
        points.sort(key=lambda point: (-point["score"], str(original_id(point))))
    return points


def payload_of(found: Mapping[str, Any]) -> dict[str, Any]:
    """The document's payload in a point, without this package's own keys."""
    payload = found["payload"] or {}
    return {
        key: value
        for key, value in payload.items()
        if key != ID_KEY and not key.startswith(MARKER_PREFIX)
    }


def dense_of(found: Mapping[str, Any]) -> dict[str, list[float]]:
    """The dense vectors of a point that was read with its vectors; the unnamed one under ''."""
    vectors = found.get("vector")
    named = vectors if isinstance(vectors, Mapping) else {"": vectors}
    return {name: list(values) for name, values in named.items() if isinstance(values, list)}


def stored(found: Mapping[str, Any], vector_name: str) -> StoredDocument:
    """The document in a retrieved point."""
    vectors = found.get("vector")
    raw = vectors.get(vector_name) if isinstance(vectors, Mapping) else None
    vector = None if raw is None else _sparse(raw)
    return StoredDocument(id=original_id(found), payload=payload_of(found), vector=vector)


def _sparse(raw: Mapping[str, Any]) -> SparseVector:
    """The vector without non-terms: weights <= 0 that others wrote, and the placeholder term."""
    indices, values = raw["indices"], raw["values"]
    if len(indices) == 1 and indices[0] == NO_TERMS and values[0] <= _LIGHTEST:
        return SparseVector.empty()
    if len(indices) != len(values):
        raise InvalidVector(
            f"a stored sparse vector has {len(indices)} indices but {len(values)} values: the "
            "server is not Qdrant"
        )
    pairs = zip(indices, values, strict=True)
    vector, _ = SparseVector.from_pairs((index, value) for index, value in pairs if value > 0)
    return vector
