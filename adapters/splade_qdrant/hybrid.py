"""The verbs of a hybrid search on a Qdrant collection."""

from __future__ import annotations

from typing import Any

from splade_connectors.backends.protocol import Description, Plan
from splade_connectors.documents import Hit
from splade_connectors.errors import ConfigurationError
from splade_connectors.fusion.legs import check_dense_query, choose_dense
from splade_connectors.fusion.reference import LegRanking, leg_ranking
from splade_connectors.fusion.request import FusionPath, HybridQuery, ResolvedLeg
from splade_connectors.runtime.effects import Steps
from splade_qdrant.address import Address
from splade_qdrant.compile.hybrid import Collection, batch_body, compile_hybrid, similarity
from splade_qdrant.documents import original_id, page_of, payload_of
from splade_qdrant.look import schema_of
from splade_qdrant.schema import Schema


class QdrantHybrid:
    """Searches a collection by several legs.

    Args:
        address: which.
    """

    def __init__(self, address: Address) -> None:
        self._address = address

    def dense_field(self, seen: Description, asked: str | None) -> str:
        """As `HybridBackend.dense_field`."""
        where, dense = self._address.location, schema_of(seen, self._address).dense
        return choose_dense(asked, self._address.dense, dense, what="dense vector", where=where)

    def plan(self, seen: Description, query: HybridQuery, path: FusionPath) -> Steps[Plan]:
        """One query with prefetches and a formula, else a batch and fusion here."""
        yield from ()
        schema = schema_of(seen, self._address)
        _check_legs(query, schema, self._address.location)
        collection = Collection(
            name=self._address.collection,
            vector=seen.vector,
            version=schema.server,
            distances=schema.distances,
            filterable=schema.filterable,
        )
        return compile_hybrid(query, collection, path)

    def search_fused(self, seen: Description, plan: Plan, query: HybridQuery) -> Steps[list[Hit]]:
        """Send the one query, put ties in order, and read the payload of the page."""
        answer = yield self._address.request("query", plan.body)
        page = page_of(answer, query.offset, query.limit)
        payloads: dict[str, dict[str, Any]] = {}
        if query.with_payload and page:
            body = {"ids": [found["id"] for found in page], "with_payload": True}
            stored = yield self._address.request("retrieve", {**body, "with_vector": False})
            payloads = {str(point["id"]): payload_of(point) for point in stored}
        # A document deleted between the two requests has no payload any more.
        return [
            Hit(
                id=original_id(found),
                score=float(found["score"]),
                payload=payloads.get(str(found["id"]), {}),
            )
            for found in page
        ]

    def refused(self, plan: Plan) -> bool:
        """There is no path that depends on anything but the version."""
        return False

    def search_legs(self, seen: Description, query: HybridQuery) -> Steps[list[LegRanking]]:
        """One batch of queries; dense scores become similarities from 0 to 1."""
        schema = schema_of(seen, self._address)
        body = batch_body(query, seen.vector, schema.filterable)
        answers = yield self._address.request("batch_query", body)
        rankings = []
        for leg, answer in zip(query.legs, answers, strict=True):
            ids = [original_id(found) for found in answer]
            scores = [float(found["score"]) for found in answer]
            if leg.kind == "dense":
                distance = schema.distances[leg.field or ""]
                scores = [similarity(score, distance) for score in scores]
            rankings.append(leg_ranking(leg.name, ids, scores))
        return rankings


def _check_legs(query: HybridQuery, schema: Schema, where: str) -> None:
    for leg in query.legs:
        if leg.kind == "text":
            _check_text(leg, schema, where)
        if leg.dense is not None:
            name = leg.field or ""
            check_dense_query(
                leg.dense,
                schema.dense[name],
                by_angle=schema.distances[name] == "Cosine",
                field=repr(name) if name else "the unnamed vector",
                where=where,
            )


def _check_text(leg: ResolvedLeg, schema: Schema, where: str) -> None:
    """Qdrant's text leg is a sparse vector of BM25 weights, completed by IDF at search."""
    if len(leg.fields) == 1 and schema.sparse.get(leg.fields[0]) == "idf":
        return
    names = [repr(name) for name, modifier in schema.sparse.items() if modifier == "idf"]
    found = "none: search without a text leg"
    if names:
        found = f"{', '.join(sorted(names))}: TextLeg(fields=('NAME',)) (--text-field NAME)"
    raise ConfigurationError(
        f"a text leg needs a sparse vector with the IDF modifier on Qdrant; {where} has {found}"
    )
