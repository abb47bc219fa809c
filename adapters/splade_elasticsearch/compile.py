"""Compile a hybrid search to Elasticsearch requests. Pure: nothing is sent here.

Three paths, best first: a retriever (`rrf`, `linear`), if version and licence allow it; `bool` with
a top-level `knn`, for a weighted sum whose sparse and text legs have no window; else one `_msearch`
with a search per leg, fused by the client.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from splade_connectors.backends.feature_names import Keys
from splade_connectors.backends.protocol import Plan
from splade_connectors.backends.versions import version_text
from splade_connectors.fusion.request import FusionPath, HybridQuery, ResolvedLeg
from splade_connectors.fusion.spec import Rrf, WeightedSum, scales_of, weights_of
from splade_lucene.compile.legs import (
    MOST_CANDIDATES,
    Searched,
    client_plan,
    conditions,
    exact_similarity,
    page,
    server_plan,
    sparse_or_text_query,
    window_of,
)
from splade_lucene.dialect import Version

# First versions of the `rrf` retriever in its present form, of its weights, and of `linear`.
_RRF: Version = (8, 16)
_RRF_WEIGHTS: Version = (9, 2)
_LINEAR: Version = (8, 18)
# `knn` beside `query` in one search, with the sum of the scores.
_KNN: Version = (8, 4)
# Serverless has no licences, but all retrievers.
SERVERLESS = "serverless"
_LICENSES = ("trial", "enterprise", "platinum", SERVERLESS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Server(Searched):
    """The facts about a server that decide the path.

    Attributes:
        license: type of the licence: "basic", "enterprise", …; "serverless" without licences.
    """

    license: str


def compile_hybrid(query: HybridQuery, server: Server, keys: Keys, path: FusionPath) -> Plan:
    """The best request that preserves the fusion's definition.

    Raises:
        NotSupported: if `path` is "server" and the server cannot fuse this, or no path can.
    """
    retriever = _retriever_refusal(query, server)
    if path != "client" and retriever is None:
        return _retriever_plan(query, server, keys)
    summed = _sum_refusal(query, server)
    if path != "client" and summed is None:
        return _sum_plan(query, server, keys, (f"a retriever: {retriever}",))
    refusals = {"a retriever": retriever, "bool with knn": summed}
    return client_plan(query, path, refusals, server, leg_searches(query, server, keys))


def leg_searches(query: HybridQuery, server: Server, keys: Keys) -> list[dict[str, Any]]:
    """One search body per leg, for its candidate window."""
    found = []
    for leg in query.legs:
        body = window_of(leg)
        if leg.kind == "dense" and not leg.exact:
            body["knn"] = _knn(leg, server)
        else:
            body["query"] = _leg_query(leg, server, keys)
        found.append(body)
    return found


def _retriever_refusal(query: HybridQuery, server: Server) -> str | None:
    fusion = query.fusion
    windows = {leg.candidates for leg in query.legs}
    if isinstance(fusion, WeightedSum):
        name, first = "linear", _LINEAR
    else:
        name, first = "rrf", _RRF_WEIGHTS if getattr(fusion, "weights", None) else _RRF
    if not isinstance(fusion, Rrf | WeightedSum):
        return f"none exists for {type(fusion).__name__}"
    if server.version < first:
        return (
            f"this use of {name} needs Elasticsearch {version_text(first)}, but the server is "
            + version_text(server.version)
        )
    if server.license not in _LICENSES:
        return f"the {name} retriever needs an Enterprise licence; this cluster is {server.license}"
    if isinstance(fusion, WeightedSum) and fusion.normalize:
        return f"its normalizers differ from normalize={fusion.normalize!r} if scores are equal"
    if isinstance(fusion, Rrf) and not float(fusion.k).is_integer():
        return f"rank_constant must be a whole number, but k is {fusion.k}"
    if len(windows) > 1 or None in windows:
        return "it needs one window for all legs"
    return None


def _retriever_plan(query: HybridQuery, server: Server, keys: Keys) -> Plan:
    weights = weights_of(query.fusion, len(query.legs))
    legs = [_retriever(leg, server, keys) for leg in query.legs]
    window = {"rank_window_size": query.legs[0].candidates}
    if isinstance(query.fusion, WeightedSum):
        name = "linear"
        scales = scales_of(query.fusion, len(legs))
        parts: list[Any] = [
            {"retriever": leg, "weight": weight / scale, "normalizer": "none"}
            for leg, weight, scale in zip(legs, weights, scales, strict=True)
        ]
        settings: dict[str, Any] = window
    else:
        assert isinstance(query.fusion, Rrf)
        name = "rrf"
        weighted = query.fusion.weights is not None
        parts = (
            [{"retriever": leg, "weight": w} for leg, w in zip(legs, weights, strict=True)]
            if weighted
            else legs
        )
        settings = {"rank_constant": int(query.fusion.k), **window}
    body = {"retriever": {name: {"retrievers": parts, **settings}}, **page(query, server)}
    reason = "one request, fused by the server"
    if server.license == SERVERLESS:
        reason += ": Elasticsearch Serverless has the retrievers"
    return server_plan(f"{name} retriever", reason, body, server, ())


def _retriever(leg: ResolvedLeg, server: Server, keys: Keys) -> dict[str, Any]:
    if leg.kind == "dense" and not leg.exact:
        return {"knn": _knn(leg, server)}
    return {"standard": {"query": _leg_query(leg, server, keys)}}


def _sum_refusal(query: HybridQuery, server: Server) -> str | None:
    fusion = query.fusion
    dense = [leg for leg in query.legs if leg.kind == "dense"]
    if not isinstance(fusion, WeightedSum) or fusion.normalize:
        return "it can only add raw scores"
    if len(dense) > 1 or any(leg.exact for leg in dense):
        return "it takes at most one dense leg, an approximate one"
    if dense and server.version < _KNN:
        version = version_text(server.version)
        return f"knn beside a query needs Elasticsearch 8.4, but the server is {version}"
    if any(leg.candidates is not None for leg in query.legs if leg.kind != "dense"):
        return (
            "it counts the sparse and text scores of every matching document, which ranks "
            "differently from a window; candidates=None requests that"
        )
    return None


def _sum_plan(query: HybridQuery, server: Server, keys: Keys, not_taken: tuple[str, ...]) -> Plan:
    assert isinstance(query.fusion, WeightedSum)
    weights = weights_of(query.fusion, len(query.legs))
    scales = scales_of(query.fusion, len(query.legs))
    should: list[dict[str, Any]] = []
    beside: dict[str, Any] = {}
    for leg, weight, scale in zip(query.legs, weights, scales, strict=True):
        factor = weight / scale
        if leg.kind == "dense":
            beside = {"knn": {**_knn(leg, server), "boost": factor}}
        else:
            # Keep a leg of weight 0: its documents have to be found, and an empty `should` would
            # match all documents with a score of 1 [9.3.2].
            should.append({"bool": {"must": [_leg_query(leg, server, keys)], "boost": factor}})
    body = {
        "query": {"bool": {"should": should, "minimum_should_match": 1}},
        **beside,
        **page(query, server),
    }
    return server_plan(
        "bool with knn",
        "a weighted sum on any licence; sparse and text scores of all matching documents",
        body,
        server,
        not_taken,
    )


def _knn(leg: ResolvedLeg, server: Server) -> dict[str, Any]:
    assert leg.candidates is not None
    breadth = max(leg.candidates, leg.breadth or 2 * leg.candidates)
    body: dict[str, Any] = {
        "field": leg.field,
        "query_vector": list(leg.dense or ()),
        "k": leg.candidates,
        "num_candidates": min(breadth, MOST_CANDIDATES),
    }
    return body | ({"filter": conditions(leg, server)} if leg.filters else {})


def _leg_query(leg: ResolvedLeg, server: Server, keys: Keys) -> dict[str, Any]:
    if leg.kind == "dense":
        return exact_similarity(leg, "params.field", server)
    return sparse_or_text_query(leg, server, keys)
