"""Hybrid searches mean the same on every store: equal to the numpy reference, on all rows.

The reference is computed from the stored sparse weights and from dense vectors that are compared
exactly; the windows are cut by it, not by the store.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from splade_connectors import Document, SparseBatch, SparseEncoder, Store, connect
from splade_connectors.errors import ConfigurationError, NotSupported, RequestRejected
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
from splade_connectors.precision import Precision
from splade_connectors.testing import exact_scores

ROOT = Path(__file__).parents[2]
DIMENSIONS = 16
WINDOW = 100
LIMIT = 100
WEIGHTS = [None, (1, 1), (2, 1), (0.3, 0.7), (1, 20), (5, 0.1)]
QUERIES = ["coffee keeps me awake", "why does dough rise", "saving money for emergencies"]


def fusions(weights: tuple[float, float] | None) -> list[Fusion]:
    return [
        Rrf(weights=weights),
        Rrf(k=10, weights=weights),
        WeightedSum(weights=weights),
        WeightedSum(weights=weights, scale=(21.5, 0.8)),
        WeightedSum(weights=weights, normalize="minmax"),
        WeightedSum(weights=weights, normalize="theoretical-minmax"),
        DistributionBased(weights=weights),
    ]


@dataclass(frozen=True)
class Collection:
    documents: list[Document]
    sparse: SparseBatch
    dense: np.ndarray
    encoder: SparseEncoder

    def windows(
        self, query: str, vector: list[float], precision: Precision, rows: list[int] | None = None
    ) -> list[LegRanking]:
        """The two legs' windows, computed exactly."""
        rows = list(range(len(self.documents))) if rows is None else rows
        ids = [self.documents[row].id for row in rows]
        encoded = self.encoder.encode_queries([query])[0]
        sparse = exact_scores(encoded, self.sparse, precision)[rows]
        query_vector = np.array(vector) / np.linalg.norm(vector)
        unit = self.dense / np.linalg.norm(self.dense, axis=1, keepdims=True)
        dense = ((1 + unit @ query_vector) / 2)[rows]
        return [self.window("sparse", ids, sparse), self.window("dense", ids, dense)]

    @staticmethod
    def window(name: str, ids: list[object], scores: np.ndarray) -> LegRanking:
        found = [(id, float(score)) for id, score in zip(ids, scores, strict=True) if score > 0]
        whole = leg_ranking(name, [id for id, _ in found], [score for _, score in found])  # type: ignore[misc]
        return LegRanking(name=name, ids=whole.ids[:WINDOW], scores=whole.scores[:WINDOW])


@pytest.fixture(scope="module")
def collection(encoder: SparseEncoder) -> Collection:
    with (ROOT / "splade_connectors/sample/corpus.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    dense = np.random.default_rng(7).normal(size=(len(rows), DIMENSIONS)).astype(np.float32)
    texts = [f"{row['title']} {row['text']}" for row in rows]
    documents = [
        Document(
            id=row["_id"],
            text=text,
            payload={"part": "even" if at % 2 == 0 else "odd"},
            dense=vector.tolist(),
        )
        for at, (row, text, vector) in enumerate(zip(rows, texts, dense, strict=True))
    ]
    return Collection(documents, encoder.encode_documents(texts), dense.astype(float), encoder)


@dataclass(frozen=True)
class Place:
    store: Store
    precision: Precision
    filter: object
    exact_dense: bool
    fuses: bool


def _edge(request: pytest.FixtureRequest, encoder: SparseEncoder) -> Place:
    folder = request.getfixturevalue("tmp_path_factory").mktemp("hybrid") / "shard"
    condition = {"must": [{"key": "part", "match": {"value": "odd"}}]}
    store = connect(f"edge:{folder}", encoder=encoder)
    return Place(store, "float32", condition, exact_dense=True, fuses=True)


def _elasticsearch(shards: int) -> Callable[[pytest.FixtureRequest, SparseEncoder], Place]:
    def place(request: pytest.FixtureRequest, encoder: SparseEncoder) -> Place:
        from elasticsearch import Elasticsearch

        url = request.getfixturevalue("elasticsearch_url")
        name = f"splade-hybrid-{uuid.uuid4().hex}"
        # Unquantized vectors, compared exactly: what is tested here is fusion, not the graph.
        dense = {
            "type": "dense_vector",
            "dims": DIMENSIONS,
            "similarity": "cosine",
            "index_options": {"type": "flat"},
        }
        with Elasticsearch(url) as client:
            client.indices.create(
                index=name,
                settings={"number_of_shards": shards, "number_of_replicas": 0},
                mappings={"properties": {"dense": dense}},
            )
        target = f"elasticsearch://{url.removeprefix('http://').rstrip('/')}/{name}"
        store = connect(target, encoder=encoder)
        condition = {"term": {"part.keyword": "odd"}}
        return Place(store, "lucene", condition, exact_dense=False, fuses=False)

    return place


PLACES = {
    "edge": _edge,
    "elasticsearch-1-shard": _elasticsearch(1),
    "elasticsearch-3-shards": _elasticsearch(3),
}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=[] if name == "edge" else pytest.mark.servers) for name in PLACES
    ],
)
def place(
    request: pytest.FixtureRequest, collection: Collection, encoder: SparseEncoder
) -> Iterator[Place]:
    place = PLACES[request.param](request, encoder)
    with place.store as store:
        report = store.index(collection.documents)
        assert report.rejected == []
        yield place


@pytest.fixture
def vector() -> list[float]:
    return np.random.default_rng(11).normal(size=DIMENSIONS).tolist()  # type: ignore[no-any-return]


def legs(place: Place, vector: list[float], window: int = WINDOW) -> list[SparseLeg | DenseLeg]:
    return [
        SparseLeg(candidates=window),
        DenseLeg(vector=vector, candidates=window, exact=place.exact_dense),
    ]


def assert_equal(
    found: list[tuple[object, float]], fusion: Fusion, windows: list[LegRanking], limit: int
) -> None:
    """Scores within 1e-5 row by row; the order is free only inside ties of 1e-6."""
    # The scores of reciprocal ranks are small: there the tolerance is relative.
    absolute = 1e-9 if isinstance(fusion, Rrf) else 1e-5
    expected = fuse(fusion, windows)
    scores = {hit.id: hit.score for hit in expected}
    assert len(found) == min(limit, len(expected))
    assert len({id for id, _ in found}) == len(found)
    for (id, score), best in zip(found, expected[:limit], strict=True):
        assert score == pytest.approx(scores[id], rel=1e-5, abs=absolute)
        assert scores[id] == pytest.approx(best.score, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("weights", WEIGHTS, ids=str)
@pytest.mark.parametrize("path", ["auto", "client"])
def test_every_fusion_equals_the_reference(
    place: Place,
    collection: Collection,
    vector: list[float],
    weights: tuple[float, float] | None,
    path: str,
) -> None:
    for query in QUERIES:
        windows = collection.windows(query, vector, place.precision)
        for fusion in fusions(weights):
            hits = place.store.search(
                query,
                legs=legs(place, vector),
                fusion=fusion,
                limit=LIMIT,
                with_payload=False,
                path=path,  # type: ignore[arg-type]
            )
            assert_equal([(hit.id, hit.score) for hit in hits], fusion, windows, LIMIT)


def test_the_server_fuses_where_it_can(place: Place, vector: list[float]) -> None:
    both = legs(place, vector)
    for fusion in (Rrf(), Rrf(weights=(2, 1)), WeightedSum(), DistributionBased(weights=(1, 2))):
        plan = place.store.plan("dough", legs=both, fusion=fusion)
        assert plan.fused_by == ("server" if place.fuses else "client")
        assert bool(plan.not_taken) != place.fuses
    plan = place.store.plan("dough", legs=both, fusion=WeightedSum(normalize="minmax"))
    assert plan.fused_by == "client"


def test_asking_for_the_server_refuses_instead_of_falling_back(
    place: Place, vector: list[float]
) -> None:
    fusion = WeightedSum(normalize="minmax")
    with pytest.raises(NotSupported, match="one request"):
        place.store.search("dough", legs=legs(place, vector), fusion=fusion, path="server")


def test_pages_put_together_are_one_page(place: Place, vector: list[float]) -> None:
    both = legs(place, vector, 200)
    for fusion in (Rrf(weights=(2, 1)), WeightedSum(normalize="minmax")):
        arguments = {"legs": both, "fusion": fusion, "with_payload": False}
        whole = place.store.search(QUERIES[0], limit=200, **arguments)  # type: ignore[arg-type]
        pages = [
            hit
            for offset in range(0, 200, 10)
            for hit in place.store.search(QUERIES[0], limit=10, offset=offset, **arguments)  # type: ignore[arg-type]
        ]
        assert [hit.id for hit in pages] == [hit.id for hit in whole]


@pytest.mark.parametrize("path", ["auto", "client"])
def test_a_filter_goes_into_every_leg(
    place: Place, collection: Collection, vector: list[float], path: str
) -> None:
    odd = [
        at for at, document in enumerate(collection.documents) if document.payload["part"] == "odd"
    ]
    windows = collection.windows(QUERIES[0], vector, place.precision, odd)
    hits = place.store.search(
        QUERIES[0],
        legs=legs(place, vector),
        filter=place.filter,
        limit=LIMIT,
        path=path,  # type: ignore[arg-type]
    )
    assert {hit.payload["part"] for hit in hits} == {"odd"}
    assert_equal([(hit.id, hit.score) for hit in hits], Rrf(), windows, LIMIT)


def test_legs_can_be_had_where_the_server_fuses(
    place: Place, collection: Collection, vector: list[float]
) -> None:
    hits = place.store.search(QUERIES[0], legs=legs(place, vector), limit=20, with_legs=True)
    for hit in hits:
        total = sum(1 / (60 + place.rank) for place in hit.legs.values())
        assert hit.score == pytest.approx(total, rel=1e-5)


def test_dense_is_short_for_two_legs(place: Place, vector: list[float]) -> None:
    short = place.store.search("dough", dense=vector, limit=5, path="client")
    long = place.store.search(
        "dough", legs=[SparseLeg(), DenseLeg(vector=vector)], limit=5, path="client"
    )
    assert [hit.id for hit in short] == [hit.id for hit in long]
    assert short[0].payload["text"]


def test_an_empty_query_leaves_the_other_legs(place: Place, vector: list[float]) -> None:
    hits = place.store.search(" ", legs=legs(place, vector), fusion=Rrf(weights=(5, 1)), limit=3)
    assert len(hits) == 3
    assert hits[0].score == pytest.approx(1 / 61)
    assert any("left out" in warning for warning in hits.plan.warnings)


def test_what_is_refused(place: Place, vector: list[float]) -> None:
    search = place.store.search
    with pytest.raises(ConfigurationError, match="3 dimensions"):
        search("dough", dense=[1.0, 2.0, 3.0])
    with pytest.raises(ConfigurationError, match="NaN"):
        search("dough", dense=[float("nan")] * DIMENSIONS)
    with pytest.raises(ConfigurationError, match="no dense"):
        search("dough", legs=[DenseLeg(vector=vector, field="nowhere")])
    with pytest.raises(ConfigurationError, match="3 weights for 2 legs"):
        search("dough", dense=vector, fusion=Rrf(weights=(1, 2, 3)))
    with pytest.raises(ConfigurationError, match="raise candidates to at least 250"):
        search("dough", dense=vector, limit=50, offset=200)
    with pytest.raises(ConfigurationError, match="path must be"):
        search("dough", dense=vector, path="fastest")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="filter"):
        search("dough", dense=vector, filter=["part"])


@pytest.mark.servers
def test_sparse_and_text_on_rank_features(
    rank_features_url: str, collection: Collection, encoder: SparseEncoder
) -> None:
    address = rank_features_url.removeprefix("http://").rstrip("/")
    name = f"splade-hybrid-{uuid.uuid4().hex}"
    with connect(f"elasticsearch://{address}/{name}", encoder=encoder) as store:
        store.index(
            Document(id=document.id, text=document.text) for document in collection.documents
        )
        both = [SparseLeg(candidates=WINDOW), TextLeg(candidates=WINDOW)]
        for query in QUERIES:
            alone = store.search(query, legs=[TextLeg(candidates=WINDOW)], limit=WINDOW)
            text = [alone[at].legs["text"].score for at in range(len(alone))]
            windows = [
                collection.windows(query, [1.0] * DIMENSIONS, "lucene")[0],
                leg_ranking("text", [hit.id for hit in alone], text),
            ]
            for fusion in (Rrf(weights=(2, 1)), WeightedSum(weights=(1, 2)), DistributionBased()):
                hits = store.search(query, legs=both, fusion=fusion, limit=LIMIT)
                assert_equal([(hit.id, hit.score) for hit in hits], fusion, windows, LIMIT)
        with pytest.raises(ConfigurationError, match="no dense"):
            store.search("dough", dense=[1.0])


def test_a_text_leg_on_qdrant_is_a_sparse_vector_with_idf(
    tmp_path: Path, collection: Collection, encoder: SparseEncoder, vector: list[float]
) -> None:
    path = tmp_path / "shard"
    with connect(f"edge:{path}", encoder=encoder) as store:
        store.index(collection.documents)
        with pytest.raises(ConfigurationError, match=r"IDF modifier on Qdrant; .* has none"):
            store.search("dough", legs=[SparseLeg(), TextLeg(fields=("bm25",))])
    _add_bm25(path, collection)
    with connect(f"edge:{path}", encoder=encoder) as store:
        three = [*legs(Place(store, "float32", None, True, True), vector), text_leg()]
        for query in QUERIES:
            alone = store.search(query, legs=[text_leg()], limit=WINDOW, path="client")
            text = leg_ranking(
                "text", [hit.id for hit in alone], [hit.legs["text"].score for hit in alone]
            )
            windows = [*collection.windows(query, vector, "float32"), text]
            # BM25 has ties inside the leg, whose ranks the server chooses: no ranks are compared.
            for fusion in (WeightedSum(weights=(2, 1, 0.5)), DistributionBased()):
                hits = store.search(query, legs=three, fusion=fusion, limit=LIMIT)
                assert hits.plan.fused_by == "server"
                assert_equal([(hit.id, hit.score) for hit in hits], fusion, windows, LIMIT)


def text_leg() -> TextLeg:
    return TextLeg(fields=("bm25",), candidates=WINDOW)


def _add_bm25(path: Path, collection: Collection) -> None:
    """What an owner who already has BM25 in Qdrant has: a second sparse vector, with IDF."""
    import qdrant_edge as engine

    from splade_connectors.documents import point_id

    shard = engine.EdgeShard.load(str(path))
    operations = engine.UpdateOperation
    shard.update(operations.create_sparse_vector("bm25", engine.Modifier.Idf))
    model = engine.Bm25()
    shard.update(
        operations.update_vectors(
            [
                engine.PointVectors(
                    point_id(document.id), {"bm25": model.embed_document(document.text)}
                )
                for document in collection.documents
            ]
        )
    )
    shard.close()


@pytest.mark.servers
def test_a_sum_without_windows_is_one_request_on_a_basic_licence(
    elasticsearch_url: str, collection: Collection, encoder: SparseEncoder, vector: list[float]
) -> None:
    place = _elasticsearch_one(elasticsearch_url, encoder)
    with place as store:
        store.index(collection.documents)
        both = [SparseLeg(candidates=None), DenseLeg(vector=vector, candidates=WINDOW)]
        for weights in [(1.0, 1.0), (0.3, 0.7), (1.0, 20.0), (0.0, 1.0), (1.0, 0.0)]:
            fusion = WeightedSum(weights=weights, scale=(20, 1))
            hits = store.search(QUERIES[0], legs=both, fusion=fusion, limit=LIMIT)
            assert hits.plan.path == "bool with knn"
            sparse, dense = _unbounded(collection, QUERIES[0], vector)
            found = [(hit.id, hit.score) for hit in hits]
            assert_equal(found, fusion, [sparse, dense], LIMIT)


@pytest.mark.servers
def test_a_refused_retriever_gives_way_to_the_next_path_once(
    elasticsearch_url: str, collection: Collection, encoder: SparseEncoder, vector: list[float]
) -> None:
    with _elasticsearch_one(elasticsearch_url, encoder) as store:
        store.index(collection.documents)
        fused = store.search(QUERIES[0], dense=vector)
        # What a licence would be that has expired: it is named, and its retriever is refused.
        store._verbs.backend._license = "trial"  # type: ignore[attr-defined]
        assert store.plan(QUERIES[0], dense=vector).path == "rrf retriever"
        with pytest.raises(RequestRejected, match="retriever"):
            store.search(QUERIES[0], dense=vector, path="server")
        hits = store.search(QUERIES[0], dense=vector)
        assert hits == fused
        assert hits.plan.fused_by == "client"
        assert store.plan(QUERIES[0], dense=vector).fused_by == "client"


def _elasticsearch_one(url: str, encoder: SparseEncoder) -> Store:
    from elasticsearch import Elasticsearch

    name = f"splade-hybrid-{uuid.uuid4().hex}"
    dense = {
        "type": "dense_vector",
        "dims": DIMENSIONS,
        "similarity": "cosine",
        "index_options": {"type": "flat"},
    }
    with Elasticsearch(url) as client:
        client.indices.create(index=name, mappings={"properties": {"dense": dense}})
    return connect(
        f"elasticsearch://{url.removeprefix('http://').rstrip('/')}/{name}", encoder=encoder
    )


def _unbounded(
    collection: Collection, query: str, vector: list[float]
) -> tuple[LegRanking, LegRanking]:
    encoded = collection.encoder.encode_queries([query])[0]
    scores = exact_scores(encoded, collection.sparse, "lucene")
    ids = [document.id for document in collection.documents]
    found = [(id, float(score)) for id, score in zip(ids, scores, strict=True) if score > 0]
    sparse = leg_ranking("sparse", [id for id, _ in found], [score for _, score in found])
    return sparse, collection.windows(query, vector, "lucene")[1]


def test_a_fused_score_is_explained(place: Place, vector: list[float]) -> None:
    both = legs(place, vector)
    for fusion in (Rrf(weights=(2, 1)), WeightedSum(weights=(1, 10)), DistributionBased()):
        hits = place.store.search(QUERIES[0], legs=both, fusion=fusion, limit=20)
        for hit in hits:
            why = place.store.explain_hybrid(QUERIES[0], hit.id, legs=both, fusion=fusion)
            assert why.score == pytest.approx(hit.score, rel=1e-5)
            assert [part.leg for part in why.legs] == ["sparse", "dense"]
            assert sum(part.contribution for part in why.legs) == pytest.approx(why.score)
            assert why.sparse is not None
            if why.legs[0].score is not None:
                assert why.sparse.score == pytest.approx(why.legs[0].score, rel=1e-5)
