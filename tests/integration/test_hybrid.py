"""Hybrid searches on every store: paths, filters, legs, explanations, and what is refused.

That all fusions mean the same is held by test_hybrid_equality.py, on a larger collection; here
every one is compared once with the numpy reference, over the sample passages.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from splade_connectors import SparseEncoder, connect
from splade_connectors.errors import ConfigurationError, NotSupported, RequestRejected
from splade_connectors.fusion import (
    DenseLeg,
    DistributionBased,
    Fusion,
    Rrf,
    SparseLeg,
    TextLeg,
    WeightedSum,
)
from splade_connectors.fusion.legs import Leg
from splade_connectors.testing import assert_same_fusion, exact_window
from splade_connectors.testing.requests import counted
from tests.integration import hybrid_places
from tests.integration.hybrid_comparison import (
    DEPTH,
    SAMPLE,
    Collection,
    Exact,
    compare,
    split,
)
from tests.integration.hybrid_places import Place, place_params, requested_place

DIMENSIONS = 16
WINDOW = 100
QUERY = "why does dough rise"


@pytest.fixture(scope="module")
def collection(encoder: SparseEncoder) -> Collection:
    return Collection.encoded(SAMPLE, encoder, [QUERY], dimensions=DIMENSIONS)


@pytest.fixture(scope="module")
def vector(collection: Collection) -> list[float]:
    return collection.query_vectors[QUERY]


@pytest.fixture(
    scope="module",
    params=[param for param in place_params() if param.id != "elasticsearch-7.17.29"],
)
def place(
    request: pytest.FixtureRequest, collection: Collection, encoder: SparseEncoder
) -> Iterator[Place]:
    with requested_place(request, encoder, DIMENSIONS) as place:
        collection.fill(place)
        yield place


def legs(place: Place, vector: list[float]) -> list[Leg]:
    return [
        SparseLeg(candidates=WINDOW),
        DenseLeg(vector=vector, candidates=WINDOW, exact=place.exact),
    ]


@pytest.mark.parametrize("fusion", [Rrf(), WeightedSum(scale=(21.5, 0.8))])
def test_a_warm_hybrid_search_is_one_request_and_one_for_its_page(
    place: Place, vector: list[float], fusion: Fusion
) -> None:
    place.store.search(QUERY, legs=legs(place, vector), fusion=fusion)
    with counted(place.store) as sent:
        found = place.store.search(QUERY, legs=legs(place, vector), fusion=fusion)
        without = place.store.search(
            QUERY, legs=legs(place, vector), fusion=fusion, with_payload=False
        )
    assert len(found) == len(without) == 10
    assert len(sent.purposes) <= 2 + 1, sent
    assert sent.writes == []


@pytest.mark.parametrize("path", ["auto", "client"])
def test_every_fusion_equals_the_reference(
    place: Place, collection: Collection, encoder: SparseEncoder, path: Literal["auto", "client"]
) -> None:
    search = split(place, Exact(collection, encoder, place), collection, WINDOW)
    found = compare(place, [search], [QUERY], sent_whole=1, path=path)
    assert found.wrong == []


def test_the_server_fuses_where_it_can(place: Place, vector: list[float]) -> None:
    both = legs(place, vector)
    for fusion in (Rrf(), Rrf(weights=(2, 1)), WeightedSum(), DistributionBased(weights=(1, 2))):
        plan = place.store.plan("dough", legs=both, fusion=fusion)
        fuses = isinstance(fusion, place.fuses)
        assert plan.fused_by == ("server" if fuses else "client")
        assert bool(plan.not_taken) != fuses
    plan = place.store.plan("dough", legs=both, fusion=WeightedSum(normalize="minmax"))
    assert plan.fused_by == "client"


def test_asking_for_the_server_refuses_instead_of_falling_back(
    place: Place, vector: list[float]
) -> None:
    fusion = WeightedSum(normalize="minmax")
    with pytest.raises(NotSupported, match="one request"):
        place.store.search("dough", legs=legs(place, vector), fusion=fusion, path="server")


@pytest.mark.parametrize("path", ["auto", "client"])
def test_a_filter_goes_into_every_leg(
    place: Place,
    collection: Collection,
    encoder: SparseEncoder,
    vector: list[float],
    path: Literal["auto", "client"],
) -> None:
    odd = range(1, len(collection.documents), 2)
    exact = Exact(collection, encoder, place, odd)
    hits = place.store.search(
        QUERY, legs=legs(place, vector), filter=place.odd, limit=DEPTH, path=path
    )
    assert {hit.payload["part"] for hit in hits} == {"odd"}
    windows = [exact.sparse(QUERY, WINDOW), exact.dense(QUERY, WINDOW)]
    assert_same_fusion([(hit.id, hit.score) for hit in hits], Rrf(), windows, DEPTH)


def test_legs_can_be_had_where_the_server_fuses(
    place: Place, collection: Collection, vector: list[float]
) -> None:
    hits = place.store.search(QUERY, legs=legs(place, vector), limit=20, with_legs=True)
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
    assert any("omitted" in warning for warning in hits.plan.warnings)


def test_what_is_refused(place: Place, vector: list[float]) -> None:
    search = place.store.search
    with pytest.raises(ConfigurationError, match="3 dimensions"):
        search("dough", dense=[1.0, 2.0, 3.0])
    with pytest.raises(ConfigurationError, match="NaN"):
        search("dough", dense=[float("nan")] * DIMENSIONS)
    with pytest.raises(ConfigurationError, match=r"all zeros, but .* compares directions"):
        search("dough", dense=[0.0] * DIMENSIONS)
    with pytest.raises(ConfigurationError, match=r"legs must not be empty"):
        search("dough", legs=[])
    with pytest.raises(ConfigurationError, match=r"no (dense|knn).*'nowhere'"):
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
def test_no_dense_leg_without_a_dense_field(
    rank_features_url: str, collection: Collection, encoder: SparseEncoder
) -> None:
    name = "elasticsearch-7.17.29"
    with hybrid_places.elasticsearch(rank_features_url, encoder, name=name) as place:
        collection.fill(place)
        with pytest.raises(ConfigurationError, match="no dense"):
            place.store.search("dough", dense=[1.0])


def test_a_text_leg_on_qdrant_is_a_sparse_vector_with_idf(
    tmp_path: Path, collection: Collection, encoder: SparseEncoder, vector: list[float]
) -> None:
    path = tmp_path / "shard"
    with connect(f"edge:{path}", encoder=encoder) as store:
        store.index(collection.documents)
        with pytest.raises(ConfigurationError, match=r"bm25 creates one; .* IDF .*: none"):
            store.search("dough", legs=[SparseLeg(), TextLeg(fields=("bm25",))])
    _add_bm25(path, collection)
    with hybrid_places.edge(path, encoder) as place:
        exact = Exact(collection, encoder, place)
        three = [*legs(place, vector), text_leg()]
        (text,) = place.store.windows(QUERY, legs=[text_leg(len(collection.documents))])
        windows = [
            exact.sparse(QUERY, WINDOW),
            exact.dense(QUERY, WINDOW),
            exact_window("text", list(text.ids), text.scores, WINDOW),
        ]
        for fusion in (
            Rrf(weights=(1, 2, 3)),
            WeightedSum(weights=(2, 1, 0.5)),
            DistributionBased(),
        ):
            hits = place.store.search(QUERY, legs=three, fusion=fusion, limit=DEPTH)
            assert hits.plan.fused_by == "server"
            assert_same_fusion([(hit.id, hit.score) for hit in hits], fusion, windows, DEPTH)


def text_leg(candidates: int = WINDOW) -> TextLeg:
    return TextLeg(fields=("bm25",), candidates=candidates)


def _add_bm25(path: Path, collection: Collection) -> None:
    """What an owner who already has BM25 in Qdrant has: a second sparse vector, with IDF."""
    import qdrant_edge as engine

    from splade_qdrant.documents import point_id

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
def test_a_refused_retriever_gives_way_to_the_next_path_once(
    elasticsearch_url: str, collection: Collection, encoder: SparseEncoder, vector: list[float]
) -> None:
    with hybrid_places.elasticsearch(
        elasticsearch_url, encoder, name="elasticsearch-9.3.2, 1 shard", dimensions=DIMENSIONS
    ) as place:
        collection.fill(place)
        store = place.store
        fused = store.search(QUERY, dense=vector)
        # What a licence would be that has expired: it is named, and its retriever is refused.
        store._session.backend.hybrid.fusing.license = "trial"  # type: ignore[union-attr]
        assert store.plan(QUERY, dense=vector).path == "rrf retriever"
        with pytest.raises(RequestRejected, match="retriever"):
            store.search(QUERY, dense=vector, path="server")
        hits = store.search(QUERY, dense=vector)
        assert hits == fused
        assert hits.plan.fused_by == "client"
        assert store.plan(QUERY, dense=vector).fused_by == "client"


def test_a_fused_score_is_explained(place: Place, vector: list[float]) -> None:
    both = legs(place, vector)
    for fusion in (Rrf(weights=(2, 1)), WeightedSum(weights=(1, 10)), DistributionBased()):
        hits = place.store.search(QUERY, legs=both, fusion=fusion, limit=20)
        for hit in hits:
            why = place.store.explain_hybrid(QUERY, hit.id, legs=both, fusion=fusion)
            assert why.score == pytest.approx(hit.score, rel=1e-5)
            assert [part.leg for part in why.legs] == ["sparse", "dense"]
            assert sum(part.contribution for part in why.legs) == pytest.approx(why.score)
            assert why.sparse is not None
            if why.legs[0].score is not None:
                assert why.sparse.score == pytest.approx(why.legs[0].score, rel=1e-5)
