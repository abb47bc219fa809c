"""The main job on a real collection: SciFact into every store, exact scores, known quality."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from splade_connectors import Document, SparseBatch, SparseEncoder, Store, connect
from splade_connectors.backends.rounding import Rounding
from splade_connectors.evaluate import Judged, evaluate, read_beir
from splade_connectors.testing import assert_same_ranking, exact_scores
from splade_connectors.testing.oracle import stored_batch

pytestmark = pytest.mark.scifact

# sentence-transformers in fp32 with this model: 256 tokens, title and text, exact dot product.
NDCG, RECALL = 0.6436, 0.893
DEPTH = 100

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Collection:
    documents: list[Document]
    vectors: SparseBatch
    judged: Judged

    @property
    def ids(self) -> list[str]:
        return [str(document.id) for document in self.documents]


@pytest.fixture(scope="module")
def collection(scifact: Path, encoder: SparseEncoder) -> Collection:
    """Encoded once for all stores: that is the long part."""
    with (scifact / "corpus.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    texts = [f"{row['title']} {row['text']}" for row in rows]
    vectors = encoder.encode_documents(texts)
    documents = [
        Document(id=row["_id"], text=text, payload={"title": row["title"]}, vector=vector)
        for row, text, vector in zip(rows, texts, vectors, strict=True)
    ]
    return Collection(documents, vectors, read_beir(scifact))


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


@pytest.fixture(scope="module", params=STORES)
def filled(
    request: pytest.FixtureRequest,
    collection: Collection,
    encoder: SparseEncoder,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Store, Rounding]]:
    target, rounding = STORES[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    with connect(target(folder, request), encoder=encoder) as store:
        report = store.index(collection.documents)
        assert (report.written, report.rejected_count) == (len(collection.documents), 0)
        yield store, rounding


@pytest.mark.servers
def test_every_hit_has_the_exact_score(
    filled: tuple[Store, Rounding], collection: Collection, encoder: SparseEncoder
) -> None:
    store, rounding = filled
    ids, losses = collection.ids, []
    rounded = stored_batch(collection.vectors, rounding)
    for text in collection.judged.queries.values():
        query = encoder.encode_queries([text])[0]
        exact = exact_scores(query, rounded)
        hits = store.search(query, limit=DEPTH, with_payload=False)
        assert_same_ranking(
            [(hit.id, hit.score) for hit in hits],
            dict(zip(ids, exact.tolist(), strict=True)),
            limit=DEPTH,
        )
        unrounded = exact_scores(query, collection.vectors)
        best = np.argsort(-unrounded)[:DEPTH]
        losses.append(np.abs(exact[best] - unrounded[best]).max() / unrounded[best].max())
    # Apart from exactness: what rounding to 9 bits costs. Half a unit in the ninth bit at most.
    log.info("largest loss by rounding: %.2e of the score", max(losses))
    assert max(losses) <= 1 / 512


@pytest.mark.servers
def test_the_quality_is_the_models(filled: tuple[Store, Rounding], collection: Collection) -> None:
    found = evaluate(filled[0], collection.judged)
    assert found.queries == 300
    assert found.measures["nDCG@10"] == pytest.approx(NDCG, abs=0.003)
    assert found.measures["recall@100"] == pytest.approx(RECALL, abs=0.005)
    assert found.missing_documents == 0
