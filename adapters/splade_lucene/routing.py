"""Documents with a routing of their own, such as the children of a join.

They lie on another shard than their id says, so that requests by id alone do not find them. A
search does, and tells the routing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from splade_connectors.runtime.effects import Steps
from splade_lucene.address import IndexAddress
from splade_lucene.answers import asked
from splade_lucene.requests import HttpRequest

_ASKED_AT_ONCE = 1000
# Where the mapping demands a routing, and none was given. A multi-get of 7.17 fails to make this
# error, and answers with the second one.
_NEEDS_ROUTING = ("routing_missing_exception", "type must not be null")


def needs_routing(error: object) -> bool:
    """Whether a server's error says so."""
    return any(words in str(error) for words in _NEEDS_ROUTING)


def routings(address: IndexAddress, ids: Sequence[str]) -> Steps[list[tuple[str, str]]]:
    """Those of the ids that have a routing of their own, with it; an id may have several.

    Args:
        address: of the index.
        ids: that were not found where they belong.
    """
    found: list[tuple[str, str]] = []
    for start in range(0, len(ids), _ASKED_AT_ONCE):
        portion = list(ids[start : start + _ASKED_AT_ONCE])
        body = {"query": {"ids": {"values": portion}}, "size": len(portion), "_source": False}
        request = HttpRequest("POST", f"{address.path}/_search", body)
        found += yield from asked(request, _routed, address)
    return found


def _routed(answer: Any) -> list[tuple[str, str]]:
    hits = answer["hits"]["hits"]
    return [(str(hit["_id"]), str(hit["_routing"])) for hit in hits if hit.get("_routing")]


def not_found(item: Mapping[str, Any]) -> bool:
    """Whether an item of a bulk answer says that the document is not where its id says."""
    return item.get("result") == "not_found" or needs_routing(item.get("error"))
