"""Query weights that are made for a model: what they are, what they find, and what is written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from splade_connectors import (
    ConfigurationError,
    Document,
    SparseBatch,
    SparseEncoder,
    load_encoder,
)
from splade_connectors.encoders.base import EncodeStats
from splade_connectors.encoders.routes import IDF_FILE
from splade_connectors.encoders.spec import EncoderSpec
from splade_connectors.errors import ModelError
from splade_connectors.evaluate import Judged, read_beir
from splade_connectors.options import OnProgress, QueryWeightOptions
from splade_connectors.testing.memory import Collection as Stored
from splade_connectors.testing.memory import MemoryStore
from splade_connectors.train import make_query_weights
from splade_connectors.train.collection import Collection
from splade_connectors.train.loss import exact_search, measured
from splade_connectors.train.query_weights import ABOUT_FILE
from splade_connectors.train.regression import fit, tokens_of

SAMPLE = Path(__file__).parents[2] / "splade_connectors" / "sample"
ROWS = [json.loads(line) for line in (SAMPLE / "corpus.jsonl").read_text("utf-8").splitlines()]
IDS = [row["_id"] for row in ROWS]
TEXTS = [f"{row['title']} {row['text']}" for row in ROWS]
TERMS = 40


class Letters(SparseEncoder):
    """Terms are letters; a document's weights are fixed by a table, a query's by another."""

    def __init__(self, queries: np.ndarray[tuple[int], np.dtype[np.float32]]) -> None:
        self.queries = queries
        self.spec = EncoderSpec(
            model="letters", revision="1", tokenizer="2", vocabulary=TERMS, activation="log1p",
            max_length=64,
        )  # fmt: skip

    def encode_documents(
        self,
        texts: Sequence[str],
        *,
        stats: EncodeStats | None = None,
        on_progress: OnProgress | None = None,
    ) -> SparseBatch:
        rows = np.zeros((len(texts), TERMS), np.float32)
        for row, text in enumerate(texts):
            for at in self.own_terms(text):
                rows[row, at] = 1 + (at % 3)
                rows[row, (at + 1) % TERMS] += 0.2  # expansion
        return SparseBatch.from_dense(rows)

    def encode_queries(self, texts: Sequence[str]) -> SparseBatch:
        rows = np.zeros((len(texts), TERMS), np.float32)
        for row, text in enumerate(texts):
            own = list(self.own_terms(text))
            rows[row, own] = self.queries[own]
        return SparseBatch.from_dense(rows)

    def tokens(self, ids: object) -> list[str]:
        raise NotImplementedError

    def token_id(self, token: str) -> int | None:
        raise NotImplementedError

    def own_terms(self, text: str) -> set[int]:
        return {ord(letter) - ord("a") for letter in text if letter.isalpha()}


def some_texts(count: int, seed: int) -> list[str]:
    draw = np.random.default_rng(seed)
    return ["".join(chr(97 + at) for at in draw.integers(0, 24, 6)) for _ in range(count)]


def test_document_frequencies_are_counted_over_texts_with_words() -> None:
    collection = Collection(Letters(np.ones(TERMS, np.float32)), size=2)
    collection.read(["aab", "b", " ", "bc", ""])
    assert collection.texts == 3
    assert collection.frequencies[:4].tolist() == [1, 3, 1, 0]
    expected = [np.log(1 + (3 - n + 0.5) / (n + 0.5)) for n in (1, 3, 1, 0)]
    assert collection.idf()[:4].tolist() == pytest.approx(expected)
    assert (collection.idf() > 0).all()
    assert len(collection.sample) == 2
    assert set(collection.sample) < {"aab", "b", "bc"}


def test_every_text_is_as_likely_in_the_sample() -> None:
    encoder = Letters(np.ones(TERMS, np.float32))
    drawn = np.zeros(20)
    for seed in range(300):
        collection = Collection(encoder, size=5, seed=seed)
        collection.read([chr(97 + at) for at in range(20)])
        for text in collection.sample:
            drawn[ord(text) - 97] += 1
    # Binomial: 75 each, with a standard deviation of 7.5.
    assert drawn.sum() == 1500
    assert (abs(drawn - 75) < 30).all()


def test_weights_that_a_model_has_are_found_again() -> None:
    """Where a model's own queries are weights of their tokens, the fit comes close to these."""
    true = np.random.default_rng(1).uniform(0.5, 4, TERMS).astype(np.float32)
    encoder = Letters(true)
    prior = np.ones(TERMS)
    found = fit(encoder, prior, some_texts(3000, 2), some_texts(400, 3))
    seen = slice(0, 24)
    # The prior counts as much as 20 of the 700 occurrences of each.
    assert found[seen] == pytest.approx(true[seen], abs=0.25)
    error, of_prior = (np.abs(w[seen] - true[seen]).mean() for w in (found, prior))
    assert error < of_prior / 10
    # No query has the others: they keep the prior, in the scale of the scores.
    assert len(set(found[24:].tolist())) == 1
    assert found[-1] == pytest.approx(true[seen].mean(), rel=0.3)


def test_a_fit_without_tokens_is_the_prior() -> None:
    prior = np.arange(TERMS) + 1.0
    found = fit(Letters(np.ones(TERMS, np.float32)), prior, ["", "-"], ["abc", "d"])
    assert found.tolist() == prior.tolist()


def test_a_fitted_weight_is_never_below_zero() -> None:
    encoder = Letters(np.zeros(TERMS, np.float32))
    found = fit(encoder, np.ones(TERMS), some_texts(500, 2), some_texts(100, 3))
    assert (found >= 0).all()
    assert np.isfinite(found).all()


def test_tokens_of_texts_have_the_weight_1(encoder: SparseEncoder) -> None:
    batch = tokens_of(encoder, ["bread and bread", "", "heart"])
    assert [len(row) for row in batch] == [2, 0, 1]
    assert set(batch.values.tolist()) == {1.0}


def test_a_made_folder_is_read_and_fits_the_models_index(
    encoder: SparseEncoder, tmp_path: Path
) -> None:
    made = make_query_weights(None, encoder, TEXTS, tmp_path / "made")
    assert (made.method, made.texts, made.model) == ("idf", len(TEXTS), "splade-tiny")
    assert made.loss is None
    queries = load_encoder(tmp_path / "made")
    collection = Collection(encoder, 0)
    collection.read(TEXTS)
    vector = queries.encode_queries(["[CLS] Why does dough rise?"])[0]
    names = [queries.tokens([at])[0] for at in vector.indices.tolist()]
    assert sorted(names) == ["?", "does", "dough", "rise", "why"]
    assert vector.values == pytest.approx(collection.idf()[vector.indices], rel=1e-6)
    documents = Stored()
    store = MemoryStore(encoder, collection=documents)
    store.index([Document(id=str(at), text=text) for at, text in enumerate(TEXTS)])
    with_weights = MemoryStore(queries, collection=documents)
    best = store.search("why does dough rise")[0]
    assert with_weights.search("why does dough rise")[0].id == best.id
    with pytest.raises(
        ConfigurationError, match=r"made holds weights for queries only: to encode documents"
    ):
        queries.encode_documents(["bread"])
    with pytest.raises(ConfigurationError, match=r"these queries fit its index"):
        with_weights.index([Document(id="1", text="bread")])


def test_what_is_lost_is_measured_and_kept(encoder: SparseEncoder, tmp_path: Path) -> None:
    judged = read_beir(SAMPLE)
    vectors = encoder.encode_documents(TEXTS)
    search = exact_search(judged, IDS, vectors, encoder.spec.vocabulary)

    made = make_query_weights(
        None,
        encoder,
        TEXTS,
        tmp_path / "made",
        options=QueryWeightOptions(learn=True, sample=40),
        measure=lambda own, side: measured(judged, "sample", own, side, search),
    )
    assert (made.method, made.sample, made.queries) == ("learned", 40, 40)
    assert made.loss
    assert made.loss.own == pytest.approx(ndcg(judged, encoder, vectors))
    side = load_encoder(tmp_path / "made")
    assert made.loss.made == pytest.approx(ndcg(judged, side, vectors))
    assert made.loss.loss == pytest.approx(made.loss.own - made.loss.made)
    assert 0 < made.loss.p <= 1
    kept = json.loads((tmp_path / "made" / ABOUT_FILE).read_text())
    assert kept == made.to_json()
    assert kept["loss"]["queries"] == len(judged.queries)


def ndcg(judged: Judged, encoder: SparseEncoder, vectors: SparseBatch) -> float:
    """nDCG@10 by its definition."""
    values = []
    for query, text in judged.queries.items():
        scores = vectors.dot(encoder.encode_queries([text])[0])
        best = [IDS[at] for at in np.argsort(-scores, kind="stable")[:10] if scores[at] > 0]
        grades = judged.qrels[query]
        gains = [grades.get(id, 0) / np.log2(rank + 2) for rank, id in enumerate(best)]
        ideal = sorted(grades.values(), reverse=True)[:10]
        values.append(sum(gains) / sum(g / np.log2(r + 2) for r, g in enumerate(ideal)))
    return float(np.mean(values))


def test_queries_that_are_given_are_fitted_to(encoder: SparseEncoder, tmp_path: Path) -> None:
    options = QueryWeightOptions(learn=True, sample=10)
    queries = ["why does dough rise", " ", "slow wireless signal"]
    made = make_query_weights(
        None, encoder, TEXTS, tmp_path / "made", queries=queries, options=options
    )
    assert (made.queries, made.sample) == (2, 10)


# What is refused.


def test_weights_for_what_has_weights_are_refused(encoder: SparseEncoder, tmp_path: Path) -> None:
    make_query_weights(None, encoder, TEXTS[:3], tmp_path / "made")
    with pytest.raises(
        ConfigurationError, match=r"made already has a query side of its own; query weights are"
    ):
        make_query_weights(tmp_path / "made", encoder, TEXTS, tmp_path / "more")
    with pytest.raises(ConfigurationError, match=r"made already exists: name a new folder"):
        make_query_weights(None, encoder, TEXTS, tmp_path / "made")
    with pytest.raises(ConfigurationError, match=r"the collection has no texts"):
        make_query_weights(None, encoder, ["", " "], tmp_path / "more")
    assert not (tmp_path / "more").exists()


def test_weights_that_were_edited_are_refused(encoder: SparseEncoder, tmp_path: Path) -> None:
    make_query_weights(None, encoder, TEXTS[:3], tmp_path / "made")
    weights = tmp_path / "made" / IDF_FILE
    weights.write_text(weights.read_text("utf-8").replace("0.", "1."), encoding="utf-8")
    with pytest.raises(ModelError, match=r"idf.json does not match .* beside it: make the"):
        load_encoder(tmp_path / "made")
