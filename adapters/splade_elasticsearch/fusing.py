"""What combines legs on Elasticsearch: retrievers, where licence and version have them."""

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
        license: of the cluster; "" until it is asked for.
    """

    def __init__(self) -> None:
        self.license = ""

    def server(self, schema: Schema, place: Mapping[str, Any]) -> Steps[Server]:
        """Its licence; if it may not be read, what can be had for free is assumed."""
        if not self.license:
            try:
                self.license = _type_of((yield HttpRequest("GET", "/_license")))
            except (AccessDenied, NotFound, RequestRejected) as error:
                # Serverless says so of what it does not have, with a 410 [src].
                self.license = SERVERLESS if "serverless" in str(error) else "unknown"
        return Server(license=self.license, **place)

    def compile(self, query: HybridQuery, server: Any, keys: Keys, path: FusionPath) -> Plan:
        """A retriever, `bool` with `knn`, or one `_msearch`."""
        return compile_hybrid(query, server, keys, path)

    def searches(self, query: HybridQuery, server: Any, keys: Keys) -> Sequence[Mapping[str, Any]]:
        """A search body for each leg."""
        return leg_searches(query, server, keys)

    def rescored(self, query: HybridQuery, hits: Sequence[Hit]) -> list[Hit]:
        """The scores are those of the definition."""
        return list(hits)

    def is_past_the_end(self, query: HybridQuery, error: RequestRejected) -> bool:
        """A page behind the last hit is empty, and no error."""
        return False

    def refused(self, plan: Plan) -> bool:
        """A retriever may be refused: a licence that has expired since, or a build without it."""
        if "retriever" not in plan.path:
            return False
        self.license = "refusing it"
        return True


def _type_of(answer: Any) -> str:
    """The licence in what a server, or a proxy that knows of none, answers."""
    found = answer.get("license") if isinstance(answer, Mapping) else None
    return str((found.get("type") if isinstance(found, Mapping) else None) or "unknown")
