"""Write vectors and markers to points, and remove them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from splade_connectors.backends.attaching import Attachment, AttachOutcome, Conflict, Found, Gone
from splade_connectors.backends.metadata import is_marked
from splade_connectors.backends.protocol import Description
from splade_connectors.documents import Rejected, Written
from splade_connectors.errors import NotFound, RequestRejected, SpladeConnectorsError
from splade_connectors.payloads import text_of
from splade_connectors.runtime.effects import Steps
from splade_qdrant.address import Address
from splade_qdrant.attach.read import payload_keys
from splade_qdrant.checks import terms_reason
from splade_qdrant.documents import changed_json, marker_key
from splade_qdrant.look import schema_of


def attach(
    address: Address, seen: Description, items: Sequence[Attachment]
) -> Steps[list[AttachOutcome]]:
    """Write vectors and markers, then compare the texts.

    Qdrant has no point versions. So the text is read again after the vector was written: if it
    has changed meanwhile, the document is encoded again.
    """
    schema = schema_of(seen, address)
    outcomes: list[AttachOutcome] = []
    fitting = []
    for item in items:
        vector = item.vector
        reason = None if vector is None else terms_reason(schema, seen.vector, vector)
        if reason:
            outcomes.append(Rejected(id=item.id, reason=reason))
        else:
            fitting.append(item)
    if not fitting:
        return outcomes
    yield from _write(address, seen, fitting, mark=is_marked(schema.metadata, seen.vector))
    return outcomes + (yield from _compared(address, seen, fitting))


def clear(
    address: Address, seen: Description, found: Sequence[Found]
) -> Steps[list[AttachOutcome]]:
    """Remove the vector, and the marker if there is one."""
    points = [item.handle for item in found]
    yield address.request("delete_vectors", {"points": points, "vectors": [seen.vector]})
    if any(item.marker is not None for item in found):
        keys = [marker_key(seen.vector)]
        yield address.request("delete_payload", {"points": points, "keys": keys})
    return [Written(id=item.id) for item in found]


def _write(
    address: Address, seen: Description, items: Sequence[Attachment], *, mark: bool
) -> Steps[None]:
    """Write to the points that exist; a missing one makes the server refuse the whole request."""
    points = [
        {"id": item.found.handle, "vector": {seen.vector: changed_json(item.vector)}}
        for item in items
        if item.vector is not None
    ]
    try:
        if mark:
            yield address.request("batch_update", {"operations": _marked(seen, items, points)})
        elif points:
            yield address.request("update_vectors", {"points": points})
    except (NotFound, RequestRejected) as error:
        present = yield from _present(address, items, error)
        if present:
            yield from _write(address, seen, present, mark=mark)


def _marked(seen: Description, items: Sequence[Attachment], points: Sequence[Any]) -> list[Any]:
    """The vectors, then their markers: a marker without its vector would hide the gap."""
    key = marker_key(seen.vector)
    return [
        *([{"update_vectors": {"points": points}}] if points else ()),
        *(
            {"set_payload": {"payload": {key: item.marker}, "points": [item.found.handle]}}
            for item in items
        ),
    ]


def _present(
    address: Address, items: Sequence[Attachment], error: SpladeConnectorsError
) -> Steps[list[Attachment]]:
    """The items whose points exist; if all do, the error has another cause and is raised."""
    body = {"ids": [item.found.handle for item in items], "with_payload": False}
    answer = yield address.request("retrieve", body | {"with_vector": False})
    ids = {str(record["id"]) for record in answer}
    present = [item for item in items if str(item.found.handle) in ids]
    if len(present) == len(items):
        raise error
    return present


def _compared(
    address: Address, seen: Description, items: Sequence[Attachment]
) -> Steps[list[AttachOutcome]]:
    """The outcome for each point, by its current text."""
    body = {"ids": [item.found.handle for item in items], "with_vector": False}
    keys = payload_keys(items[0].fields, seen.vector)
    answer = yield address.request("retrieve", body | {"with_payload": keys})
    now = {str(record["id"]): record.get("payload") or {} for record in answer}
    outcomes: list[AttachOutcome] = []
    for item in items:
        payload = now.get(str(item.found.handle))
        if payload is None:
            outcomes.append(Gone(id=item.id))
        elif text_of(payload, item.fields) != item.text:
            outcomes.append(Conflict(id=item.id))
        else:
            outcomes.append(Written(id=item.id))
    return outcomes
