"""Pages of 10 put together are one page of 200, at every place and for every fusion.

Many documents are there twice, so that pages end within ties.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from qdrant_client import QdrantClient

from splade_connectors import SparseEncoder, connect
from splade_connectors.errors import ConfigurationError, NotSupported
from splade_connectors.fusion import DistributionBased, Fusion, Rrf, WeightedSum, format_fusion
from splade_connectors.testing import assert_same_fusion
from tests.integration.hybrid_comparison import (
    SAMPLE,
    WINDOW,
    Collection,
    Exact,
    Search,
    split,
    summed,
)
from tests.integration.hybrid_places import Place, place_params, requested_place

QUERY = "why does dough rise"
PAGE = 10
FUSIONS: list[Fusion] = [
    Rrf(weights=(2, 1)),
    WeightedSum(weights=(1, 10)),
    WeightedSum(normalize="minmax"),
    DistributionBased(),
]
# qdrant-client in memory, which is not a place where fusions are compared.
LOCAL = "qdrant-client, local"


@pytest.fixture(scope="module")
def collection(encoder: SparseEncoder) -> Collection:
    return Collection.encoded(SAMPLE, encoder, [QUERY], repeated=100)


@pytest.fixture(scope="module", params=[*place_params(), LOCAL])
def place(
    request: pytest.FixtureRequest, collection: Collection, encoder: SparseEncoder
) -> Iterator[Place]:
    if request.param == LOCAL:
        with closing(QdrantClient(":memory:")) as client:
            yield _local(client, collection, encoder)
        return
    with requested_place(request, encoder, dimensions=16) as place:
        collection.fill(place)
        yield place


def _local(client: QdrantClient, collection: Collection, encoder: SparseEncoder) -> Place:
    store = connect(client, "articles", encoder=encoder)
    fuses = (Rrf, WeightedSum, DistributionBased)
    place = Place(LOCAL, store, "articles", "float32", True, False, fuses, False, {})
    collection.fill(place)
    return place


def assert_pages_are_one(place: Place, search: Search, fusion: Fusion) -> None:
    legs = search.legs(QUERY)

    def page(limit: int, offset: int = 0) -> list[tuple[object, float]]:
        hits = place.store.search(
            QUERY, legs=legs, fusion=fusion, limit=limit, offset=offset, with_payload=False
        )
        return [(hit.id, hit.score) for hit in hits]

    whole = page(WINDOW)
    pages = [hit for offset in range(0, WINDOW, PAGE) for hit in page(PAGE, offset)]
    assert len(whole) == WINDOW
    assert [id for id, _ in pages] == [id for id, _ in whole]
    assert [score for _, score in pages] == pytest.approx([score for _, score in whole], rel=1e-6)
    assert_same_fusion(whole, fusion, search.windows(QUERY), WINDOW)  # type: ignore[arg-type]


@pytest.mark.parametrize("fusion", FUSIONS, ids=format_fusion)
def test_pages_put_together_are_one_page(
    place: Place, collection: Collection, encoder: SparseEncoder, fusion: Fusion
) -> None:
    search = split(place, Exact(collection, encoder, place), collection)
    assert_pages_are_one(place, search, fusion)


def test_pages_of_a_sum_without_windows_are_one_page(
    place: Place, collection: Collection, encoder: SparseEncoder
) -> None:
    exact = Exact(collection, encoder, place)
    search = summed(place, exact, collection)
    if place.sums:
        assert_pages_are_one(place, search, WeightedSum(weights=(1, 10)))
        return
    with pytest.raises(NotSupported, match="window"):
        place.store.search(QUERY, legs=search.legs(QUERY), fusion=WeightedSum())


def test_a_page_beyond_the_window_is_refused(
    place: Place, collection: Collection, encoder: SparseEncoder
) -> None:
    legs = split(place, Exact(collection, encoder, place), collection).legs(QUERY)
    with pytest.raises(ConfigurationError, match=f"raise candidates to at least {WINDOW + PAGE}"):
        place.store.search(QUERY, legs=legs, limit=PAGE, offset=WINDOW)
