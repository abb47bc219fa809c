"""Hybrid searches on OpenSearch equal the numpy reference: every fusion, path, number of shards.

The windows of the reference are computed from the stored sparse weights and from all cosines.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from splade_connectors import Document, SparseEncoder, SparseVector, Store, aconnect, connect
from splade_connectors.backends.rounding import as_stored
from splade_connectors.errors import ConfigurationError, NotSupported
from splade_connectors.fusion import (
    DenseLeg,
    DistributionBased,
    Fusion,
    LegRanking,
    Rrf,
    SparseLeg,
    TextLeg,
    WeightedSum,
    fuse,
)
from splade_connectors.fusion.reference import leg_ranking

pytestmark = pytest.mark.servers

COUNT = 60
DIMENSIONS = 8
WINDOW = 20
QUERIES = ["coffee keeps me awake", "why does dough rise"]
WEIGHTS: list[tuple[float, float] | None] = [None, (2, 1), (0, 0.7)]
EVEN = {"term": {"parity": "even"}}
CORPUS = Path(__file__).parents[2] / "splade_connectors/sample/corpus.jsonl"


@dataclass(frozen=True)
class Collection:
    """Documents, and what every leg must find among them."""

    encoder: SparseEncoder
    documents: list[Document]
    sparse: list[SparseVector]
    dense: np.ndarray
    vector: list[float]

    def windows(
        self, query: str, sparse: int | None = WINDOW, even: bool = False
    ) -> list[LegRanking]:
        unit = self.dense / np.linalg.norm(self.dense, axis=1, keepdims=True)
        cosines = unit @ (np.array(self.vector) / np.linalg.norm(self.vector))
        terms = self.encoder.encode_queries([query])[0].to_dict()
        scores = {}
        for document, vector in zip(self.documents, self.sparse, strict=True):
            stored = vector.to_dict()
            scores[document.id] = sum(
                weight * stored.get(index, 0.0) for index, weight in terms.items()
            )
        similarity = {
            document.id: float(value)
            for document, value in zip(self.documents, (1 + cosines) / 2, strict=True)
        }
        kept = self.documents[::2] if even else self.documents
        rows = [document.id for document in kept]
        return [
            self.window("sparse", {id: scores[id] for id in rows}, sparse),
            self.window("dense", {id: similarity[id] for id in rows}, WINDOW),
        ]

    @staticmethod
    def window(name: str, scores: dict[Any, float], size: int | None) -> LegRanking:
        found = {id: score for id, score in scores.items() if score > 0}
        whole = leg_ranking(name, list(found), list(found.values()))
        # Ties inside a window would leave its ranks to the server: this collection has none.
        assert size is None or (np.diff(whole.scores[: size + 1]) < -1e-6).all()
        return LegRanking(name=name, ids=whole.ids[:size], scores=whole.scores[:size])


@pytest.fixture(scope="module")
def collection(encoder: SparseEncoder) -> Collection:
    random = np.random.default_rng(5)
    dense = random.normal(size=(COUNT, DIMENSIONS)).astype(np.float32)
    with CORPUS.open(encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for line in file][:COUNT]
    documents = [
        Document(
            id=f"d{number}",
            text=text,
            payload={"parity": "odd" if number % 2 else "even"},
            dense=vector.tolist(),
        )
        for number, (text, vector) in enumerate(zip(texts, dense, strict=True))
    ]
    sparse = [as_stored(vector, "lucene") for vector in encoder.encode_documents(texts)]
    query = random.normal(size=DIMENSIONS).tolist()
    return Collection(encoder, documents, sparse, dense.astype(float), query)


@dataclass(frozen=True)
class Index:
    store: Store
    target: str
    shards: int


@pytest.fixture(scope="module", params=[1, 3], ids=["1-shard", "3-shards"])
def index(
    request: pytest.FixtureRequest, opensearch_url: str, collection: Collection
) -> Iterator[Index]:
    shards: int = request.param
    url = opensearch_url.rstrip("/")
    name = f"splade-hybrid-{uuid.uuid4().hex}"
    method = {"name": "hnsw", "engine": "lucene", "space_type": "cosinesimil"}
    dense = {"type": "knn_vector", "dimension": DIMENSIONS, "method": method}
    body = {
        "settings": {"index.knn": True, "number_of_shards": shards, "number_of_replicas": 0},
        "mappings": {"properties": {"dense": dense, "parity": {"type": "keyword"}}},
    }
    httpx.put(f"{url}/{name}", json=body, trust_env=False).raise_for_status()
    target = f"{url.replace('http', 'opensearch', 1)}/{name}"
    try:
        with connect(target, encoder=collection.encoder) as store:
            # Several segments: k and the ranks must be of the whole shard.
            for start in range(0, COUNT, 15):
                report = store.index(collection.documents[start : start + 15])
                assert report.rejected == []
            yield Index(store, target, shards)
    finally:
        httpx.delete(f"{url}/{name}", trust_env=False)


def legs(
    collection: Collection, sparse: int | None = WINDOW, exact: bool = False
) -> list[SparseLeg | DenseLeg]:
    return [
        SparseLeg(candidates=sparse),
        DenseLeg(vector=collection.vector, candidates=WINDOW, exact=exact),
    ]


def assert_equal(hits: Any, fusion: Fusion, windows: list[LegRanking], limit: int) -> None:
    """Scores within 1e-5; the order is free only inside ties of 1e-6."""
    expected = fuse(fusion, windows)
    scores = {hit.id: hit.score for hit in expected}
    assert len(hits) == min(limit, len(expected))
    assert len({hit.id for hit in hits}) == len(hits)
    absolute = 1e-8 if isinstance(fusion, Rrf) else 1e-5
    for hit, best in zip(hits, expected, strict=False):
        assert hit.score == pytest.approx(scores[hit.id], rel=1e-5, abs=absolute)
        assert scores[hit.id] == pytest.approx(best.score, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("weights", WEIGHTS, ids=str)
def test_sums_without_a_window(
    index: Index, collection: Collection, weights: tuple[float, float] | None
) -> None:
    for fusion in (WeightedSum(weights=weights), WeightedSum(weights=weights, scale=(7.5, 0.8))):
        search: dict[str, Any] = {"legs": legs(collection, sparse=None), "fusion": fusion}
        if index.shards > 1:
            with pytest.raises(
                NotSupported, match="k applies to each shard, and the index has 3 shards"
            ):
                index.store.search(QUERIES[0], **search)
            continue
        for query in QUERIES:
            hits = index.store.search(query, limit=WINDOW, **search)
            assert hits.plan.path == "bool with knn"
            assert_equal(hits, fusion, collection.windows(query, sparse=None), WINDOW)
        with pytest.raises(NotSupported, match="without a window needs bool with knn"):
            index.store.search(QUERIES[0], path="client", **search)


def test_a_sum_of_sparse_and_text_needs_no_window_on_any_number_of_shards(index: Index) -> None:
    both = [SparseLeg(candidates=None), TextLeg(candidates=None)]
    windows = [SparseLeg(candidates=COUNT), TextLeg(candidates=COUNT)]
    for weights in WEIGHTS:
        fusion = WeightedSum(weights=weights)
        summed = index.store.search(QUERIES[0], legs=both, fusion=fusion, limit=COUNT)
        fused = index.store.search(QUERIES[0], legs=windows, fusion=fusion, limit=COUNT)
        assert (summed.plan.fused_by, fused.plan.fused_by) == ("server", "client")
        scores = {hit.id: hit.score for hit in fused}
        assert {hit.id: hit.score for hit in summed} == pytest.approx(scores, abs=1e-5)


def test_an_exact_dense_leg_equals_the_graph_here(index: Index, collection: Collection) -> None:
    for fusion in (Rrf(), WeightedSum(weights=(1, 20)), DistributionBased()):
        hits = index.store.search(
            QUERIES[0], legs=legs(collection, exact=True), fusion=fusion, limit=WINDOW
        )
        assert_equal(hits, fusion, collection.windows(QUERIES[0]), WINDOW)


def test_filters_go_into_every_leg(index: Index, collection: Collection) -> None:
    for exact in (False, True):
        for fusion in (Rrf(), Rrf(weights=(1, 3)), WeightedSum(normalize="minmax")):
            hits = index.store.search(
                QUERIES[0],
                legs=legs(collection, exact=exact),
                fusion=fusion,
                limit=WINDOW,
                filter=EVEN,
            )
            assert_equal(hits, fusion, collection.windows(QUERIES[0], even=True), WINDOW)
            assert {hit.payload["parity"] for hit in hits} == {"even"}


def test_three_legs_are_ranked_as_the_client_ranks_them(
    index: Index, collection: Collection
) -> None:
    three = [*legs(collection), TextLeg(candidates=WINDOW)]
    for fusion in (Rrf(), Rrf(k=5, weights=(1, 2, 0.5))):
        found, expected = (
            index.store.search(QUERIES[1], legs=three, fusion=fusion, limit=WINDOW, path=path)
            for path in ("auto", "client")
        )
        assert found.plan.fused_by == ("server" if index.shards == 1 else "client")
        scores = {hit.id: hit.score for hit in expected}
        assert {hit.id: hit.score for hit in found} == pytest.approx(scores, rel=1e-6)


def test_a_page_behind_the_last_hit_is_empty(index: Index, collection: Collection) -> None:
    few = {"terms": {"_id": ["d0", "d1", "d2"]}}
    for fusion in (Rrf(), Rrf(weights=(1, 3)), WeightedSum(normalize="minmax")):
        search = {"legs": legs(collection), "fusion": fusion, "filter": few}
        assert len(index.store.search(QUERIES[0], limit=5, **search)) == 3
        assert index.store.search(QUERIES[0], limit=5, offset=10, **search) == ()


def test_hits_carry_their_legs(index: Index, collection: Collection) -> None:
    windows = collection.windows(QUERIES[0])
    expected = {hit.id: hit.legs for hit in fuse(Rrf(), windows)}
    hits = index.store.search(QUERIES[0], legs=legs(collection), limit=WINDOW, with_legs=True)
    for hit in hits:
        assert {name: leg.rank for name, leg in hit.legs.items()} == {
            name: leg.rank for name, leg in expected[hit.id].items()
        }


def test_the_server_path_is_refused_where_it_would_mean_something_else(
    index: Index, collection: Collection
) -> None:
    search = {"legs": legs(collection), "path": "server"}
    with pytest.raises(NotSupported, match=r"0\.001 instead of 0"):
        index.store.plan("coffee", fusion=WeightedSum(normalize="minmax"), **search)
    if index.shards > 1:
        with pytest.raises(
            NotSupported, match="window applies to each shard, and the index has 3 shards"
        ):
            index.store.plan("coffee", fusion=Rrf(), **search)
    else:
        assert index.store.plan("coffee", fusion=Rrf(), **search).path == "hybrid query"


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        ([1.0] * 3, "has 3 dimensions, but 'dense' of .* has 8"),
        ([float("nan")] * DIMENSIONS, "empty or contains NaN"),
    ],
)
def test_dense_vectors_that_are_refused(index: Index, vector: list[float], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        index.store.search("coffee", dense=vector)


def test_a_query_without_terms_leaves_the_dense_leg(index: Index, collection: Collection) -> None:
    for fusion in (Rrf(), Rrf(weights=(3, 2)), DistributionBased()):
        hits = index.store.search("", legs=legs(collection), fusion=fusion, limit=WINDOW)
        assert any("the sparse leg is omitted" in warning for warning in hits.plan.warnings)
        assert [hit.id for hit in hits] == list(collection.windows("")[1].ids)


async def test_awaited(index: Index, collection: Collection) -> None:
    async with await aconnect(index.target, encoder=collection.encoder) as store:
        for fusion in (Rrf(weights=(2, 1)), WeightedSum(normalize="minmax")):
            hits = await store.search(
                QUERIES[0], legs=legs(collection), fusion=fusion, limit=WINDOW
            )
            assert_equal(hits, fusion, collection.windows(QUERIES[0]), WINDOW)


def test_scores_of_another_similarity_are_not_added_up(
    opensearch_url: str, collection: Collection
) -> None:
    """Euclidean ones, here: ranks are welcome, scores only from the exact search."""
    url = opensearch_url.rstrip("/")
    name = f"splade-hybrid-{uuid.uuid4().hex}"
    method = {"name": "hnsw", "engine": "lucene", "space_type": "l2"}
    dense = {"type": "knn_vector", "dimension": 2, "method": method}
    body = {"settings": {"index.knn": True}, "mappings": {"properties": {"dense": dense}}}
    httpx.put(f"{url}/{name}", json=body, trust_env=False).raise_for_status()
    try:
        with connect(
            f"{url.replace('http', 'opensearch', 1)}/{name}", encoder=collection.encoder
        ) as store:
            store.index([Document(id="a", text="coffee", dense=[3.0, 4.0])])
            approximate, exact = (
                [SparseLeg(), DenseLeg(vector=[1.0, 0.0], exact=exact)] for exact in (False, True)
            )
            with pytest.raises(ConfigurationError, match=r"are not \(1 \+ cosine\) / 2"):
                store.search("coffee", legs=approximate, fusion=WeightedSum())
            assert store.search("coffee", legs=approximate, fusion=Rrf())[0].id == "a"
            (hit,) = store.search("coffee", legs=exact, fusion=WeightedSum(weights=(0, 1)))
            assert hit.score == pytest.approx(0.8)
    finally:
        httpx.delete(f"{url}/{name}", trust_env=False)
