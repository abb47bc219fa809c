"""Fetch and delete documents by id, including those with their own routing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from splade_connectors.backends.protocol import Description
from splade_connectors.documents import DocumentId, StoredDocument
from splade_connectors.errors import RequestRejected
from splade_connectors.runtime.effects import Steps
from splade_lucene.address import IndexAddress
from splade_lucene.answers import asked, check_shards, understood
from splade_lucene.bulk import reason
from splade_lucene.documents import stored
from splade_lucene.look import there
from splade_lucene.requests import HttpRequest
from splade_lucene.routing import needs_routing, not_found, places, routings

_SEARCHED_AT_ONCE = 1000


def fetched(
    address: IndexAddress,
    seen: Description,
    ids: Sequence[DocumentId],
    with_vectors: bool,
    fields: Sequence[str] | None = None,
) -> Steps[list[StoredDocument]]:
    """Fetch by multi-get, which sees writes before a refresh; from several indices, by a search."""
    schema = there(seen, address)
    hidden = [name for name in schema.hidden if name != schema.field or not with_vectors]
    params = {"_source_excludes": ",".join(hidden)}
    if fields is not None:
        params["_source_includes"] = ",".join([*fields, *([schema.field] if with_vectors else [])])
    asking = _Getting(address, seen, params, with_vectors)
    wanted = [str(id) for id in ids]
    if schema.members or schema.filtered:
        found = yield from asking.searched(wanted)
    else:
        found = yield from asking.get({"ids": wanted})
        elsewhere = dict((yield from routings(address, [id for id in wanted if id not in found])))
        if elsewhere:
            docs = [{"_id": id, "routing": routing} for id, routing in elsewhere.items()]
            found |= yield from asking.get({"docs": docs})
    keys = address.keys_in(seen)
    with understood(address):
        return [
            stored(id, found[id].get("_source") or {}, schema.field, keys)
            for id in map(str, ids)
            if id in found
        ]


def dense_vectors(
    address: IndexAddress, seen: Description, ids: Sequence[DocumentId]
) -> Steps[dict[DocumentId, Mapping[str, Sequence[float]]]]:
    """The dense vectors of these documents."""
    names = list(there(seen, address).dense)
    given = {str(id): id for id in ids}
    if not names:
        return {}
    params = {"_source_includes": ",".join(names)}
    docs = yield from places(address, list(given))
    found = (yield from _Getting(address, seen, params, True).get({"docs": docs})) if docs else {}
    sources = {id: item.get("_source") or {} for id, item in found.items()}
    return {
        given[id]: {name: source[name] for name in names if isinstance(source.get(name), list)}
        for id, source in sources.items()
        if id in given
    }


def present(address: IndexAddress, ids: Sequence[DocumentId]) -> Steps[set[DocumentId]]:
    """The ids that exist, including documents routed by the payload field in the address."""
    given = {str(id): id for id in ids}
    docs = yield from places(address, list(given))
    if not docs:
        return set()
    request = HttpRequest("POST", f"{address.path}/_mget", {"docs": docs}, {"_source": "false"})

    def found(answer: Any) -> set[DocumentId]:
        return {given[item["_id"]] for item in answer["docs"] if item.get("found")}

    return (yield from asked(request, found, address))


class _Getting:
    """Multi-gets with the same parameters, or searches by id.

    Args:
        address: of the index.
        seen: the description of the index.
        params: of the requests.
        with_vectors: whether to request vectors from a server that omits them by default.
    """

    def __init__(
        self,
        address: IndexAddress,
        seen: Description,
        params: Mapping[str, str],
        with_vectors: bool,
    ) -> None:
        self._address = address
        self._params = params
        self._version = seen.capabilities.version
        # An unknown version (see `read_version`) is assumed to be new.
        version = self._version or address.dialect.vectors_apart or ()
        self._asks = with_vectors and address.dialect.keeps_vectors_apart(version)

    def get(self, body: Mapping[str, Any]) -> Steps[dict[str, Any]]:
        """The documents found, by id."""
        without = HttpRequest("POST", f"{self._address.path}/_mget", body, self._params)
        if not self._asks:
            return (yield from asked(without, self._found, self._address))
        params = {**self._params, "_source_exclude_vectors": "false"}
        request = replace(without, params=params)
        try:
            return (yield from asked(request, self._found, self._address))
        except RequestRejected:
            if self._version:
                raise
        return (yield from asked(without, self._found, self._address))

    def searched(self, ids: Sequence[str]) -> Steps[dict[str, Any]]:
        """The documents found in any of the indices behind the name, by id.

        A multi-get does not take a name of several indices. A search sees only refreshed writes.

        Raises:
            RequestRejected: if two of the indices have a document with the same id.
        """
        found: dict[str, Any] = {}
        for start in range(0, len(ids), _SEARCHED_AT_ONCE):
            portion = list(ids[start : start + _SEARCHED_AT_ONCE])
            body = {
                "query": {"ids": {"values": portion}},
                # One more than expected, to detect an id that exists twice.
                "size": len(portion) + 1,
                "_source": self._source(),
            }
            request = HttpRequest("POST", f"{self._address.path}/_search", body)
            found |= yield from asked(request, self._hits, self._address)
        return found

    def _source(self) -> dict[str, Any]:
        names = {
            key.removeprefix("_source_"): value.split(",") for key, value in self._params.items()
        }
        return {**names, **({"exclude_vectors": False} if self._asks else {})}

    def _hits(self, answer: Any) -> dict[str, Any]:
        check_shards(answer, self._address)
        found: dict[str, Any] = {}
        for hit in answer["hits"]["hits"]:
            other = found.setdefault(str(hit["_id"]), hit)
            if other is not hit:
                raise RequestRejected(
                    f"{self._address.location}: the id {hit['_id']!r} exists in two of its "
                    f"indices, {other['_index']} and {hit['_index']}: name one of them"
                )
        return found

    def _found(self, answer: Any) -> dict[str, Any]:
        for item in answer["docs"]:
            if item.get("error") and not needs_routing(item["error"]):
                raise RequestRejected(
                    f"{self._address.location}: {item['_id']!r} could not be read: "
                    f"{reason(item['error'])}"
                )
        return {item["_id"]: item for item in answer["docs"] if item.get("found")}


def deleted(address: IndexAddress, ids: Sequence[DocumentId], refresh: Steps[None]) -> Steps[None]:
    """Send one bulk request of delete actions, and one for documents with their own routing.

    Args:
        address: of the index.
        ids: of the documents.
        refresh: makes writes visible, so that a search finds documents with their own routing.
    """
    # Someone may have deleted the index since the look: a bulk delete would create it again.
    yield HttpRequest("GET", f"{address.path}/_settings/index.uuid")
    items = yield from _delete(address, [{"_id": str(id)} for id in ids])
    absent = [item["_id"] for item in items if not_found(item)]
    failed = [item for item in items if item.get("error") and not not_found(item)]
    if absent:
        yield from refresh
        elsewhere = yield from routings(address, absent)
        items = yield from _delete(address, [{"_id": i, "routing": r} for i, r in elsewhere])
        failed += [item for item in items if item.get("error")]
    if failed:
        raise RequestRejected(
            f"{address.location}: {len(failed)} of {len(ids)} documents could not be deleted, "
            f"first {failed[0]['_id']!r}: {failed[0]['error']}"
        )


def _delete(
    address: IndexAddress, actions: Sequence[Mapping[str, Any]]
) -> Steps[list[dict[str, Any]]]:
    """The server's result for each document."""
    if not actions:
        return []
    lines = [{"delete": action} for action in actions]
    request = HttpRequest("POST", f"{address.path}/_bulk", lines, {"refresh": "true"})
    return (yield from asked(request, _deletions, address))


def _deletions(answer: Any) -> list[dict[str, Any]]:
    items = [item["delete"] for item in answer["items"]]
    # Every item is about a document: without an id, the response is invalid.
    return [{**item, "_id": str(item["_id"])} for item in items]
