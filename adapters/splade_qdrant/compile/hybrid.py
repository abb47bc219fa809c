"""Compile a hybrid search to one Qdrant query: a prefetch per leg, a formula for the fusion. Pure.

Qdrant's own RRF counts ranks from 0 and weights them differently from the definition here. So each
leg that is fused by rank or distribution is wrapped in a fusion of one leg, which yields
1 / (k + rank) or the normalized score, and a formula adds these up with their weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from splade_connectors.backends.protocol import Plan
from splade_connectors.backends.versions import Version, version_text
from splade_connectors.errors import NotSupported
from splade_connectors.fusion.request import ELSE_THE_CLIENT, FusionPath, HybridQuery, ResolvedLeg
from splade_connectors.fusion.spec import (
    DistributionBased,
    Rrf,
    WeightedSum,
    scales_of,
    weights_of,
)
from splade_qdrant.compile.search import filter_json
from splade_qdrant.documents import ID_KEY, sparse_json

# Qdrant's name for its own BM25, for sparse vectors with the IDF modifier.
BM25 = "qdrant/bm25"

_FORMULA: Version = (1, 14)
_RRF_K: Version = (1, 16)

# Distances whose score is a cosine or a dot product: similarity is (1 + score) / 2.
_ANGULAR = ("Cosine", "Dot")


@dataclass(kw_only=True, slots=True)
class Collection:
    """The facts about a collection that decide the path.

    Attributes:
        name: of the collection.
        vector: name of the sparse vector.
        version: of the server.
        distances: dense vector name -> distance.
        filterable: as in `Schema`.
        idf: names of the sparse vectors with the IDF modifier.
    """

    name: str
    vector: str
    version: Version
    distances: Mapping[str, str]
    filterable: Sequence[str] = ()
    idf: frozenset[str] = frozenset()


def compile_hybrid(query: HybridQuery, collection: Collection, path: FusionPath) -> Plan:
    """The best request that preserves the fusion's definition.

    Raises:
        NotSupported: if `path` is "server" and the server cannot fuse this, or if no path can.
    """
    refusal = server_refusal(query, collection)
    if path != "client" and refusal is None:
        return Plan(
            path="prefetch + formula",
            reason="one query fuses exactly; ranks and weights mean the same on every store"
            + _text_remark(query, collection),
            method="POST",
            url_path=_url_path(collection, "query"),
            body=server_body(query, collection),
            fused_by="server",
        )
    if path == "client":
        refusal = "fusion by the client was requested"
    if path == "server":
        raise NotSupported(
            f"this server cannot fuse this in one request: {refusal}. {ELSE_THE_CLIENT}"
        )
    if any(leg.candidates is None for leg in query.legs):
        raise NotSupported(f"Qdrant needs a candidate window for every leg: {refusal}")
    return Plan(
        path="batch query, fused by the client",
        reason="the definition itself, applied to each leg's candidate window"
        + _text_remark(query, collection),
        method="POST",
        url_path=_url_path(collection, "query/batch"),
        body=batch_body(query, collection),
        fused_by="client",
        not_taken=(f"one query with a formula: {refusal}",),
    )


def server_refusal(query: HybridQuery, collection: Collection) -> str | None:
    """Why one request cannot compute this fusion exactly; None if it can."""
    version = collection.version
    if version < _FORMULA:
        return f"formulas need Qdrant 1.14, but the server is {version_text(version)}"
    if any(leg.candidates is None for leg in query.legs):
        return "a leg without a window (candidates=None) cannot be prefetched"
    fusion = query.fusion
    if isinstance(fusion, Rrf) and version < _RRF_K:
        server = version_text(version)
        return f"Rrf with k={fusion.k:g} needs Qdrant 1.16, but the server is {server}"
    if isinstance(fusion, Rrf) and not float(fusion.k).is_integer():
        return f"Qdrant takes only whole numbers for k, not {fusion.k}"
    if isinstance(fusion, WeightedSum) and fusion.normalize:
        return f"normalize={fusion.normalize!r} needs all scores of a leg, which formulas lack"
    return _similarity_refusal(query, collection.distances)


def server_body(query: HybridQuery, collection: Collection) -> dict[str, Any]:
    """The body of the single request; `server_refusal` must have returned None."""
    legs = [leg_body(leg, collection) for leg in query.legs]
    return {
        "prefetch": [_wrapped(leg, query) for leg in legs],
        "query": _formula(query),
        # Always everything that the legs find, ids only: which of several equal scores a limit cuts
        # off varies from request to request [edge 0.9.0], and pages would disagree.
        "limit": sum(leg["limit"] for leg in legs),
        "with_payload": [ID_KEY],
    }


def batch_body(query: HybridQuery, collection: Collection) -> dict[str, Any]:
    """The body of one batch with a query per leg, for fusion by the client."""
    return {
        "searches": [{**leg_body(leg, collection), "with_payload": [ID_KEY]} for leg in query.legs]
    }


def leg_body(leg: ResolvedLeg, collection: Collection) -> dict[str, Any]:
    """The body of one leg, as a query or a prefetch."""
    body: dict[str, Any] = {"limit": leg.candidates}
    if leg.kind == "sparse":
        assert leg.sparse is not None
        body |= {"query": sparse_json(leg.sparse), "using": leg.place or collection.vector}
    elif leg.kind == "text" and leg.fields[0] not in collection.idf:
        # Qdrant's own BM25 of the payload field, over its text index.
        body |= {"query": {"text": leg.text}, "using": leg.fields[0]}
    elif leg.kind == "text":
        # Text instead of a vector: servers from 1.15.3 on and the engine have BM25 built in.
        body |= {"query": {"text": leg.text, "model": BM25}, "using": leg.fields[0]}
    else:
        assert leg.dense is not None
        body |= {"query": list(leg.dense), "using": leg.field or ""}
        params = {"exact": True} if leg.exact else {}
        body["params"] = params | ({"hnsw_ef": leg.breadth} if leg.breadth else {})
    conditions = [filter_json(given, collection.filterable) for given in leg.filters]
    if conditions:
        body["filter"] = conditions[0] if len(conditions) == 1 else {"must": conditions}
    return body


def has_text_query(body: Mapping[str, Any]) -> bool:
    """Whether a query or one of its prefetches scores payload text with BM25."""
    query = body.get("query")
    if isinstance(query, Mapping) and "text" in query and "model" not in query:
        return True
    return any(map(has_text_query, body.get("prefetch", [])))


def similarity(score: float, distance: str) -> float:
    """A Qdrant score of a dense leg as a similarity from 0 to 1.

    Cosine and Dot: (1 + score) / 2; Euclid: 1 / (1 + d²); Manhattan: 1 / (1 + d). These are
    Elasticsearch's formulas.
    """
    if distance in _ANGULAR:
        return (1 + score) / 2
    return 1 / (1 + score * score) if distance == "Euclid" else 1 / (1 + score)


def _text_remark(query: HybridQuery, collection: Collection) -> str:
    """Say what each text leg searches."""
    remarks = [
        f"; the {leg.name} leg is the sparse vector {leg.fields[0]!r} with IDF"
        if leg.fields[0] in collection.idf
        else f"; the {leg.name} leg is BM25 of the payload field {leg.fields[0]!r}"
        for leg in query.legs
        if leg.kind == "text"
    ]
    return "".join(remarks)


def _wrapped(leg: dict[str, Any], query: HybridQuery) -> dict[str, Any]:
    match query.fusion:
        case Rrf(k=k):
            # Qdrant counts ranks from 0, the definition here from 1.
            return {"prefetch": [leg], "query": {"rrf": {"k": int(k) + 1}}, "limit": leg["limit"]}
        case DistributionBased():
            return {"prefetch": [leg], "query": {"fusion": "dbsf"}, "limit": leg["limit"]}
    return leg


def _formula(query: HybridQuery) -> dict[str, Any]:
    weights = weights_of(query.fusion, len(query.legs))
    terms: list[Any] = []
    defaults: dict[str, float] = {}
    for position, (leg, weight) in enumerate(zip(query.legs, weights, strict=True)):
        score = f"$score[{position}]"
        defaults[score] = 0.0
        if not isinstance(query.fusion, WeightedSum):
            terms.append({"mult": [weight, score]})
            continue
        factor = weight / scales_of(query.fusion, len(query.legs))[position]
        if leg.kind == "dense":
            # (1 + score) / 2, and 0 for a document that this leg did not find.
            defaults[score] = -1.0
            terms.append({"mult": [factor / 2, {"sum": [1.0, score]}]})
        else:
            terms.append({"mult": [factor, score]})
    return {"formula": {"sum": terms}, "defaults": defaults}


def _similarity_refusal(query: HybridQuery, distances: Mapping[str, str]) -> str | None:
    if not isinstance(query.fusion, WeightedSum):
        return None
    for leg in query.legs:
        distance = distances.get(leg.field or "", "Cosine")
        if leg.kind == "dense" and distance not in _ANGULAR:
            return f"a sum needs similarities, but formulas only see {distance} distances"
    return None


def _url_path(collection: Collection, verb: str) -> str:
    # An embedded shard has no name: show the path for a collection on a server.
    return f"/collections/{quote(collection.name, safe='') or 'COLLECTION'}/points/{verb}"
