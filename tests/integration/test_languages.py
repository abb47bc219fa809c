"""Models of all languages on every store: exact scores, readable terms, commands."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from qdrant_client import QdrantClient

from splade_connectors import Document, PruneOptions, SparseBatch, SparseEncoder, Store, connect
from splade_connectors.backends.rounding import Rounding
from splade_connectors.errors import ConfigurationError
from splade_connectors.operations import many_terms
from splade_connectors.options import AttachOptions
from splade_connectors.testing import assert_same_ranking, exact_scores
from tests.integration.command_line import Run
from tests.random_models import MANY_TERMS_WARNING, TEXTS, ManyTerms, NumpyEncoder

TOP_K, QUERY_TERMS = 60, 16
QUERIES = {
    "en": "nobody knew a cure",
    "de": "niemand kannte ein Heilmittel",
    "zh": "没有人知道治疗方法",
    "th": "ไม่มีใครรู้วิธีรักษา",
    "hi": "इलाज किसी को पता नहीं",
}


@dataclass(frozen=True)
class Place:
    """Where documents go.

    Attributes:
        store: empty.
        rounding: what becomes of its weights.
    """

    store: Store
    rounding: Rounding


SERVERS = {
    "elasticsearch": ("elasticsearch_url", "sparse_vector"),
    "elasticsearch-7.17": ("rank_features_url", "rank_features"),
    "opensearch": ("opensearch_url", "rank_features"),
}


@pytest.fixture(
    params=["edge", "local", *(pytest.param(name, marks=pytest.mark.servers) for name in SERVERS)]
)
def place(
    request: pytest.FixtureRequest, multilingual: NumpyEncoder, tmp_path: Path
) -> Iterator[Place]:
    prune = PruneOptions(top_k=TOP_K)
    if request.param == "local":
        with connect(QdrantClient(":memory:"), "a", encoder=multilingual, prune=prune) as store:
            yield Place(store, "float32")
    elif request.param == "edge":
        with connect(f"edge:{tmp_path / 'shard'}", encoder=multilingual, prune=prune) as store:
            yield Place(store, "float32")
    else:
        fixture, kind = SERVERS[request.param]
        url, name = request.getfixturevalue(fixture), f"splade-test-{uuid.uuid4().hex}"
        scheme = request.param.partition("-")[0]
        target = f"{scheme}://{url.removeprefix('http://')}/{name}?kind={kind}"
        with connect(target, encoder=multilingual, prune=prune) as store:
            yield Place(store, "lucene")
        httpx.delete(f"{url}/{name}").raise_for_status()


def pruned(encoder: SparseEncoder) -> SparseBatch:
    """What the store should hold."""
    return encoder.encode_documents(list(TEXTS.values())).prune(PruneOptions(top_k=TOP_K))


def index(store: Store) -> None:
    report = store.index(Document(id=name, text=text) for name, text in TEXTS.items())
    assert (report.written, report.rejected) == (len(TEXTS), [])


@pytest.mark.parametrize("language", QUERIES)
def test_scores_of_all_rows_are_exact_and_explained(
    place: Place, multilingual: NumpyEncoder, language: str
) -> None:
    index(place.store)
    whole = multilingual.encode_queries([QUERIES[language]])[0]
    query = whole.prune(PruneOptions(top_k=QUERY_TERMS))
    scores = exact_scores(query, pruned(multilingual), place.rounding)
    exact = dict(zip(TEXTS, scores.tolist(), strict=True))
    hits = place.store.search(QUERIES[language], limit=100, max_query_terms=QUERY_TERMS)
    assert_same_ranking([(hit.id, hit.score) for hit in hits], exact, limit=100)
    assert hits[0].id == language
    found = place.store.explain(QUERIES[language], language, max_query_terms=QUERY_TERMS)
    assert found.query_terms == QUERY_TERMS
    assert found.score == pytest.approx(hits[0].score, rel=1e-5)
    assert any(multilingual.token_id(term.token) > 65_535 for term in found.terms)  # type: ignore[operator]
    for term in found.terms:
        assert "▁" not in term.text
        assert term.text.removeprefix("…").strip("\u25cc") in term.token
    stored = pruned(multilingual)[list(TEXTS).index(language)]
    own = multilingual.own_terms(QUERIES[language]) & multilingual.own_terms(TEXTS[language])
    both = own & set(query.indices.tolist()) & set(stored.indices.tolist())
    marked = {term.token for term in found.terms if term.in_query and term.in_document}
    assert marked == set(multilingual.tokens(both))


def test_vectors_and_attached_vectors_come_back(place: Place, multilingual: NumpyEncoder) -> None:
    index(place.store)
    expected = pruned(multilingual)
    stored = place.store.get(list(TEXTS), with_vectors=True)
    for document, vector in zip(stored, expected, strict=True):
        assert document.vector is not None
        assert document.vector.indices.tolist() == vector.indices.tolist()
    report = place.store.attach(options=AttachOptions(recheck=True, text_fields=("text",)))
    assert (report.attached, report.rejected_count) == (0, 0)


def test_commands_name_terms_beyond_16_bits(
    multilingual_folder: Path, multilingual: NumpyEncoder, run: Run, tmp_path: Path
) -> None:
    pytest.importorskip("splade_kernels", reason="`make kernels` builds them (needs cargo)")
    corpus, model = tmp_path / "corpus.jsonl", ["--model", multilingual_folder, "--engine", "int8"]
    rows = [json.dumps({"id": name, "text": text}) for name, text in TEXTS.items()]
    corpus.write_text("\n".join(rows), encoding="utf-8")
    by_id = run("encode", corpus, *model, "--prune-top-k", TOP_K, "--ids").out.splitlines()
    by_name = run("encode", corpus, *model, "--prune-top-k", TOP_K).out.splitlines()
    beyond = 0
    for numbered, named in zip(map(json.loads, by_id), map(json.loads, by_name), strict=True):
        ids = list(map(int, numbered["terms"]))
        assert list(map(multilingual.token_id, named["terms"])) == ids
        assert list(named["terms"].values()) == list(numbered["terms"].values())
        beyond += sum(at > 65_535 for at in ids)
    assert beyond > 100
    target = f"edge:{tmp_path / 'shard'}"
    assert run("index", corpus, target, *model, "--prune-top-k", TOP_K).code == 0
    most = ["--max-query-terms", QUERY_TERMS]
    (hit,) = run("search", target, QUERIES["zh"], *model, *most, "--limit", 1, "--json").json
    told = run("explain", target, QUERIES["zh"], hit["id"], *model, *most, "--json").json
    assert (hit["id"], told["query_terms"]) == ("zh", QUERY_TERMS)
    assert told["score"] == pytest.approx(hit["score"], rel=1e-5)
    assert any(term["token"] != term["text"] for term in told["terms"])


def test_opensearch_says_why_its_sparse_vector_is_not_used(multilingual: NumpyEncoder) -> None:
    with pytest.raises(ConfigurationError) as error:
        connect("opensearch://localhost/a?kind=sparse_vector", encoder=multilingual)
    assert str(error.value) == (
        "kind must be rank_features on OpenSearch, not 'sparse_vector': OpenSearch's "
        "is approximate, and mixes up terms of vocabularies above 32,768"
    )


@pytest.fixture(autouse=True)
def _not_warned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many_terms, "_warned", set())


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> SparseEncoder:
    made = ManyTerms("many")
    monkeypatch.setattr("splade_connectors.encoders.load_encoder", lambda *_, **__: made)
    return made


def test_commands_show_the_warning_and_prune(many: SparseEncoder, run: Run, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"id": "1", "text": "water"}\n{"id": "2", "text": "salt"}\n')
    done = run("encode", corpus)
    assert done.err.splitlines() == [f"warning: {MANY_TERMS_WARNING}"]
    many_terms._warned.clear()
    pruned = run("encode", corpus, "--prune-top-k", 200, "--ids")
    assert pruned.err == ""
    for line in pruned.out.splitlines():
        assert list(map(int, json.loads(line)["terms"])) == list(range(2_300, 2_500))
    logged = run("index", corpus, f"edge:{tmp_path / 'shard'}", "--log-json")
    messages = [json.loads(line).get("message", "") for line in logged.err.splitlines()]
    assert messages.count(MANY_TERMS_WARNING) == 1


def test_a_query_is_cut_to_its_heaviest_terms(many: SparseEncoder, run: Run) -> None:
    whole = run("encode", "--query", "water", "--json")
    assert len(json.loads(whole.out)["terms"]) == 2_500
    cut = run("encode", "--query", "water", "--max-query-terms", 3, "--json", "--ids")
    assert list(json.loads(cut.out)["terms"]) == ["2497", "2498", "2499"]
    assert "3 terms of 2,500" in run("encode", "--query", "water", "--max-query-terms", 3).out


def test_options_of_documents_and_of_queries_are_not_mixed(run: Run, tmp_path: Path) -> None:
    done = run("encode", "--query", "water", "--prune-top-k", 3)
    assert (done.code, done.err) == (
        2,
        "error: pruning needs a FILE; for a query use --max-query-terms\n",
    )
    done = run("encode", tmp_path / "corpus.jsonl", "--max-query-terms", 3)
    assert (done.code, done.err) == (
        2,
        "error: --max-query-terms needs --query; for a FILE use --prune-top-k\n",
    )


def test_a_query_says_what_is_one_spelling(run: Run) -> None:
    done = run("encode", "--query", "vaccines")
    assert "spelling: text is lowercased; accents are removed" in " ".join(done.out.split())


def test_the_log_does_not_repeat_the_warning(
    many: SparseEncoder, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("splade_connectors").setLevel(logging.INFO)
    done = run("encode", "--query", "water", "--json")
    assert done.err.count("gives a query") == 1
    done = run("-v", "encode", "--query", "water", "--json")
    assert "warning: many gives" not in done.err
