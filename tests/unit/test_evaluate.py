"""Measures of rankings, and the files they are measured with."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from splade_connectors import Document, Progress
from splade_connectors.errors import ConfigurationError
from splade_connectors.evaluate import Evaluation, Judged, evaluate, read_beir
from splade_connectors.evaluate.metrics import measure
from splade_connectors.testing import HashEncoder, MemoryStore

Qrels = Mapping[str, Mapping[str, int]]
Run = Mapping[str, Mapping[str, float]]
Folder = Callable[..., Path]

QUERIES = [{"_id": "q1", "text": "apples"}, {"_id": "q2", "text": "bread"}]
HEADER = "query-id\tcorpus-id\tscore"


def reference(qrels: Qrels, run: Run) -> dict[str, float]:
    """The three measures, written plainly in numpy."""
    found = []
    for query, grades in qrels.items():
        scores = run.get(query, {})
        ranking = sorted(scores, key=lambda id: -scores[id])
        gains = np.array([grades.get(id, 0) for id in ranking[:10]])
        ideal = np.array(sorted(grades.values(), reverse=True)[:10])
        discounts = 1 / np.log2(np.arange(2, 12))
        dcg, best = (float(values @ discounts[: len(values)]) for values in (gains, ideal))
        relevant = {id for id, grade in grades.items() if grade > 0}
        hits = len(relevant & set(ranking[:100]))
        first = [rank for rank, id in enumerate(ranking[:10], 1) if id in relevant]
        found.append(
            (
                dcg / best if best else 0.0,
                hits / len(relevant) if relevant else 0.0,
                1 / first[0] if first else 0.0,
            )
        )
    means = np.mean(found, axis=0).tolist()
    return dict(zip(("nDCG@10", "recall@100", "MRR@10"), means, strict=True))


@pytest.mark.parametrize("seed", range(25))
def test_measures_are_those_of_the_reference(seed: int) -> None:
    rng = random.Random(seed)
    pool = [f"d{number}" for number in range(250)]
    qrels: dict[str, dict[str, int]] = {}
    run: dict[str, dict[str, float]] = {}
    for query in map(str, range(rng.randint(1, 12))):
        judged = rng.sample(pool, rng.randint(1, 30))
        qrels[query] = {id: rng.choice([0, 1, 1, 2, 3]) for id in judged}
        qrels[query][judged[0]] = 1
        scores = rng.sample(range(10_000), 150)  # no ties: their order is the library's business
        ids = rng.sample(pool, rng.choice([0, 1, 5, 10, 150]))
        if ids:
            run[query] = {id: scores[at] / 7 for at, id in enumerate(ids)}
    assert measure(qrels, run) == pytest.approx(reference(qrels, run), abs=1e-9)


def test_a_perfect_ranking_and_none_at_all() -> None:
    qrels = {"q": {"a": 2, "b": 1, "c": 0}}
    best = {"nDCG@10": 1.0, "recall@100": 1.0, "MRR@10": 1.0}
    assert measure(qrels, {"q": {"a": 2.0, "b": 1.0}}) == best
    assert measure(qrels, {}) == dict.fromkeys(best, 0.0)


def test_a_query_that_found_nothing_counts_as_zero() -> None:
    qrels = {"one": {"a": 1}, "two": {"b": 1}}
    assert measure(qrels, {"one": {"a": 1.0}})["nDCG@10"] == 0.5


def test_grades_are_gains_and_ranks_are_discounted() -> None:
    found = measure({"q": {"a": 3, "b": 1}}, {"q": {"b": 2.0, "a": 1.0}})
    expected = (1 + 3 / math.log2(3)) / (3 + 1 / math.log2(3))
    assert found["nDCG@10"] == pytest.approx(expected)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Writes a folder in BEIR layout."""

    def make(queries: Any = QUERIES, qrels: Any = ("q1\td1\t1",), split: str = "test") -> Path:
        lines = [query if isinstance(query, str) else json.dumps(query) for query in queries]
        (tmp_path / "queries.jsonl").write_text("\n".join(lines), encoding="utf-8")
        (tmp_path / "qrels").mkdir(exist_ok=True)
        rows = "".join(f"{row}\n" for row in (HEADER, *qrels))
        (tmp_path / "qrels" / f"{split}.tsv").write_text(rows, encoding="utf-8")
        return tmp_path

    return make


def test_judged_queries_are_read(folder: Folder) -> None:
    judged = read_beir(folder(qrels=("q1\td1\t2", "q1\td2\t0", "q2\td1\t1")))
    assert judged.queries == {"q1": "apples", "q2": "bread"}
    assert judged.qrels == {"q1": {"d1": 2, "d2": 0}, "q2": {"d1": 1}}
    assert judged.unknown_queries == ()


def test_queries_without_judgements_are_left_out(folder: Folder) -> None:
    assert read_beir(folder()).queries == {"q1": "apples"}


def test_judgements_of_unknown_queries_are_named(folder: Folder) -> None:
    judged = read_beir(folder(qrels=("q1\td1\t1", "q8\td1\t1", "q9\td1\t1", "q8\td2\t1")))
    assert judged.unknown_queries == ("q8", "q9")
    assert set(judged.qrels) == {"q1"}


def test_numbers_and_text_are_the_same_query(folder: Folder) -> None:
    judged = read_beir(folder(queries=[{"_id": 7, "text": "x"}], qrels=("7\td1\t1",)))
    assert judged.queries == {"7": "x"}


def test_other_splits_are_read(folder: Folder) -> None:
    assert read_beir(folder(split="dev"), "dev").queries == {"q1": "apples"}


def test_judgements_without_a_header_are_read(folder: Folder) -> None:
    path = folder()
    (path / "qrels" / "test.tsv").write_text("q1\td1\t1\n")
    assert read_beir(path).qrels == {"q1": {"d1": 1}}


def test_blank_lines_are_skipped(folder: Folder) -> None:
    assert read_beir(folder(queries=["", QUERIES[0], ""], qrels=("", "q1\td1\t1"))).qrels


@pytest.mark.parametrize(
    ("queries", "qrels", "sentence"),
    [
        (["{"], ["q1\td1\t1"], r"line 1 of .*queries\.jsonl is not a query .*Expecting property"),
        ([QUERIES[0], "[1]"], ["q1\td1\t1"], r"line 2 of .*queries\.jsonl is not a query"),
        ([{"text": "x"}], ["q1\td1\t1"], r"""is not a query {"_id": …, "text": …}: '_id'"""),
        ([{"_id": "q1"}], ["q1\td1\t1"], "is not a query .*: 'text'"),
        (["5"], ["q1\td1\t1"], "line 1 of .* is not a query"),
        (
            QUERIES,
            ["q1\td1"],
            r"line 2 of .*test\.tsv is not a judgement QUERY<tab>DOCUMENT<tab>GR",
        ),
        (QUERIES, ["q1\td1\t1", "q1\td1\t1\t1"], r"line 3 of .*test\.tsv is not a judgement"),
        (QUERIES, ["q1\td1\tgood"], "is not a judgement .*'good'"),
        (QUERIES, ["q1 d1 1"], "line 2 of .* is not a judgement"),
        (QUERIES, ["q7\td1\t1"], r"no query in .* has judgements in qrels/test\.tsv"),
        (QUERIES, [], r"no query in .* has judgements in qrels/test\.tsv"),
        ([], ["q1\td1\t1"], "no query in .* has judgements"),
    ],
)
def test_files_that_cannot_be_read_are_named_with_the_line(
    folder: Folder, queries: Any, qrels: Any, sentence: str
) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        read_beir(folder(queries, qrels))


def test_missing_files_are_named(folder: Folder, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot read .*queries\.jsonl: .*No such file"):
        read_beir(tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match=r"cannot read .*qrels.train\.tsv: .*No such file"):
        read_beir(folder(), "train")


def test_a_file_that_is_no_utf8_is_named(folder: Folder) -> None:
    path = folder()
    (path / "queries.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match=r"cannot read .*queries\.jsonl: .*utf-8"):
        read_beir(path)


TEXTS = {"d1": "apples and pears", "d2": "bread and butter", "d3": "water", 4: "apples, apples"}


def filled() -> MemoryStore:
    store = MemoryStore(HashEncoder())
    store.index(Document(id=id, text=text) for id, text in TEXTS.items())
    return store


def judged_by(qrels: Qrels, **more: Any) -> Judged:
    queries = {"q1": "apples and pears", "q2": "bread and butter"}
    return Judged(queries={id: queries[id] for id in qrels}, qrels=qrels, **more)


def test_a_store_is_evaluated_on_its_rankings() -> None:
    store = filled()
    qrels = {"q1": {"d1": 1, "d3": 1}, "q2": {"d2": 1}}
    seen: list[Progress] = []
    found = evaluate(store, judged_by(qrels), seen.append)
    run = {
        id: {str(hit.id): hit.score for hit in store.search(text, limit=100)}
        for id, text in judged_by(qrels).queries.items()
    }
    assert found.measures == pytest.approx(reference(qrels, run))
    assert 0 < found.measures["recall@100"] < 1
    assert (found.queries, found.unknown_queries, found.missing_documents) == (2, 0, 0)
    assert 0 < found.p50_ms <= found.p95_ms
    assert seen == [Progress(done=1, total=2), Progress(done=2, total=2)]


def test_relevant_documents_that_are_not_there_are_counted() -> None:
    qrels = {"q1": {"d1": 1, "gone": 1, "irrelevant": 0}, "q2": {"d2": 1, "gone": 2, "lost": 1}}
    assert evaluate(filled(), judged_by(qrels)).missing_documents == 2


def test_documents_whose_ids_are_numbers_are_there() -> None:
    found = evaluate(filled(), judged_by({"q1": {"d1": 1, "4": 1}}))
    assert found.measures["recall@100"] == 1.0
    assert found.missing_documents == 0


def test_unknown_queries_are_counted() -> None:
    judged = judged_by({"q1": {"d1": 1}}, unknown_queries=("q8", "q9"))
    assert evaluate(filled(), judged).unknown_queries == 2


def test_an_evaluation_as_json() -> None:
    found = Evaluation(
        measures={"nDCG@10": 0.123456, "recall@100": 1.0, "MRR@10": 0.5},
        queries=3,
        p50_ms=1.23456,
        p95_ms=2.0,
        unknown_queries=1,
        missing_documents=2,
    )
    assert found.to_json() == {
        "nDCG@10": 0.1235,
        "recall@100": 1.0,
        "MRR@10": 0.5,
        "queries": 3,
        "p50_ms": 1.23,
        "p95_ms": 2.0,
        "unknown_queries": 1,
        "missing_documents": 2,
    }
