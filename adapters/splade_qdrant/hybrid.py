"""The steps of a hybrid search on a Qdrant collection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from splade_connectors.backends.feature_names import Keys
from splade_connectors.backends.protocol import Backend, Description, Plan
from splade_connectors.documents import Hit
from splade_connectors.errors import ConfigurationError
from splade_connectors.fusion.legs import check_dense_query, choose_dense
from splade_connectors.fusion.reference import LegRanking, leg_ranking
from splade_connectors.fusion.request import FusionPath, HybridQuery, ResolvedLeg
from splade_connectors.runtime.effects import Steps
from splade_qdrant.address import Address
from splade_qdrant.compile.hybrid import Collection, batch_body, compile_hybrid, similarity
from splade_qdrant.documents import original_id, page_of, payload_of
from splade_qdrant.look import Server, look, schema_of
from splade_qdrant.names import check_vector_name
from splade_qdrant.schema import Schema
from splade_qdrant.text_index import search_refusal


class QdrantHybrid:
    """Searches a collection with several legs.

    Args:
        address: of the sparse vector.
        server: what is known about the server.
        at: makes the backend of another vector of the collection.
    """

    def __init__(self, address: Address, server: Server, at: Callable[[Address], Backend]) -> None:
        self._address = address
        self._server = server
        self._at = at

    def dense_field(self, seen: Description, asked: str | None) -> str:
        """As `HybridBackend.dense_field`."""
        where, dense = self._address.location, schema_of(seen, self._address).dense
        return choose_dense(asked, self._address.dense, dense, what="dense vector", where=where)

    def beside(self, vector: str | None, keys: Keys) -> Backend:
        """As `HybridBackend.beside`; Qdrant's terms are numbers, so `keys` is not needed."""
        if vector is None:
            return self._at(self._address)
        check_vector_name(vector)
        return self._at(replace(self._address, vector=vector, exactly=False))

    def sparse_place(self, seen: Description) -> str:
        """The stored name of the sparse vector."""
        return seen.vector

    def plan(self, seen: Description, query: HybridQuery, path: FusionPath) -> Steps[Plan]:
        """One query with prefetches and a formula, or else a batch, fused by the client."""
        schema = schema_of(seen, self._address)
        _check_dense(query, schema, self._address.location)
        for leg in query.legs:
            if leg.kind == "text":
                yield from self._check_text(leg, schema)
        return compile_hybrid(query, self._collection(seen), path)

    def _collection(self, seen: Description) -> Collection:
        schema = schema_of(seen, self._address)
        return Collection(
            name=self._address.collection,
            vector=seen.vector,
            version=schema.server,
            distances=schema.distances,
            filterable=schema.filterable,
            idf=frozenset(name for name, modifier in schema.sparse.items() if modifier == "idf"),
        )

    def _check_text(self, leg: ResolvedLeg, schema: Schema) -> Steps[None]:
        """Refuse a text leg on a field that Qdrant cannot score."""
        where = self._address.location
        if len(leg.fields) != 1:
            names = ", ".join(map(repr, leg.fields))
            raise ConfigurationError(
                f"on Qdrant a text leg searches one field, not {len(leg.fields)} ({names}): give "
                "each field its own TextLeg, with a name (--leg text:field=…,name=…)"
            )
        field = leg.fields[0]
        if schema.sparse.get(field) == "idf" or not search_refusal(schema, field, where):
            return
        # Attach, or the collection's owner, may have created the index since the last look.
        now = schema_of((yield from look(self._address, self._server)), self._address)
        if refusal := search_refusal(now, field, where):
            raise ConfigurationError(f"{refusal}; {_with_idf(schema)}")

    def search_fused(self, seen: Description, plan: Plan, query: HybridQuery) -> Steps[list[Hit]]:
        """Send the query, order ties, and read the payload of the page."""
        answer = yield self._address.request("query", plan.body)
        page = page_of(answer, query.offset, query.limit)
        payloads: dict[str, dict[str, Any]] = {}
        if query.with_payload and page:
            body = {"ids": [found["id"] for found in page], "with_payload": True}
            stored = yield self._address.request("retrieve", {**body, "with_vector": False})
            payloads = {str(point["id"]): payload_of(point) for point in stored}
        # A document deleted between the two requests has no payload anymore.
        return [
            Hit(
                id=original_id(found),
                score=float(found["score"]),
                payload=payloads.get(str(found["id"]), {}),
            )
            for found in page
        ]

    def refused(self, plan: Plan) -> bool:
        """Never: only the server's version decides the path."""
        return False

    def search_legs(self, seen: Description, query: HybridQuery) -> Steps[list[LegRanking]]:
        """Send one batch of queries; dense scores become similarities from 0 to 1."""
        distances = schema_of(seen, self._address).distances
        body = batch_body(query, self._collection(seen))
        answers = yield self._address.request("batch_query", body)
        rankings = []
        for leg, answer in zip(query.legs, answers, strict=True):
            ids = [original_id(found) for found in answer]
            scores = [float(found["score"]) for found in answer]
            if leg.kind == "dense":
                distance = distances[leg.field or ""]
                scores = [similarity(score, distance) for score in scores]
            rankings.append(leg_ranking(leg.name, ids, scores))
        return rankings


def _check_dense(query: HybridQuery, schema: Schema, where: str) -> None:
    for leg in query.legs:
        if leg.dense is not None:
            name = leg.field or ""
            check_dense_query(
                leg.dense,
                schema.dense[name],
                by_angle=schema.distances[name] == "Cosine",
                field=repr(name) if name else "the unnamed vector",
                where=where,
            )


def _with_idf(schema: Schema) -> str:
    """The alternative for a text leg: a sparse vector of BM25 weights with the IDF modifier."""
    names = sorted(repr(name) for name, modifier in schema.sparse.items() if modifier == "idf")
    found = ", ".join(names) or "none"
    return f"sparse vectors with the IDF modifier, which a text leg can search too: {found}"
