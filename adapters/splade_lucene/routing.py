"""Documents with their own routing, such as the children of a join.

They are on another shard than their id implies, so requests by id alone do not find them. A search
does, and returns the routing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from splade_connectors.documents import DocumentId, EncodedDocument, Rejected
from splade_connectors.errors import ConfigurationError, InvalidDocument
from splade_connectors.payloads import values_at
from splade_connectors.runtime.effects import Steps
from splade_lucene.address import IndexAddress
from splade_lucene.answers import asked
from splade_lucene.requests import HttpRequest
from splade_lucene.schema import Schema

_ASKED_AT_ONCE = 1000
# The error if the mapping requires a routing and none was given. A multi-get of 7.17 fails to build
# this error, and returns the second one.
_NEEDS_ROUTING = ("routing_missing_exception", "type must not be null")


def needs_routing(error: object) -> bool:
    """Whether a server's error says that a routing is missing."""
    return any(words in str(error) for words in _NEEDS_ROUTING)


def is_required(schema: Schema) -> bool:
    """Whether the index requires a routing for every document."""
    return (schema.mapping.get("_routing") or {}).get("required") is True


def check_routing(schema: Schema, address: IndexAddress) -> None:
    """Refuse an index that requires a routing if the target names none.

    Raises:
        ConfigurationError: if so; says how to name the routing.
    """
    if is_required(schema) and not address.routing:
        raise ConfigurationError(
            f"{address.location} requires a routing for every document: name the payload field "
            "that holds it, ?routing=FIELD (in Python connect(..., routing='FIELD'))"
        )


def routing_of(payload: Mapping[str, Any], address: IndexAddress) -> str | None:
    """The routing of a document to index; None if its id routes it."""
    found = _values(payload, address)
    return str(found[0]) if found else None


def routing_refusal(
    payload: Mapping[str, Any], schema: Schema, address: IndexAddress
) -> str | None:
    """Why a payload has no usable routing; None if it has one or needs none."""
    found = _values(payload, address)
    if not found:
        lacks = f"the payload has no {address.routing!r}, but the index requires a routing"
        return lacks if is_required(schema) else None
    value = found[0]
    usable = isinstance(value, str | int) and not isinstance(value, bool) and value != ""
    if len(found) == 1 and usable:
        return None
    what = "several values" if len(found) > 1 else "neither text nor a whole number"
    return (
        f"a document's routing must be one text or whole number, but {address.routing!r} is {what}"
    )


def moved(
    address: IndexAddress, documents: Sequence[EncodedDocument]
) -> Steps[dict[DocumentId, Rejected]]:
    """Rejections of documents stored under another routing, which would be stored twice.

    Args:
        address: of the index.
        documents: the documents to index.
    """
    wanted = {str(item.id): routing_of(item.payload, address) for item in documents}
    stored = yield from _stored(address, list(wanted))
    # A document without its own routing is routed by its id.
    others = {id: at or id for id, at in stored if (at or id) != (wanted.get(id) or id)}
    return {
        item.id: Rejected(
            id=item.id,
            reason=(
                "the document is stored under another routing and would be stored twice: delete it "
                "first"
            ),
            detail=f"stored under {others[str(item.id)]!r}, sent with {wanted[str(item.id)]!r}",
        )
        for item in documents
        if str(item.id) in others
    }


def check_kept(address: IndexAddress, id: str, changes: Mapping[str, Any]) -> Steps[None]:
    """Refuse an update that changes the field by which the document is routed.

    Raises:
        InvalidDocument: if so: the document would stay where its former routing put it.
    """
    root = address.routing.partition(".")[0]
    # The server merges an object into the stored one: what the change does not name, stays.
    if root not in changes or (
        isinstance(changes[root], Mapping) and not _values(changes, address)
    ):
        return
    stored = yield from _stored(address, [id])
    wanted = routing_of(changes, address) or id
    for _, routing in stored:
        if (routing or id) != wanted:
            raise InvalidDocument(
                f"the update changes {address.routing!r}, by which the document {id!r} is routed: "
                "delete the document and index it again"
            )


def places(address: IndexAddress, ids: Sequence[str]) -> Steps[list[dict[str, str]]]:
    """The entries of a multi-get that finds documents under any routing."""
    if not address.routing:
        return [{"_id": id} for id in ids]
    stored = yield from _stored(address, ids)
    return [{"_id": id, **({"routing": routing} if routing else {})} for id, routing in stored]


def routings(address: IndexAddress, ids: Sequence[str]) -> Steps[list[tuple[str, str]]]:
    """(id, routing) of the ids with their own routing; an id may have several.

    Args:
        address: of the index.
        ids: that a request by id did not find.
    """
    stored = yield from _stored(address, ids)
    return [(id, routing) for id, routing in stored if routing]


def _values(payload: Mapping[str, Any], address: IndexAddress) -> list[Any]:
    if not address.routing:
        return []
    return [value for value in values_at(payload, address.routing) if value is not None]


def _stored(address: IndexAddress, ids: Sequence[str]) -> Steps[list[tuple[str, str]]]:
    """(id, routing) of every document with one of the ids; "" without its own routing."""
    found: list[tuple[str, str]] = []
    for start in range(0, len(ids), _ASKED_AT_ONCE):
        portion = list(ids[start : start + _ASKED_AT_ONCE])
        body = {"query": {"ids": {"values": portion}}, "size": len(portion), "_source": False}
        request = HttpRequest("POST", f"{address.path}/_search", body)
        found += yield from asked(request, _routed, address)
    return found


def _routed(answer: Any) -> list[tuple[str, str]]:
    hits = answer["hits"]["hits"]
    return [(str(hit["_id"]), str(hit.get("_routing") or "")) for hit in hits]


def not_found(item: Mapping[str, Any]) -> bool:
    """Whether an item of a bulk response says that the id alone does not find the document."""
    return item.get("result") == "not_found" or needs_routing(item.get("error"))
