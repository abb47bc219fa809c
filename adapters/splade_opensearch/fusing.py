"""Combine legs on OpenSearch, by `hybrid` queries if version and plugins allow them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from splade_connectors.backends.feature_names import Keys
from splade_connectors.backends.protocol import Plan
from splade_connectors.documents import Hit
from splade_connectors.errors import AccessDenied, NotFound, RequestRejected
from splade_connectors.fusion.request import FusionPath, HybridQuery
from splade_connectors.runtime.effects import Steps
from splade_lucene.requests import HttpRequest
from splade_lucene.schema import Schema
from splade_opensearch.compile import Server, compile_hybrid, leg_searches, rank_factor
from splade_opensearch.schema import engine

_END_OF_HITS = "Reached end of search result"


class OpenSearchFusing:
    """As `Fusing`."""

    def __init__(self) -> None:
        self._plugins: frozenset[str] | None = None
        self._asked = False

    def server(self, schema: Schema, place: Mapping[str, Any]) -> Steps[Server]:
        """The server with its plugins, the index's shards, and the engines of its dense fields."""
        engines = {name: engine(schema.dense_mapping(name)) for name in schema.dense}
        plugins = yield from self._read_plugins()
        return Server(shards=schema.shards, plugins=plugins, engines=engines, **place)

    def _read_plugins(self) -> Steps[frozenset[str] | None]:
        """The plugins on every node, read once; None if they may not be read."""
        if not self._asked:
            params = {"filter_path": "nodes.*.plugins.name"}
            try:
                answer = yield HttpRequest("GET", "/_nodes/plugins", None, params)
                self._plugins = _on_every_node(answer)
            except (AccessDenied, NotFound, RequestRejected):
                self._plugins = None
            self._asked = True
        return self._plugins

    def compile(self, query: HybridQuery, server: Any, keys: Keys, path: FusionPath) -> Plan:
        """A `hybrid` query, `bool` with `knn`, or one `_msearch`."""
        return compile_hybrid(query, server, keys, path)

    def searches(self, query: HybridQuery, server: Any, keys: Keys) -> Sequence[Mapping[str, Any]]:
        """One search body per leg."""
        return leg_searches(query, server, keys)

    def rescored(self, query: HybridQuery, hits: Sequence[Hit]) -> list[Hit]:
        """Undo that the weights of a `hybrid` query sum to 1."""
        factor = rank_factor(query)
        return [replace(hit, score=hit.score * factor) for hit in hits] if factor != 1 else [*hits]

    def is_past_the_end(self, query: HybridQuery, error: RequestRejected) -> bool:
        """Whether this is 3.6's error for a page after the last hit."""
        return bool(query.offset) and _END_OF_HITS in str(error)

    def refused(self, plan: Plan) -> bool:
        """Never: no other path exists."""
        return False


def _on_every_node(answer: Any) -> frozenset[str] | None:
    """The plugins on every node; None if the response is not one of OpenSearch."""
    try:
        nodes = (answer.get("nodes") or {}).values()
        names = [{plugin["name"] for plugin in node.get("plugins") or ()} for node in nodes]
    except (AttributeError, KeyError, TypeError):
        return None
    return frozenset(set.intersection(*names)) if names else frozenset()
