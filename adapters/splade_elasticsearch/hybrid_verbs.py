"""The verbs of a hybrid search that an index of Elasticsearch and one of OpenSearch share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from splade_connectors.backend import Plan
from splade_connectors.documents import Hit
from splade_connectors.errors import ConfigurationError, RequestRejected, Unavailable
from splade_connectors.fusion.legs import check_dimensions, choose_dense
from splade_connectors.fusion.reference import LegRanking, leg_ranking
from splade_connectors.fusion.request import HybridQuery, Path, ResolvedLeg
from splade_connectors.steps import Steps
from splade_connectors.versions import version_text
from splade_elasticsearch.backend import ElasticsearchBackend
from splade_elasticsearch.bulk import reason
from splade_elasticsearch.dialect import Version
from splade_elasticsearch.legs import msearch_lines
from splade_elasticsearch.requests import HttpRequest


class HybridVerbs(ElasticsearchBackend):
    """An index that is searched by several legs at once. Arguments as `ElasticsearchBackend`."""

    def dense_field(self, asked: str | None) -> Steps[str]:
        """As `HybridBackend.dense_field`."""
        schema = self._schema or (yield from self._read_schema())
        what = f"{self._dialect.dense_type} field"
        return choose_dense(asked, self._dense, schema.dense, what=what, where=self.location)

    def plan_hybrid(self, query: HybridQuery, path: Path) -> Steps[Plan]:
        """The best request that does not change the fusion's meaning."""
        version = yield from self._read_version()
        if self._schema is None:
            yield from self._read_schema()
        for leg in query.legs:
            if leg.dense is not None:
                self._check_dense(leg, query, version)
        return (yield from self._compile(query, path))

    def search_fused(self, plan: Plan, query: HybridQuery) -> Steps[list[Hit]]:
        """Send the one request; equal scores are in the order of shards and segments."""
        return (yield from self.search(plan))

    def refused(self, plan: Plan) -> bool:
        """As `HybridBackend.refused`; by default there is no other path."""
        return False

    def search_legs(self, query: HybridQuery) -> Steps[list[LegRanking]]:
        """One `_msearch`. Dense scores are similarities from 0 to 1 as they are."""
        lines = msearch_lines((yield from self._searches(query)))
        answer = yield HttpRequest("POST", f"{self._path}/_msearch", lines)
        rankings = []
        for leg, response in zip(query.legs, answer["responses"], strict=True):
            if "error" in response:
                raise _leg_error(leg.name, response, self.location)
            hits = response["hits"]["hits"]
            ids = [hit["_id"] for hit in hits]
            rankings.append(leg_ranking(leg.name, ids, [float(hit["_score"]) for hit in hits]))
        return rankings

    def _compile(self, query: HybridQuery, path: Path) -> Steps[Plan]:
        """The plan, on this server."""
        raise NotImplementedError

    def _searches(self, query: HybridQuery) -> Steps[Sequence[Mapping[str, Any]]]:
        """A search body for each leg, for its window."""
        raise NotImplementedError

    def _check_dense(self, leg: ResolvedLeg, query: HybridQuery, version: Version) -> None:
        """Refuse a dense leg that the server, or the field, cannot search."""
        name, first = self._dialect.name, self._dialect.first_knn
        if version and version < first:
            raise ConfigurationError(
                f"{self.location}: a dense leg needs {name} {version_text(first)}, the server is "
                "older"
            )
        assert self._schema is not None
        dimensions = self._schema.dense.get(leg.field or "", 0)
        check_dimensions(leg.dense, dimensions, field=repr(leg.field), where=self.location)


def _leg_error(name: str, response: dict[str, object], location: str) -> Exception:
    status = int(str(response.get("status") or 400))
    text = f"{location}: the {name} leg failed ({status}): {reason(response['error'])}"
    return Unavailable(text) if status in (429, 502, 503) else RequestRejected(text, status=status)
