"""A fusion means the same at every place: every fusion and weight setting against numpy.

A share of benchmarks/hybrid_equality.py, which does this for 300 queries with a real dense model:
here a few queries, the first documents, and random dense vectors. Half of them are there three
times, so that there are ties in every leg, across the window's end and across the last hit.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from splade_connectors import SparseEncoder
from splade_connectors.evaluate import read_beir
from splade_connectors.fusion import fuse
from tests.integration.hybrid_comparison import (
    DEPTH,
    Collection,
    Exact,
    compare,
    searches,
    split,
)
from tests.integration.hybrid_places import (
    WEIGHTS,
    Place,
    fusions,
    place_params,
    requested_place,
    sums,
)

pytestmark = pytest.mark.scifact

DOCUMENTS, REPEATED, TIMES = 400, 200, 3


@pytest.fixture(scope="module")
def collection(scifact: Path, encoder: SparseEncoder) -> Collection:
    queries = list(read_beir(scifact).queries.values())[:3]
    return Collection.encoded(
        scifact / "corpus.jsonl", encoder, queries, most=DOCUMENTS, repeated=REPEATED, times=TIMES
    )


@pytest.fixture(scope="module", params=place_params())
def place(
    request: pytest.FixtureRequest, collection: Collection, encoder: SparseEncoder
) -> Iterator[Place]:
    with requested_place(request, encoder, dimensions=16) as place:
        collection.fill(place)
        yield place


def test_every_fusion_equals_the_reference(
    place: Place, collection: Collection, encoder: SparseEncoder
) -> None:
    texts = list(collection.query_vectors)
    whole = searches(place, Exact(collection, encoder, place), collection)
    found = compare(place, whole, texts, sent_whole=1)
    assert found.wrong == []
    assert found.largest <= 1e-5
    settings = len(texts) * len(WEIGHTS)
    unbounded = settings * len(sums(None)) if place.sums else 0
    assert found.rankings == settings * len(fusions(None)) + unbounded
    # By kind, as `Place.fuses` has it: normalized sums are the client's everywhere.
    plain = [fusion for fusion in fusions(None) if not getattr(fusion, "normalize", None)]
    on_server = sum(isinstance(fusion, place.fuses) for fusion in plain)
    assert found.by_server == settings * on_server + unbounded
    if place.fuses:
        # The same server, asked for the windows only.
        fused_here = compare(place, whole[:1], texts[:1], sent_whole=1, path="client")
        assert (fused_here.wrong, fused_here.by_server) == ([], 0)


def test_ties_cross_the_last_hit_and_the_end_of_windows(
    place: Place, collection: Collection, encoder: SparseEncoder
) -> None:
    """What the tests above are worth."""
    both = split(place, Exact(collection, encoder, place), collection)
    windows = [both.windows(text) for text in collection.query_vectors]
    assert any(window.is_free.any() for pair in windows for window in pair)
    rankings = [
        fuse(fusion, [window.cut() for window in pair])
        for pair in windows
        for fusion in fusions(None)
    ]
    assert any(hits[DEPTH - 1].score == hits[DEPTH].score for hits in rankings)
