"""Read points, and count them, for attaching."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from splade_connectors.backends.attaching import Counts, Found, Page, Selection
from splade_connectors.backends.protocol import Description
from splade_connectors.documents import DocumentId, Stamp
from splade_connectors.runtime.effects import Steps
from splade_qdrant.address import Address
from splade_qdrant.documents import (
    ID_KEY,
    dense_of,
    marker_key,
    payload_selector,
    point_id,
    stamp_of,
    stored,
)
from splade_qdrant.look import schema_of


def read(address: Address, seen: Description, selection: Selection, cursor: Any) -> Steps[Page]:
    """A page in the order of the points' ids."""
    schema = schema_of(seen, address)
    is_there = seen.vector in schema.sparse
    which = selection.which
    if which in ("attached", "stored") and not is_there:
        return Page(documents=[], next=None)
    body = {
        "limit": schema.at_most(selection.size),
        "offset": cursor,
        **_parts(selection, seen.vector),
    }
    has = {"has_vector": seen.vector}
    if which in ("attached", "stored"):
        body["filter"] = {"must": [has]}
    elif which == "missing" and is_there:
        body["filter"] = {"must_not": [has]}
    answer = yield address.request("scroll", body)
    found = [found_of(record, seen.vector) for record in answer["points"]]
    return Page(
        documents=[item for item in found if _is_in_part(item, selection.part)],
        next=answer["next"],
    )


def read_again(
    address: Address, seen: Description, selection: Selection, found: Sequence[Found]
) -> Steps[list[Found]]:
    """Read these points again by id, as they are now."""
    body = {"ids": [item.handle for item in found], **_parts(selection, seen.vector)}
    answer = yield address.request("retrieve", body)
    return [found_of(record, seen.vector) for record in answer]


def stamps(
    address: Address, seen: Description, ids: Sequence[DocumentId]
) -> Steps[dict[DocumentId, Stamp]]:
    """The stamps of these points; an empty one for a point that has lost its vector."""
    points = {str(point_id(id)): id for id in ids}
    body = {
        "ids": [point_id(id) for id in ids],
        "with_payload": [marker_key(seen.vector)],
        "with_vector": False,
    }
    answer = yield address.request("retrieve", body)
    found = {
        points[str(item["id"])]: stamp_of(item, seen.vector)
        for item in answer
        if str(item["id"]) in points
    }
    bare = yield from _without_vector(address, seen, [id for id in found if found[id].marker])
    return found | dict.fromkeys(bare, Stamp())


def dense_vectors(
    address: Address, ids: Sequence[DocumentId]
) -> Steps[dict[DocumentId, Mapping[str, Sequence[float]]]]:
    """The dense vectors of these points."""
    points = {str(point_id(id)): id for id in ids}
    body = {"ids": [point_id(id) for id in ids], "with_payload": False, "with_vector": True}
    answer = yield address.request("retrieve", body)
    return {points[str(item["id"])]: dense_of(item) for item in answer if str(item["id"]) in points}


def _without_vector(
    address: Address, seen: Description, ids: Sequence[DocumentId]
) -> Steps[list[DocumentId]]:
    """The ids whose vector someone else removed: their marker means nothing."""
    if not ids:
        return []
    points = {str(point_id(id)): id for id in ids}
    condition = {
        "must": [{"has_id": [point_id(id) for id in ids]}],
        "must_not": [{"has_vector": seen.vector}],
    }
    body = {
        "limit": schema_of(seen, address).at_most(len(ids)),
        "offset": None,
        "filter": condition,
        "with_payload": False,
        "with_vector": False,
    }
    bare: list[DocumentId] = []
    while True:
        answer = yield address.request("scroll", body)
        bare += [points[str(item["id"])] for item in answer["points"]]
        if answer["next"] is None:
            return bare
        body["offset"] = answer["next"]


def draw(
    address: Address, seen: Description, selection: Selection, size: int
) -> Steps[list[Found]]:
    """Draw from the points with the vector, by a random query."""
    schema = schema_of(seen, address)
    if seen.vector not in schema.sparse:
        return []
    body = {
        "query": {"sample": "random"},
        "limit": schema.at_most(size),
        "filter": {"must": [{"has_vector": seen.vector}]},
        **_parts(selection, seen.vector),
    }
    return [found_of(point, seen.vector) for point in (yield address.request("query", body))]


def counts(address: Address, seen: Description) -> Steps[Counts]:
    """The number of points, and of those without the vector: all, if the collection lacks it."""
    documents = yield from counted(address, {})
    is_there = documents and seen.vector in schema_of(seen, address).sparse
    lacking = (yield from missing(address, seen)) if is_there else documents
    return Counts(documents=documents, missing=lacking)


def missing(address: Address, seen: Description) -> Steps[int]:
    """The number of points without the vector."""
    is_there = seen.vector in schema_of(seen, address).sparse
    condition = {"must_not": [{"has_vector": seen.vector}]} if is_there else {}
    return (yield from counted(address, condition))


def counted(address: Address, condition: Mapping[str, Any]) -> Steps[int]:
    """The exact number of points that meet the condition."""
    answer = yield address.request("count", {"filter": condition, "exact": True})
    return int(answer["count"])


def payload_keys(fields: Sequence[str], vector: str) -> list[str] | bool:
    """The payload keys to read."""
    # The first name of a path includes everything below it; a path into a list needs "[]".
    names = dict.fromkeys(field.split(".")[0] for field in fields)
    return payload_selector([*names, ID_KEY, marker_key(vector)])


def found_of(record: Mapping[str, Any], vector: str) -> Found:
    """The document of a point."""
    document = stored(record, vector)
    stamp = stamp_of(record, vector)
    return Found(
        id=document.id,
        payload=document.payload,
        marker=stamp.marker or None,
        vector=document.vector,
        dense=dense_of(record),
        handle=record["id"],
    )


def _parts(selection: Selection, vector: str) -> dict[str, Any]:
    if selection.ids_only:
        return {"with_payload": [ID_KEY], "with_vector": False}
    if selection.whole:
        return {"with_payload": True, "with_vector": selection.with_vectors}
    return {
        "with_payload": payload_keys(selection.fields, vector),
        "with_vector": [vector] if selection.with_vectors else False,
    }


def _is_in_part(found: Found, part: tuple[int, int] | None) -> bool:
    """Whether the document is in this part, by a hash of its point id, equal on every machine."""
    if part is None:
        return True
    number, parts = part
    return zlib.crc32(str(point_id(found.id)).encode()) % parts == number
