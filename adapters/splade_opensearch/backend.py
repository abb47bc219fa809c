"""The verbs of an OpenSearch index: those of Elasticsearch, in OpenSearch's dialect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from splade_connectors.backends.protocol import Plan
from splade_connectors.documents import Hit
from splade_connectors.errors import AccessDenied, ConfigurationError, NotFound, RequestRejected
from splade_connectors.fusion.request import FusionPath, HybridQuery, ResolvedLeg
from splade_connectors.fusion.spec import Rrf
from splade_connectors.runtime.effects import Steps
from splade_lucene.attach.write import AttachVerbs
from splade_lucene.dialect import Version
from splade_lucene.hybrid import HybridVerbs
from splade_lucene.requests import HttpRequest
from splade_opensearch.compile import Server, compile_hybrid, leg_searches, rank_factor
from splade_opensearch.schema import engine, scores_cosines

_END_OF_HITS = "Reached end of search result"


class OpenSearchBackend(HybridVerbs, AttachVerbs):
    """An index, its sparse field and its dense ones. Arguments as `ElasticsearchBackend`."""

    _plugins: frozenset[str] | None = None
    _plugins_read = False

    def search_fused(self, plan: Plan, query: HybridQuery) -> Steps[list[Hit]]:
        """Send the one request; equal scores are in the order of segments."""
        try:
            hits = yield from self.search(plan)
        except RequestRejected as error:
            # What 3.6 answers to a page behind the last hit; pages end within the windows.
            if query.offset and _END_OF_HITS in str(error):
                return []
            raise
        factor = rank_factor(query)
        return hits if factor == 1 else [replace(hit, score=hit.score * factor) for hit in hits]

    def _compile(self, query: HybridQuery, path: FusionPath) -> Steps[Plan]:
        """A `hybrid` query, `bool` with `knn`, or one `_msearch`."""
        return compile_hybrid(query, (yield from self._server()), self._keys, path)

    def _searches(self, query: HybridQuery) -> Steps[Sequence[Mapping[str, Any]]]:
        return leg_searches(query, (yield from self._server()), self._keys)

    def _server(self) -> Steps[Server]:
        version = yield from self._read_version()
        schema = self._schema or (yield from self._read_schema())
        return Server(
            version=version,
            index=self._index,
            field=self._field,
            kind="rank_features",
            hidden_fields=self._hidden_fields(),
            shards=schema.shards,
            plugins=(yield from self._read_plugins()),
            engines={name: engine(entry) for name, entry in schema.dense_mappings.items()},
        )

    def _read_plugins(self) -> Steps[frozenset[str] | None]:
        """Once: those that every node has. None where they may not be read."""
        if not self._plugins_read:
            params = {"filter_path": "nodes.*.plugins.name"}
            try:
                answer = yield HttpRequest("GET", "/_nodes/plugins", None, params)
                self._plugins = _on_every_node(answer)
            except (AccessDenied, NotFound, RequestRejected):
                self._plugins = None
            self._plugins_read = True
        return self._plugins

    def _check_dense(self, leg: ResolvedLeg, query: HybridQuery, version: Version) -> None:
        super()._check_dense(leg, query, version)
        assert self._schema is not None
        mapping = self._schema.dense_mappings.get(leg.field or "", {})
        if leg.exact or isinstance(query.fusion, Rrf) or scores_cosines(mapping):
            return
        raise ConfigurationError(
            f"the scores of {leg.field!r} in {self.location} are not (1 + cosine) / 2, which this "
            "fusion adds up (that takes the space cosinesimil and the engine lucene or faiss); "
            "DenseLeg(exact=True) computes them, and Rrf() does without scores"
        )

    def _number_in(self, version: Mapping[str, Any]) -> str:
        if version.get("distribution") != "opensearch":
            raise ConfigurationError(
                f"what answers at {self.location} is Elasticsearch {version.get('number')}; write "
                "elasticsearch:// instead of opensearch://"
            )
        return super()._number_in(version)


def _on_every_node(answer: Mapping[str, Any]) -> frozenset[str]:
    nodes = (answer.get("nodes") or {}).values()
    names = [{plugin["name"] for plugin in node.get("plugins") or ()} for node in nodes]
    return frozenset(set.intersection(*names)) if names else frozenset()
