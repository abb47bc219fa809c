"""The verbs of a hybrid search on an Elasticsearch index."""

from __future__ import annotations

from splade_connectors.backend import Plan
from splade_connectors.documents import Hit
from splade_connectors.errors import (
    AccessDenied,
    ConfigurationError,
    NotFound,
    RequestRejected,
    Unavailable,
)
from splade_connectors.fusion.reference import LegRanking, leg_ranking
from splade_connectors.fusion.request import HybridQuery, Path
from splade_connectors.steps import Steps
from splade_elasticsearch.backend import ElasticsearchBackend
from splade_elasticsearch.bulk import reason
from splade_elasticsearch.hybrid import Server, compile_hybrid, leg_searches, msearch_lines
from splade_elasticsearch.requests import HttpRequest
from splade_elasticsearch.schema import Schema

# The first Elasticsearch with the `knn` search.
_KNN_SEARCH = (8, 0)


class ElasticsearchHybridBackend(ElasticsearchBackend):
    """An index that is searched by several legs at once. Arguments as `ElasticsearchBackend`."""

    _license: str | None = None

    def dense_field(self, asked: str | None) -> Steps[str]:
        """As `HybridBackend.dense_field`."""
        schema = self._schema or (yield from self._read_schema())
        name = asked if asked is not None else self._dense
        if name in schema.dense:
            return name
        if asked is None and len(schema.dense) == 1:
            return next(iter(schema.dense))
        names = ", ".join(repr(other) for other in sorted(schema.dense)) or "none"
        raise ConfigurationError(
            f"{self.location} has no dense_vector field {name!r}; it has {names}: name one with "
            "?dense=FIELD or DenseLeg(field=…)"
        )

    def plan_hybrid(self, query: HybridQuery, path: Path) -> Steps[Plan]:
        """A retriever, `bool` with `knn`, or one `_msearch`."""
        server = yield from self._server()
        self._check_legs(query, server)
        return compile_hybrid(query, server, self._keys, path)

    def search_fused(self, plan: Plan, query: HybridQuery) -> Steps[list[Hit]]:
        """Send the one request; equal scores are in the order of shards and segments."""
        return (yield from self.search(plan))

    def search_legs(self, query: HybridQuery) -> Steps[list[LegRanking]]:
        """One `_msearch`. Elasticsearch's dense scores are similarities from 0 to 1 as they are."""
        server = yield from self._server()
        lines = msearch_lines(leg_searches(query, server, self._keys))
        answer = yield HttpRequest("POST", f"{self._path}/_msearch", lines)
        rankings = []
        for leg, response in zip(query.legs, answer["responses"], strict=True):
            if "error" in response:
                raise _leg_error(leg.name, response, self.location)
            hits = response["hits"]["hits"]
            ids = [hit["_id"] for hit in hits]
            rankings.append(leg_ranking(leg.name, ids, [float(hit["_score"]) for hit in hits]))
        return rankings

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

    def _check_legs(self, query: HybridQuery, server: Server) -> None:
        for leg in query.legs:
            if leg.dense is None:
                continue
            if server.version < _KNN_SEARCH:
                raise ConfigurationError(
                    f"{self.location}: a dense leg needs Elasticsearch 8.0, the server is older"
                )
            assert self._schema is not None
            dimensions = self._schema.dense.get(leg.field or "")
            if dimensions and len(leg.dense) != dimensions:
                raise ConfigurationError(
                    f"the dense vector of the query has {len(leg.dense)} dimensions, "
                    f"{leg.field!r} of {self.location} has {dimensions}"
                )


def _leg_error(name: str, response: dict[str, object], location: str) -> Exception:
    status = int(str(response.get("status") or 400))
    text = f"{location}: the {name} leg failed ({status}): {reason(response['error'])}"
    return Unavailable(text) if status in (429, 502, 503) else RequestRejected(text, status=status)
