"""A hybrid search as OpenSearch requests. Pure: nothing is sent here.

Three ways, best first: a `hybrid` query with a pipeline in the request, for reciprocal ranks;
`bool` with `knn`, for a weighted sum whose sparse and text legs have no window; else one
`_msearch` with a search per leg, and the fusion on the client.
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

# First versions: the `rrf` processor and `pagination_depth` (the `hybrid` query itself came with
# 2.10, pipelines in the request with 2.9), and the processor's weights.
_RRF: Version = (2, 19)
_RRF_WEIGHTS: Version = (3, 1)
# The first version whose processor reads its rank constant, and the first that ranks hits of all
# shards together (#1703). From the last one on, search_type=dfs_query_then_fetch is refused [src].
_RANK_CONSTANT: Version = (3, 0)
_RANKS_TOGETHER: Version = (3, 5)
_NO_DFS: Version = (3, 8)
_FIXED_RANK_CONSTANT = 60
_PLUGIN = "opensearch-neural-search"
# What 3.6 refuses beyond.
_MOST_QUERIES = 5
_LARGEST_RANK_CONSTANT = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Server(Searched):
    """What decides about the path.

    Attributes:
        shards: primary shards of the index.
        plugins: names of the plugins on every node; None if that may not be read.
        engines: dense field -> engine of its graph.
    """

    shards: int
    plugins: frozenset[str] | None
    engines: Mapping[str, str]


def compile_hybrid(query: HybridQuery, server: Server, keys: Keys, path: FusionPath) -> Plan:
    """The best request that does not change the fusion's meaning.

    Raises:
        NotSupported: when `path` is "server" and the server cannot, or when no path can.
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
    """One search body per leg, for its window of candidates."""
    return [{**window_of(leg), "query": _leg_query(leg, server, keys)} for leg in query.legs]


def rank_factor(query: HybridQuery) -> float:
    """What the scores of a `hybrid` query are to be multiplied by: its weights add up to 1."""
    weighted = isinstance(query.fusion, Rrf) and query.fusion.weights is not None
    return sum(weights_of(query.fusion, len(query.legs))) if weighted else 1.0


def _hybrid_refusal(query: HybridQuery, server: Server) -> str | None:
    fusion = query.fusion
    if isinstance(fusion, WeightedSum) and fusion.normalize is None:
        return "it adds up no raw scores"
    if isinstance(fusion, WeightedSum) and fusion.normalize == "minmax":
        return "its min_max gives the last of a window 0.001 instead of 0"
    if not isinstance(fusion, Rrf):
        return f"it has no normalization that is {_described(query)}"
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
        return f"{what} needs OpenSearch {version_text(first)}, the server is {shown}"
    if server.version < _RANK_CONSTANT and fusion.k != _FIXED_RANK_CONSTANT:
        return (
            f"OpenSearch {version_text(server.version)} ignores rank_constant and takes "
            f"{_FIXED_RANK_CONSTANT}, k is {fusion.k:g}"
        )
    if server.plugins is not None and _PLUGIN not in server.plugins:
        return f"the plugin {_PLUGIN} is not installed"
    return None


def _shape_refusal(fusion: Rrf, query: HybridQuery, server: Server) -> str | None:
    windows = {leg.candidates for leg in query.legs}
    if server.shards != 1 and server.version < _RANKS_TOGETHER:
        return f"before 3.5 it ranks within each shard, and the index has {server.shards}"
    if server.shards != 1:
        # 3.6 finds up to three windows in three shards, and ranks all of that.
        return f"its window counts for each shard, and the index has {server.shards}"
    if not float(fusion.k).is_integer() or not 1 <= fusion.k <= _LARGEST_RANK_CONSTANT:
        return f"rank_constant is a whole number from 1 to 10000, k is {fusion.k}"
    if len(windows) > 1 or None in windows:
        return "it has one window for all legs"
    if max(window or 0 for window in windows) > MOST_CANDIDATES:
        return f"its window is at most {MOST_CANDIDATES}"
    if len(query.legs) > _MOST_QUERIES:
        return f"it has at most {_MOST_QUERIES} legs"
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
        reason += "; its weights add up to 1, and the scores are multiplied by what they were"
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
        return "it adds up raw scores only"
    if any(leg.exact for leg in dense):
        return "it has no window for a dense leg that is searched exactly"
    if dense and server.shards != 1:
        return f"its k counts for each shard, and the index has {server.shards}"
    if any(server.engines.get(leg.field or "") != "lucene" for leg in dense):
        return "only the engine lucene is known to take k for the whole shard"
    if any(leg.candidates is not None for leg in query.legs if leg.kind != "dense"):
        return (
            "every matching document keeps its sparse and text score there, which is another "
            "ranking than that of a window; candidates=None asks for it"
        )
    return None


def _sum_plan(query: HybridQuery, server: Server, keys: Keys, not_taken: tuple[str, ...]) -> Plan:
    assert isinstance(query.fusion, WeightedSum)
    weights = weights_of(query.fusion, len(query.legs))
    scales = scales_of(query.fusion, len(query.legs))
    # Legs of weight 0 stay: their documents are found, with what the other legs give them.
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
        # One query: 3.6 takes no list here.
        search["filter"] = {"bool": {"filter": conditions(leg, server)}}
    if leg.breadth is not None and server.version >= (2, 16):
        search["method_parameters"] = {"ef_search": max(leg.breadth, leg.candidates or 1)}
    return {"knn": {leg.field: search}}
