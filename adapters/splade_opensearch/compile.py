"""Compile a hybrid search to OpenSearch requests. Pure: nothing is sent here.

Three paths, best first: a `hybrid` query with a pipeline in the request, for reciprocal ranks;
`bool` with `knn`, for a weighted sum whose sparse and text legs have no window; else one `_msearch`
with a search per leg, fused by the client.
"""

from __future__ import annotations

from collections.abc import Mapping
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

# First versions of the `rrf` processor and `pagination_depth` (the `hybrid` query itself came with
# 2.10, pipelines in the request with 2.9), and of the processor's weights.
_RRF: Version = (2, 19)
_RRF_WEIGHTS: Version = (3, 1)
# The first version whose processor reads its rank constant, the first that ranks hits of all shards
# together (#1703), and the first that refuses search_type=dfs_query_then_fetch [src].
_RANK_CONSTANT: Version = (3, 0)
_RANKS_TOGETHER: Version = (3, 5)
_NO_DFS: Version = (3, 8)
_FIXED_RANK_CONSTANT = 60
_PLUGIN = "opensearch-neural-search"
# Limits of 3.6.
_MOST_QUERIES = 5
_LARGEST_RANK_CONSTANT = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Server(Searched):
    """The facts about a server and an index that decide the path.

    Attributes:
        shards: number of primary shards of the index.
        plugins: names of the plugins on every node; None if they may not be read.
        engines: dense field -> engine of its graph.
    """

    shards: int
    plugins: frozenset[str] | None
    engines: Mapping[str, str]


def compile_hybrid(query: HybridQuery, server: Server, keys: Keys, path: FusionPath) -> Plan:
    """The best request that preserves the fusion's definition.

    Raises:
        NotSupported: if `path` is "server" and the server cannot fuse this, or no path can.
    """
    ranked = _hybrid_refusal(query, server)
    if path != "client" and ranked is None:
        return _hybrid_plan(query, server, keys)
    summed = _sum_refusal(query, server)
    if path != "client" and summed is None:
        return _sum_plan(query, server, keys, (f"a hybrid query: {ranked}",))
    refusals = {"a hybrid query": ranked, "bool with knn": summed}
    return client_plan(query, path, refusals, server, leg_searches(query, server, keys))


def leg_searches(query: HybridQuery, server: Server, keys: Keys) -> list[dict[str, Any]]:
    """One search body per leg, for its candidate window."""
    return [{**window_of(leg), "query": _leg_query(leg, server, keys)} for leg in query.legs]


def rank_factor(query: HybridQuery) -> float:
    """The factor that corrects the scores of a `hybrid` query, whose weights must sum to 1."""
    weighted = isinstance(query.fusion, Rrf) and query.fusion.weights is not None
    return sum(weights_of(query.fusion, len(query.legs))) if weighted else 1.0


def _hybrid_refusal(query: HybridQuery, server: Server) -> str | None:
    fusion = query.fusion
    if isinstance(fusion, WeightedSum) and fusion.normalize is None:
        return "it cannot add raw scores"
    if isinstance(fusion, WeightedSum) and fusion.normalize == "minmax":
        return "its min_max gives the last hit of a window 0.001 instead of 0"
    if not isinstance(fusion, Rrf):
        return f"it has no normalization equal to {_described(query)}"
    return _version_refusal(fusion, server) or _shape_refusal(fusion, query, server)


def _described(query: HybridQuery) -> str:
    normalize = getattr(query.fusion, "normalize", None)
    return f"normalize={normalize!r}" if normalize else type(query.fusion).__name__


def _version_refusal(fusion: Rrf, server: Server) -> str | None:
    first, what = _RRF, "rrf"
    if fusion.weights is not None:
        first, what = _RRF_WEIGHTS, "rrf with weights"
    if server.version < first:
        shown = version_text(server.version) or "unknown"
        return f"{what} needs OpenSearch {version_text(first)}, but the server is {shown}"
    if server.version < _RANK_CONSTANT and fusion.k != _FIXED_RANK_CONSTANT:
        return (
            f"OpenSearch {version_text(server.version)} ignores rank_constant and uses "
            f"{_FIXED_RANK_CONSTANT}, but k is {fusion.k:g}"
        )
    if server.plugins is not None and _PLUGIN not in server.plugins:
        return f"the plugin {_PLUGIN} is not installed"
    return None


def _shape_refusal(fusion: Rrf, query: HybridQuery, server: Server) -> str | None:
    windows = {leg.candidates for leg in query.legs}
    if server.shards != 1 and server.version < _RANKS_TOGETHER:
        return f"before 3.5 it ranks within each shard, and the index has {server.shards} shards"
    if server.shards != 1:
        # 3.6 finds up to three windows in three shards, and ranks all of these hits.
        return f"its window applies to each shard, and the index has {server.shards} shards"
    if not float(fusion.k).is_integer() or not 1 <= fusion.k <= _LARGEST_RANK_CONSTANT:
        return f"rank_constant must be a whole number from 1 to 10000, but k is {fusion.k}"
    if len(windows) > 1 or None in windows:
        return "it needs one window for all legs"
    if max(window or 0 for window in windows) > MOST_CANDIDATES:
        return f"its window is limited to {MOST_CANDIDATES}"
    if len(query.legs) > _MOST_QUERIES:
        return f"it takes at most {_MOST_QUERIES} legs"
    return None


def _hybrid_plan(query: HybridQuery, server: Server, keys: Keys) -> Plan:
    assert isinstance(query.fusion, Rrf)
    combination: dict[str, Any] = {"technique": "rrf", "rank_constant": int(query.fusion.k)}
    reason = "one request, fused by the server"
    if server.version >= _NO_DFS:
        reason += ", as query_then_fetch: it refuses dfs_query_then_fetch"
    if query.fusion.weights is not None:
        shares = [weight / rank_factor(query) for weight in query.fusion.weights]
        combination["parameters"] = {"weights": shares}
        reason += "; its weights must sum to 1, so the client multiplies the scores by their sum"
    hybrid = {
        "queries": [_leg_query(leg, server, keys) for leg in query.legs],
        "pagination_depth": query.legs[0].candidates,
    }
    processor = {"score-ranker-processor": {"combination": combination}}
    body = {
        "query": {"hybrid": hybrid},
        "search_pipeline": {"phase_results_processors": [processor]},
        **page(query, server),
    }
    return server_plan("hybrid query", reason, body, server, ())


def _sum_refusal(query: HybridQuery, server: Server) -> str | None:
    dense = [leg for leg in query.legs if leg.kind == "dense"]
    if not isinstance(query.fusion, WeightedSum) or query.fusion.normalize:
        return "it can only add raw scores"
    if any(leg.exact for leg in dense):
        return "it has no window for a dense leg that is searched exactly"
    if dense and server.shards != 1:
        return f"its k applies to each shard, and the index has {server.shards} shards"
    if any(server.engines.get(leg.field or "") != "lucene" for leg in dense):
        return "only the engine lucene is known to apply k to the whole shard"
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
    # Keep legs of weight 0: their documents have to be found, with the scores of the other legs.
    should = [
        {"bool": {"must": [_leg_query(leg, server, keys)], "boost": weight / scale}}
        for leg, weight, scale in zip(query.legs, weights, scales, strict=True)
    ]
    body = {
        "query": {"bool": {"should": should, "minimum_should_match": 1}},
        **page(query, server),
    }
    reason = "a weighted sum; sparse and text scores of all matching documents"
    return server_plan("bool with knn", reason, body, server, not_taken)


def _leg_query(leg: ResolvedLeg, server: Server, keys: Keys) -> dict[str, Any]:
    if leg.kind != "dense":
        return sparse_or_text_query(leg, server, keys)
    if leg.exact:
        return exact_similarity(leg, "doc[params.field]", server)
    assert leg.field is not None
    search: dict[str, Any] = {"vector": list(leg.dense or ()), "k": leg.candidates}
    if leg.filters:
        # A single query: 3.6 takes no list here.
        search["filter"] = {"bool": {"filter": conditions(leg, server)}}
    if leg.breadth is not None and server.version >= (2, 16):
        search["method_parameters"] = {"ef_search": max(leg.breadth, leg.candidates or 1)}
    return {"knn": {leg.field: search}}
