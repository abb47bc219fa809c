"""Parse the hits of a search. Pure."""

from __future__ import annotations

from typing import Any

from splade_connectors.documents import Hit
from splade_lucene.address import IndexAddress
from splade_lucene.answers import check_shards

# Name of the inner hits that count the documents of a value.
GROUP = "group"


def hits_of(answer: Any, address: IndexAddress) -> list[Hit]:
    """The hits in a search response, with their scores.

    Raises:
        RequestRejected, Unavailable: if a shard did not answer.
    """
    check_shards(answer, address)
    return [
        Hit(
            id=str(hit["_id"]),
            score=float(hit["_score"]),
            payload=hit.get("_source") or {},
            group=_group(hit),
            more=_more(hit),
        )
        for hit in answer["hits"]["hits"]
    ]


def _group(hit: Any) -> Any:
    """The value that the hit is grouped by; None without groups."""
    found = list((hit.get("fields") or {}).values())
    return found[0][0] if found else None


def _more(hit: Any) -> int:
    found = (hit.get("inner_hits") or {}).get(GROUP)
    return int(found["hits"]["total"]["value"]) - 1 if found else 0
