"""The stamps of stored documents: fingerprints of what their vectors were made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from splade_connectors.documents import DocumentId, Stamp
from splade_connectors.runtime.effects import Steps, concurrently
from splade_lucene.address import IndexAddress
from splade_lucene.answers import asked, check_shards
from splade_lucene.documents import stamp_of
from splade_lucene.queries import marked, with_vector
from splade_lucene.requests import HttpRequest
from splade_lucene.routing import places
from splade_lucene.schema import Schema

# Hits per search: servers return at most 10,000.
_PAGE = 5_000
# Documents per multi-get: a shard executes each in one thread [9.3.2].
_MOST_GOT = 128


def stamps(
    address: IndexAddress, schema: Schema, ids: Sequence[DocumentId]
) -> Steps[dict[DocumentId, Stamp]]:
    """As `AttachBackend.stamps`, by multi-get, which sees writes before a refresh."""
    given = {str(id): id for id in ids}
    params = {"_source_includes": schema.marker_field}
    docs = yield from places(address, list(given))
    if not docs:
        return {}

    def parse(answer: Any) -> dict[DocumentId, Stamp]:
        return {
            given[item["_id"]]: stamp_of(item.get("_source") or {}, schema.field)
            for item in answer["docs"]
            if item.get("found")
        }

    def got(docs: Sequence[Any]) -> Steps[dict[DocumentId, Stamp]]:
        request = HttpRequest("POST", f"{address.path}/_mget", {"docs": docs}, params)
        return asked(request, parse, address)

    parts = (docs[start : start + _MOST_GOT] for start in range(0, len(docs), _MOST_GOT))
    found: dict[DocumentId, Stamp] = {}
    for part in (yield from concurrently(map(got, parts))):
        found |= part
    marks = [str(id) for id, stamp in found.items() if stamp.marker]
    for start in range(0, len(marks), _PAGE):
        bare = yield from _without_vector(address, schema, marks[start : start + _PAGE])
        found |= {given[id]: Stamp() for id in bare}
    return found


def _without_vector(
    address: IndexAddress, schema: Schema, ids: Sequence[str]
) -> Steps[Sequence[str]]:
    """The ids that kept their marker but lost their vector; see `with_vector`.

    Not for `rank_features`, which has no `exists` query and which no server hides in `_source`.
    """
    if not ids or schema.kind != "sparse_vector":
        return ()
    bare: Mapping[str, Any] = {
        "bool": {
            "filter": [{"ids": {"values": list(ids)}}],
            "must_not": [with_vector(schema, marked(schema))],
        }
    }
    body = {"size": len(ids), "query": bare, "_source": False, "track_total_hits": False}
    request = HttpRequest("POST", f"{address.path}/_search", body)

    def parse(answer: Any) -> list[str]:
        check_shards(answer, address)
        return [str(hit["_id"]) for hit in answer["hits"]["hits"] if str(hit["_id"]) in set(ids)]

    return (yield from asked(request, parse, address))
