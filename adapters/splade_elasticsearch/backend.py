"""The verbs of a hybrid search on an Elasticsearch index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from splade_connectors.backends.protocol import Plan
from splade_connectors.errors import AccessDenied, NotFound, RequestRejected
from splade_connectors.fusion.request import FusionPath, HybridQuery
from splade_connectors.runtime.effects import Steps
from splade_elasticsearch.compile import Server, compile_hybrid, leg_searches
from splade_lucene.attach.write import AttachVerbs
from splade_lucene.hybrid import HybridVerbs
from splade_lucene.requests import HttpRequest
from splade_lucene.schema import Schema


class ElasticsearchHybridBackend(HybridVerbs, AttachVerbs):
    """An index that is searched by several legs, and that vectors are attached to.

    Arguments as `ElasticsearchBackend`.
    """

    _license: str | None = None

    def refused(self, plan: Plan) -> bool:
        """A retriever may be refused: a licence that has expired since, or a build without it."""
        if "retriever" not in plan.path:
            return False
        self._license = "refusing it"
        return True

    def _compile(self, query: HybridQuery, path: FusionPath) -> Steps[Plan]:
        """A retriever, `bool` with `knn`, or one `_msearch`."""
        return compile_hybrid(query, (yield from self._server()), self._keys, path)

    def _searches(self, query: HybridQuery) -> Steps[Sequence[Mapping[str, Any]]]:
        return leg_searches(query, (yield from self._server()), self._keys)

    def _server(self) -> Steps[Server]:
        version = yield from self._read_version()
        schema: Schema = self._schema or (yield from self._read_schema())
        return Server(
            version=version,
            license=(yield from self._read_license()),
            index=self._index,
            field=self._field,
            kind=schema.kind or "rank_features",
            hidden_fields=self._hidden_fields(),
        )

    def _read_license(self) -> Steps[str]:
        """Once; where it may not be read, what can be had for free is assumed."""
        if self._license is None:
            try:
                answer = yield HttpRequest("GET", "/_license")
                self._license = str(answer["license"]["type"])
            except (AccessDenied, NotFound, RequestRejected):
                self._license = "unknown"
        return self._license
