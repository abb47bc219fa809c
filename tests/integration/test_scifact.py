"""The main job on a real collection: SciFact into every store, exact scores, known quality."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from splade_connectors import Document, SparseBatch, SparseEncoder, connect
from splade_connectors.backends.rounding import Rounding
from splade_connectors.evaluate import Evaluation, Judged, evaluate, read_beir
from splade_connectors.testing import assert_same_ranking, exact_scores
from splade_connectors.testing.oracle import stored_batch
from tests.kept import encoded

pytestmark = pytest.mark.scifact

# sentence-transformers in fp32 with this model: 256 tokens, title and text, exact dot product.
NDCG, RECALL = 0.6436, 0.893
DEPTH = 100

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Collection:
    documents: list[Document]
    vectors: SparseBatch
    judged: Judged
    queries: SparseBatch

    @property
    def ids(self) -> list[str]:
        return [str(document.id) for document in self.documents]

    @cache  # noqa: B019 -- there is one collection, and it lives as long as the tests
    def exact(self, rounding: Rounding) -> NDArray[np.float64]:
        """The scores of all documents for each query, over the weights that such a store holds."""
        stored = stored_batch(self.vectors, rounding)
        return np.array([exact_scores(query, stored) for query in self.queries])


@pytest.fixture(scope="module")
def collection(scifact: Path, encoder: SparseEncoder) -> Collection:
    """Encoded once for all stores, and for later runs of the same code: that is the long part."""
    with (scifact / "corpus.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    texts = [f"{row['title']} {row['text']}" for row in rows]
    vectors = encoded(encoder, "scifact", texts)
    documents = [
        Document(id=row["_id"], text=text, payload={"title": row["title"]}, vector=vector)
        for row, text, vector in zip(rows, texts, vectors, strict=True)
    ]
    judged = read_beir(scifact)
    queries = encoder.encode_queries(list(judged.queries.values()))
    return Collection(documents, vectors, judged, queries)


def _edge(tmp: Path, request: pytest.FixtureRequest) -> str:
    return f"edge:{tmp / 'shard'}"


def _sparse_vector(tmp: Path, request: pytest.FixtureRequest) -> str:
    return _elasticsearch(request.getfixturevalue("elasticsearch_url"), "sparse_vector")


def _rank_features(tmp: Path, request: pytest.FixtureRequest) -> str:
    return _elasticsearch(request.getfixturevalue("rank_features_url"), "rank_features")


def _elasticsearch(url: str, kind: str) -> str:
    address = url.removeprefix("http://").rstrip("/")
    return f"elasticsearch://{address}/splade-scifact-{uuid.uuid4().hex}?kind={kind}"


STORES: dict[str, tuple[Callable[[Path, pytest.FixtureRequest], str], Rounding]] = {
    "edge": (_edge, "float32"),
    "sparse_vector": (_sparse_vector, "lucene"),
    "rank_features": (_rank_features, "lucene"),
}


@dataclass(frozen=True)
class Searched:
    """A store in which every query was searched once.

    Attributes:
        run: query -> document -> score, best first.
        evaluation: what the rankings are worth.
        rounding: of the store.
    """

    run: dict[str, dict[str, float]]
    evaluation: Evaluation
    rounding: Rounding


@pytest.fixture(scope="module", params=STORES)
def searched(
    request: pytest.FixtureRequest,
    collection: Collection,
    encoder: SparseEncoder,
    tmp_path_factory: pytest.TempPathFactory,
) -> Searched:
    target, rounding = STORES[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    with connect(target(folder, request), encoder=encoder) as store:
        report = store.index(collection.documents)
        assert (report.written, report.rejected_count) == (len(collection.documents), 0)
        run: dict[str, dict[str, float]] = {}
        return Searched(run, evaluate(store, collection.judged, run=run), rounding)


@pytest.mark.servers
def test_every_hit_has_the_exact_score(searched: Searched, collection: Collection) -> None:
    ids, losses = collection.ids, []
    for id, exact, unrounded in zip(
        collection.judged.queries,
        collection.exact(searched.rounding),
        collection.exact("float32"),
        strict=True,
    ):
        assert_same_ranking(
            list(searched.run[id].items()),
            dict(zip(ids, exact.tolist(), strict=True)),
            limit=DEPTH,
        )
        best = np.argsort(-unrounded)[:DEPTH]
        losses.append(np.abs(exact[best] - unrounded[best]).max() / unrounded[best].max())
    # Apart from exactness: what rounding to 9 bits costs. Half a unit in the ninth bit at most.
    log.info("largest loss by rounding: %.2e of the score", max(losses))
    assert max(losses) <= 1 / 512


@pytest.mark.servers
def test_the_quality_is_the_models(searched: Searched) -> None:
    found = searched.evaluation
    assert found.queries == 300
    assert found.measures["nDCG@10"] == pytest.approx(NDCG, abs=0.003)
    assert found.measures["recall@100"] == pytest.approx(RECALL, abs=0.005)
    assert found.missing_documents == 0
