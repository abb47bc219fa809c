"""Combine legs on Elasticsearch, by retrievers if licence and version allow them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from splade_connectors.backends.feature_names import Keys
from splade_connectors.backends.protocol import Plan
from splade_connectors.documents import Hit
from splade_connectors.errors import AccessDenied, NotFound, RequestRejected
from splade_connectors.fusion.request import FusionPath, HybridQuery
from splade_connectors.runtime.effects import Steps
from splade_elasticsearch.compile import SERVERLESS, Server, compile_hybrid, leg_searches
from splade_lucene.requests import HttpRequest
from splade_lucene.schema import Schema


class ElasticsearchFusing:
    """As `Fusing`.

    Attributes:
        license: of the cluster; "" until it has been read.
    """

    def __init__(self) -> None:
        self.license = ""

    def server(self, schema: Schema, place: Mapping[str, Any]) -> Steps[Server]:
        """The server with its licence; without permission to read it, a free one is assumed."""
        if not self.license:
            try:
                self.license = _type_of((yield HttpRequest("GET", "/_license")))
            except (AccessDenied, NotFound, RequestRejected) as error:
                # Serverless answers 410 and names itself for APIs that it lacks [src].
                self.license = SERVERLESS if "serverless" in str(error) else "unknown"
        return Server(license=self.license, **place)

    def compile(self, query: HybridQuery, server: Any, keys: Keys, path: FusionPath) -> Plan:
        """A retriever, `bool` with `knn`, or one `_msearch`."""
        return compile_hybrid(query, server, keys, path)

    def searches(self, query: HybridQuery, server: Any, keys: Keys) -> Sequence[Mapping[str, Any]]:
        """One search body per leg."""
        return leg_searches(query, server, keys)

    def rescored(self, query: HybridQuery, hits: Sequence[Hit]) -> list[Hit]:
        """The hits unchanged: their scores are those of the definition."""
        return list(hits)

    def is_past_the_end(self, query: HybridQuery, error: RequestRejected) -> bool:
        """Never: a page after the last hit is empty, not an error."""
        return False

    def refused(self, plan: Plan) -> bool:
        """Remember that a retriever was refused: the licence has expired, or the build lacks it."""
        if "retriever" not in plan.path:
            return False
        self.license = "refusing it"
        return True


def _type_of(answer: Any) -> str:
    """The licence in the response of a server, or of a proxy without licences."""
    found = answer.get("license") if isinstance(answer, Mapping) else None
    return str((found.get("type") if isinstance(found, Mapping) else None) or "unknown")
