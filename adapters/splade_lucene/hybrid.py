"""The part of a backend that combines several legs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from splade_connectors.backends.feature_names import Keys
from splade_connectors.backends.protocol import Backend, Description, Plan
from splade_connectors.backends.versions import version_text
from splade_connectors.documents import Hit
from splade_connectors.errors import ConfigurationError, RequestRejected, Unavailable
from splade_connectors.fusion.legs import check_dense_query, choose_dense
from splade_connectors.fusion.reference import LegRanking, leg_ranking
from splade_connectors.fusion.request import FusionPath, HybridQuery, ResolvedLeg
from splade_connectors.fusion.spec import Rrf
from splade_connectors.runtime.effects import Steps
from splade_lucene.address import IndexAddress
from splade_lucene.answers import asked
from splade_lucene.bulk import reason
from splade_lucene.compile.filters import Fields
from splade_lucene.compile.legs import SparsePlace, msearch_lines
from splade_lucene.hits import hits_of
from splade_lucene.look import there
from splade_lucene.requests import HttpRequest
from splade_lucene.schema import check_field_name
from splade_lucene.server import Remembered
from splade_lucene.text_fields import check_text_fields


class LuceneHybrid:
    """As `HybridBackend`.

    Args:
        address: of the index.
        remembered: what is known about the server.
        at: makes the backend of another field of the index.

    Attributes:
        fusing: combines legs on this server.
    """

    def __init__(
        self,
        address: IndexAddress,
        remembered: Remembered,
        at: Callable[[IndexAddress], Backend],
    ) -> None:
        self._address = address
        self._remembered = remembered
        self._at = at
        self.fusing = address.dialect.fusing()

    def dense_field(self, seen: Description, asked: str | None) -> str:
        """As `HybridBackend.dense_field`."""
        address = self._address
        what = f"{address.dialect.dense_type} field"
        dense = there(seen, address).dense
        return choose_dense(asked, address.dense, dense, what=what, where=address.location)

    def beside(self, vector: str | None, keys: Keys) -> Backend:
        """As `HybridBackend.beside`."""
        name = self._address.field if vector is None else vector
        check_field_name(name)
        other = vector is not None and vector != self._address.field
        kind = None if other else self._address.kind
        exactly = self._address.exactly and not other
        return self._at(replace(self._address, field=name, kind=kind, exactly=exactly, keys=keys))

    def sparse_place(self, seen: Description) -> SparsePlace:
        """Field, type and term names of the sparse vector."""
        schema = there(seen, self._address)
        kind = schema.kind or self._address.dialect.kinds[0]
        return SparsePlace(field=schema.field, kind=kind, keys=self._address.keys_in(seen))

    def plan(self, seen: Description, query: HybridQuery, path: FusionPath) -> Steps[Plan]:
        """The best request that preserves the fusion's definition."""
        for leg in query.legs:
            if leg.dense is not None:
                self._check_dense(seen, leg, query)
            if leg.kind == "text":
                yield from check_text_fields(leg, self._address, self._remembered.text_fields)
        server = yield from self._server(seen)
        return self.fusing.compile(query, server, self._address.keys_in(seen), path)

    def search_fused(self, seen: Description, plan: Plan, query: HybridQuery) -> Steps[list[Hit]]:
        """Send the request; equal scores are in the order of shards and segments."""
        request = HttpRequest(plan.method, plan.url_path, plan.body)
        try:
            hits = yield from asked(request, partial(hits_of, address=self._address), self._address)
        except RequestRejected as error:
            if self.fusing.is_past_the_end(query, error):
                return []
            raise
        return self.fusing.rescored(query, hits)

    def refused(self, plan: Plan) -> bool:
        """As `HybridBackend.refused`."""
        return self.fusing.refused(plan)

    def search_legs(self, seen: Description, query: HybridQuery) -> Steps[list[LegRanking]]:
        """Send one `_msearch`. Dense scores already are similarities from 0 to 1."""
        server = yield from self._server(seen)
        searches = self.fusing.searches(query, server, self._address.keys_in(seen))
        path = f"{self._address.path}/_msearch"
        request = HttpRequest("POST", path, msearch_lines(searches))

        def parse(answer: Any) -> list[LegRanking]:
            return _rankings(query.legs, answer, self._address)

        return (yield from asked(request, parse, self._address))

    def _server(self, seen: Description) -> Steps[Any]:
        schema = there(seen, self._address)
        place = {
            "version": seen.capabilities.version,
            "index": self._address.index,
            "field": schema.field,
            "kind": schema.kind or self._address.dialect.kinds[0],
            "hidden_fields": schema.hidden,
            "fields": Fields.of(schema.mapping, self._address),
        }
        return (yield from self.fusing.server(schema, place))

    def _check_dense(self, seen: Description, leg: ResolvedLeg, query: HybridQuery) -> None:
        """Refuse a dense leg that the server, or the field, cannot search."""
        dialect, location = self._address.dialect, self._address.location
        version = seen.capabilities.version
        if version and version < dialect.first_knn:
            first = version_text(dialect.first_knn)
            raise ConfigurationError(
                f"{location}: a dense leg needs {dialect.name} {first}, but the server is older"
            )
        schema, field = there(seen, self._address), leg.field or ""
        mapping = schema.dense_mapping(field)
        check_dense_query(
            leg.dense or (),
            schema.dense.get(field, 0),
            by_angle=leg.exact or dialect.by_angle(mapping),
            field=repr(leg.field),
            where=location,
        )
        if leg.exact or isinstance(query.fusion, Rrf) or dialect.scores_cosines(mapping):
            return
        raise ConfigurationError(
            f"the scores of {leg.field!r} in {location} are not (1 + cosine) / 2, which this "
            "fusion sums (that needs the space cosinesimil and the engine lucene or faiss); "
            "DenseLeg(exact=True) computes them, and Rrf() needs no scores"
        )


def _rankings(legs: Sequence[ResolvedLeg], answer: Any, address: IndexAddress) -> list[LegRanking]:
    rankings = []
    for leg, response in zip(legs, answer["responses"], strict=True):
        if "error" in response:
            raise _leg_error(leg.name, response, address.location)
        hits = hits_of(response, address)
        ids, scores = [hit.id for hit in hits], [hit.score for hit in hits]
        rankings.append(leg_ranking(leg.name, ids, scores))
    return rankings


def _leg_error(name: str, response: Mapping[str, Any], location: str) -> Exception:
    status = int(str(response.get("status") or 400))
    error = response["error"]
    # 9.3.2 only says "all shards failed"; the reason is given per shard.
    shards = error.get("failed_shards") if isinstance(error, Mapping) else None
    detail = reason(shards[0].get("reason") if shards else error)
    text = f"{location}: the {name} leg failed ({status}): {detail}"
    return Unavailable(text) if status in (429, 502, 503) else RequestRejected(text, status=status)
