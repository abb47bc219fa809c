"""Legs and fusions measured and tuned on the embedded engine, from Python and the command line.

The dense vectors are sums of a random vector per word: enough of a second opinion, without torch.
"""

from __future__ import annotations

import dataclasses
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from splade_connectors import Document, SparseEncoder, Store, aconnect, connect
from splade_connectors.errors import ConfigurationError
from splade_connectors.evaluate import (
    Judged,
    Tuning,
    calibrate,
    collect,
    compare,
    evaluate,
    read_beir,
    tune,
)
from splade_connectors.evaluate.html_report import render
from splade_connectors.fusion import (
    DenseLeg,
    DistributionBased,
    Fusion,
    Rrf,
    SparseLeg,
    WeightedSum,
    fuse,
    parse_fusion,
)
from tests.integration.command_line import Run

SAMPLE = Path(__file__).parents[2] / "splade_connectors" / "sample"
SIZE = 48
FUSIONS: list[Fusion] = [
    Rrf(),
    Rrf(k=10, weights=(0.3, 0.7)),
    WeightedSum(weights=(0.6, 0.4), scale=(20, 0.9)),
    WeightedSum(normalize="minmax"),
    DistributionBased(),
]


def word_vector(text: str) -> list[float]:
    """A random vector per word, summed and brought to length 1."""
    total = np.zeros(SIZE)
    for word in re.findall(r"\w+", text.lower()):
        total += np.random.default_rng(zlib.crc32(word.encode())).normal(size=SIZE)
    length = float(np.linalg.norm(total))
    found: list[float] = (total / length if length else np.ones(SIZE)).tolist()
    return found


@pytest.fixture(scope="module")
def judged() -> Judged:
    return read_beir(SAMPLE)


@pytest.fixture(scope="module")
def folder(encoder: SparseEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample collection with dense vectors, in an embedded store that is closed."""
    path = tmp_path_factory.mktemp("hybrid") / "store"
    with (SAMPLE / "corpus.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    texts = [f"{row['title']} {row['text']}" for row in rows]
    with connect(f"edge:{path}", encoder=encoder) as store:
        report = store.index(
            Document(id=row["_id"], text=text, dense=word_vector(text))
            for row, text in zip(rows, texts, strict=True)
        )
        assert report.written == len(rows)
    return path


@pytest.fixture
def store(folder: Path, encoder: SparseEncoder) -> Iterator[Store]:
    with connect(f"edge:{folder}", encoder=encoder) as opened:
        yield opened


def legs() -> list[Any]:
    return [SparseLeg(), DenseLeg(vector=word_vector, exact=True)]


def some(judged: Judged, count: int, **more: Any) -> Judged:
    ids = list(judged.queries)[:count]
    return Judged(
        queries={id: judged.queries[id] for id in ids},
        qrels={id: judged.qrels[id] for id in ids},
        **more,
    )


def test_windows_are_those_that_a_search_fuses(store: Store, judged: Judged) -> None:
    for text in list(judged.queries.values())[:5]:
        windows = store.windows(text, legs=legs())
        assert [leg.name for leg in windows] == ["sparse", "dense"]
        for leg in windows:
            assert leg.scores.tolist() == sorted(leg.scores.tolist(), reverse=True)
            assert len(leg.ids) <= 200
        hits = store.search(text, legs=legs(), fusion=Rrf(), with_legs=True, path="client")
        expected = fuse(Rrf(), windows)[:10]
        assert [(hit.id, hit.legs) for hit in hits] == [(hit.id, hit.legs) for hit in expected]


def test_windows_of_an_empty_query_and_of_a_shorter_one(store: Store, judged: Judged) -> None:
    sparse, dense = store.windows("  ", legs=legs())
    assert (sparse.name, len(sparse.ids)) == ("sparse", 0)
    assert len(dense.ids) == 200
    text = next(iter(judged.queries.values()))
    whole = store.windows(text, legs=[SparseLeg()])[0]
    pruned = store.windows(text, legs=[SparseLeg()], max_query_terms=2)[0]
    assert 0 < pruned.scores[0] < whole.scores[0]


def test_windows_of_no_hybrid_search_are_refused(store: Store) -> None:
    with pytest.raises(ConfigurationError, match="3 dimensions"):
        store.windows("bread", dense=[1.0, 2.0, 3.0])
    with pytest.raises(ConfigurationError, match="a leg must be a SparseLeg"):
        store.windows("bread", legs=["sparse"])  # type: ignore[list-item]


async def test_awaited_windows_are_the_same(
    folder: Path, encoder: SparseEncoder, judged: Judged
) -> None:
    text = next(iter(judged.queries.values()))
    with connect(f"edge:{folder}", encoder=encoder) as blocking:
        expected = blocking.windows(text, legs=legs())
    async with await aconnect(f"edge:{folder}", encoder=encoder) as awaiting:
        found = await awaiting.windows(text, legs=legs())
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.ids == theirs.ids
        assert mine.scores.tolist() == theirs.scores.tolist()


def test_compared_rankings_are_those_of_real_searches(store: Store, judged: Judged) -> None:
    few = some(judged, 20)
    found = compare(store, few, legs(), FUSIONS)
    for fusion, run in zip(FUSIONS, list(found.runs.values())[2:], strict=True):
        for id, text in few.queries.items():
            hits = store.search(text, legs=legs(), fusion=fusion, limit=100)
            assert [hit.score for hit in hits] == pytest.approx(
                [score for _, score in run[id]], abs=1e-5
            )
            assert dict(run[id]) == pytest.approx(
                {hit.id: hit.score for hit in hits if hit.id in dict(run[id])}
                | {of: score for of, score in run[id] if abs(score - run[id][-1][1]) < 1e-5},
                abs=1e-5,
            )


def test_the_sparse_row_is_what_evaluate_measures(store: Store, judged: Judged) -> None:
    found = compare(store, judged, legs(), [Rrf()])
    alone = evaluate(store, judged)
    sparse = found.rows[0]
    assert (sparse.name, sparse.is_leg) == ("sparse", True)
    # Ties are broken by id in one, by ir-measures in the other.
    assert dict(sparse.measures) == pytest.approx(alone.measures, abs=0.005)
    assert (found.queries, found.unknown_queries, found.missing_documents) == (
        len(judged.queries),
        0,
        0,
    )


def test_differences_are_against_the_best_leg(store: Store, judged: Judged) -> None:
    judged = some(judged, 30)
    found = compare(store, judged, legs(), FUSIONS)
    best = next(row for row in found.rows if row.name == found.best_leg)
    assert (best.difference, best.p, best.is_leg) == (0.0, None, True)
    assert best.measures["nDCG@10"] == max(
        row.measures["nDCG@10"] for row in found.rows if row.is_leg
    )
    for row in found.rows:
        mean = sum(found.each[row.name].values()) / len(judged.queries)
        assert row.measures["nDCG@10"] == pytest.approx(mean)
        assert row.difference == pytest.approx(mean - best.measures["nDCG@10"])
        assert 0 < row.p50_ms <= row.p95_ms
        assert row is best or (row.p is not None and 0 < row.p <= 1)
    assert json.loads(json.dumps(found.to_json()))["rows"][0]["name"] == "sparse"


def test_what_judgements_name_and_is_not_there_is_counted(store: Store, judged: Judged) -> None:
    few = some(judged, 20, unknown_queries=("x", "y"))
    first = next(iter(few.qrels))
    qrels = {**few.qrels, first: {**few.qrels[first], "gone": 1, "lost": 2, "irrelevant": 0}}
    wrong = dataclasses.replace(few, qrels=qrels)
    found = compare(store, wrong, legs(), [Rrf()])
    assert (found.unknown_queries, found.missing_documents) == (2, 2)
    study = tune(store, wrong, legs())
    assert (study.unknown_queries, study.missing_documents) == (2, 2)


def test_weights_that_do_not_fit_are_refused_before_searching(store: Store, judged: Judged) -> None:
    seen: list[Any] = []
    with pytest.raises(ConfigurationError, match="3 weights for 2 legs"):
        compare(store, judged, legs(), [Rrf(weights=(1, 1, 1))], seen.append)
    assert not seen


def test_tuning_is_measured_on_held_out_queries(store: Store, judged: Judged) -> None:
    study = tune(store, judged, legs(), folds=3, dataset="sample")
    of = study.tuning
    assert (of.queries, of.folds, of.dataset, of.legs) == (
        len(judged.queries),
        3,
        "sample",
        ("sparse", "dense"),
    )
    assert of.model == "splade-tiny"
    assert sum(fold.queries for fold in study.folds) == of.queries
    weighted = sum(fold.held_out * fold.queries for fold in study.folds) / of.queries
    assert of.held_out == pytest.approx(weighted, abs=1e-6)
    # On the queries that it was chosen on, no leg is better: weights 1:0 and 0:1 are among those.
    for fold in study.folds:
        assert 0 < fold.trained <= 1
    in_sample = max(value for curve in study.curves for _, value in curve.points)
    ends = [dict(curve.points) for curve in study.curves]
    assert in_sample >= max(max(end[0.0], end[1.0]) for end in ends)
    names = [result.name for result in study.results]
    assert names[:4] == ["sparse", "dense", "rrf", "dbsf"]
    assert names[-1] == "all families"
    assert study.results[-1].ndcg == pytest.approx(of.held_out, abs=1e-6)
    assert sum(share.share for share in study.shares) == pytest.approx(1)
    assert not study.warnings


def test_tuning_is_reproducible(store: Store, judged: Judged) -> None:
    few = some(judged, 20)
    first, second = (tune(store, few, legs(), seed=4) for _ in range(2))
    assert first.tuning == second.tuning
    assert first.folds == second.folds
    assert "only 20 judged queries" in first.warnings[0]
    assert Tuning.from_json(json.loads(json.dumps(first.tuning.to_json()))) == first.tuning
    assert "<!DOCTYPE html>" in render(first)


def test_what_tuning_chose_can_be_searched_with(store: Store, judged: Judged) -> None:
    few = some(judged, 20)
    study = tune(store, few, legs())
    of = study.tuning
    window = [dataclasses.replace(leg, candidates=of.candidates) for leg in legs()]
    run = collect(store, few, window, max_query_terms=of.max_query_terms)
    for id, text in few.queries.items():
        hits = store.search(
            text, legs=window, fusion=of.to_fusion(), max_query_terms=of.max_query_terms
        )
        expected = fuse(of.to_fusion(), run.windows[id])[:10]
        assert [hit.score for hit in hits] == pytest.approx(
            [hit.score for hit in expected], abs=1e-5
        )


def test_three_legs_are_tuned(store: Store, judged: Judged) -> None:
    more = [*legs(), SparseLeg(name="again")]
    study = tune(store, some(judged, 20), more)
    assert [curve.name for curve in study.curves] == ["sparse", "dense", "again"]
    assert len(study.curves[0].points) == 11
    assert "<svg" in render(study)


def test_too_few_queries_or_legs_are_refused_before_searching(store: Store, judged: Judged) -> None:
    seen: list[Any] = []
    with pytest.raises(
        ConfigurationError, match="at least 20 judged queries, but there are only 19"
    ):
        tune(store, some(judged, 19), legs(), on_progress=seen.append)
    with pytest.raises(ConfigurationError, match="two or three legs, not 1"):
        tune(store, judged, [SparseLeg()], on_progress=seen.append)
    with pytest.raises(ConfigurationError, match="folds must be between 2"):
        tune(store, judged, legs(), folds=1, on_progress=seen.append)
    assert not seen


def test_scales_need_no_judgements(store: Store, judged: Judged) -> None:
    unjudged = Judged(queries=judged.queries, qrels={})
    sparse, dense = calibrate(collect(store, unjudged, legs()))
    assert sparse > 1
    assert 0.5 < dense <= 1


@pytest.fixture(scope="module")
def vectors(judged: Judged, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vectors") / "queries.npz"
    rows = [word_vector(text) for text in judged.queries.values()]
    np.savez(path, ids=np.array(list(judged.queries)), vectors=np.array(rows))
    return path


class FakeModel:
    """Counts the batches that it is given."""

    batches: list[int] = []  # noqa: RUF012

    def encode(self, texts: list[str], batch_size: int, show_progress_bar: bool) -> Any:
        assert not show_progress_bar
        self.batches.append(len(texts))
        return np.array([word_vector(text) for text in texts])


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like one of sentence-transformers, and what would load it."""
    monkeypatch.setattr("splade_connectors.encoders.dense.load_model", lambda folder: FakeModel())
    FakeModel.batches.clear()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "modules.json").write_text("[]")
    return tmp_path / "model"


def test_evaluating_fusions(run: Run, folder: Path, vectors: Path, tmp_path: Path) -> None:
    command = ["evaluate", f"edge:{folder}", "--beir", SAMPLE, "--dense-vectors", vectors]
    specs = ["--fusion", "rrf:k=60,weights=2:1", "--fusion", "dbsf"]
    done = run(*command, *specs, "--run-file", tmp_path / "out.run")
    assert done.code == 0, done.err
    for words in ("sparse", "dense", "rrf:k=60,weights=2:1", "dbsf", "recall@100", "p95"):
        assert words in done.out
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "out.dbsf.run",
        "out.dense.run",
        "out.rrf-k-60-weights-2-1.run",
        "out.sparse.run",
    ]
    found = json.loads(run(*command, "--json").out)
    assert [row["name"] for row in found["rows"]] == ["sparse", "dense", "rrf:k=60"]


def test_evaluating_one_leg_writes_one_run(run: Run, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.run"
    done = run("evaluate", f"edge:{folder}", "--beir", SAMPLE, "--run-file", path, "--json")
    assert done.code == 0, done.err
    assert set(json.loads(done.out)) >= {"nDCG@10", "queries", "p50_ms"}
    columns = [line.split() for line in path.read_text().splitlines()]
    assert {(len(row), row[1], row[5]) for row in columns} == {(6, "Q0", "sparse")}
    assert [row[3] for row in columns[:2]] == ["1", "2"]


@pytest.fixture
def few(judged: Judged, tmp_path: Path) -> Path:
    """A folder with 20 judged queries, and a judgement of an unknown one."""
    path = tmp_path / "few"
    (path / "qrels").mkdir(parents=True)
    (path / "queries.jsonl").write_bytes((SAMPLE / "queries.jsonl").read_bytes())
    rows = [
        f"{id}\t{document}\t{grade}\n"
        for id in list(judged.queries)[:20]
        for document, grade in judged.qrels[id].items()
    ]
    (path / "qrels" / "test.tsv").write_text("".join([*rows, "nobody\tx\t1\n"]))
    return path


def test_a_tuning_that_is_not_better_is_reported_and_not_kept(
    run: Run, folder: Path, vectors: Path, few: Path, tmp_path: Path
) -> None:
    record, report = tmp_path / "tuning.json", tmp_path / "report.html"
    command = ["tune", f"edge:{folder}", "--beir", few, "--dense-vectors", vectors]
    done = run(*command, "--output", record, "--report", report)
    assert done.code == 0, done.err
    tuning = Tuning.from_json(json.loads(run(*command, "--json").out))
    assert tuning.dataset == "few/test"
    # Directions drawn at random help nobody: nothing is recommended, and nothing kept.
    assert not tuning.is_better
    assert not record.exists()
    assert "Use it: " not in done.out
    assert "all families" in done.out
    assert f"{tuning.held_out:.4f}" in report.read_text()
    assert "warning: only 20 judged queries" in done.err
    assert "warning: 1 judged query not in queries.jsonl" in done.err


def test_judged_queries_are_encoded_in_one_batch_for_all_rows(
    run: Run, folder: Path, model: Path, judged: Judged
) -> None:
    command = ["evaluate", f"edge:{folder}", "--beir", SAMPLE, "--dense-model", model]
    done = run(*command, "--fusion", "rrf", "--fusion", "dbsf", "--json")
    assert len(done.json["rows"]) == 4
    assert FakeModel.batches == [len(set(judged.queries.values()))]


def test_searching_with_a_dense_model(
    run: Run, folder: Path, model: Path, encoder: SparseEncoder
) -> None:
    spec = "sum:weights=1:3,scale=20:1"
    options = ["--dense-model", model, "--fusion", spec, "--candidates", 60, "--limit", 5]
    done = run("search", f"edge:{folder}", "why does dough rise", *options, "--json")
    assert done.code == 0, done.err
    with connect(f"edge:{folder}", encoder=encoder) as store:
        wide = [SparseLeg(candidates=60), DenseLeg(vector=word_vector, candidates=60)]
        hits = store.search(
            "why does dough rise", legs=wide, fusion=parse_fusion(spec), limit=5, with_legs=True
        )
    found = json.loads(done.out)
    assert [(row["id"], row["score"]) for row in found] == [(hit.id, hit.score) for hit in hits]
    assert found[0]["legs"] == {
        name: {"rank": leg.rank, "score": leg.score} for name, leg in hits[0].legs.items()
    }
    table = run("search", f"edge:{folder}", "why does dough rise", *options)
    assert str(hits[0].id)[:10] in table.out


def test_a_hybrid_search_shown_instead_of_sent(run: Run, folder: Path, model: Path) -> None:
    command = ["search", f"edge:{folder}", "dough", "--dense-model", model, "--dry-run"]
    plan = json.loads(run(*command, "--fusion", "sum:normalize=minmax", "--json").out)
    assert plan["fused_by"] == "client"
    assert plan["not_taken"]
    assert {"path", "reason", "warnings", "body"} <= set(plan)
    shown = run(*command).out
    assert shown.startswith("# ")
    assert "# fused by the server" in shown
    for reason in plan["not_taken"]:
        assert f"# not taken: {reason}" in run(*command, "--fusion", "sum:normalize=minmax").out


def test_a_plain_search_knows_no_legs(run: Run, folder: Path) -> None:
    done = run("search", f"edge:{folder}", "dough", "--json", "--limit", 1)
    assert set(json.loads(done.out)[0]) == {"id", "score", "payload"}
    short = run("search", f"edge:{folder}", "dough rises", "--max-query-terms", 1)
    assert "only the 1 heaviest of the query's" in short.err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--fusion", "rrf"], "--fusion needs a second leg; add --dense-model"),
        (["--candidates", "50"], "--candidates needs a second leg"),
        (["--dense-model", "MODEL", "--fusion", "best"], "must be one of rrf, sum, dbsf, not"),
        (["--dense-model", "MODEL", "--fusion", "rrf:weights=1:1:1"], "3 weights for 2 legs"),
        (["--dense-model", "MODEL", "--fusion", "rrf:k=0"], "k of Rrf must be greater than 0"),
        (["--dense-model", "MODEL", "--candidates", "5"], "raise candidates to at least 10"),
        (
            ["--dense-model", "no-such-package"],
            r"neither a sentence-transformers folder .* pass its folder",
        ),
        (
            ["--dense-model", "numpy"],
            "neither a .* folder nor an installed package that contains one",
        ),
        (["--dense-model", "SAMPLE"], "holds no sentence-transformers model"),
    ],
)
def test_mistakes_in_a_search_are_sentences(
    run: Run, folder: Path, model: Path, options: list[str], sentence: str
) -> None:
    places = {"MODEL": str(model), "SAMPLE": str(SAMPLE)}
    given = [places.get(option, option) for option in options]
    done = run("search", f"edge:{folder}", "bread", *given)
    assert done.code == 2
    assert re.search(sentence, done.err), done.err
    assert done.err.startswith("error: ")


@pytest.mark.parametrize(
    ("command", "options", "sentence"),
    [
        ("evaluate", ["--fusion", "rrf"], "--fusion needs a second leg"),
        ("evaluate", ["--fusion", "best", "DENSE"], "must be one of rrf, sum, dbsf, not 'best'"),
        ("evaluate", ["--fusion", "dbsf:weights=1", "DENSE"], "1 weight for 2 legs"),
        ("evaluate", ["--dense-model", "x", "DENSE"], "either --dense-model or --dense-vectors"),
        ("tune", [], "a single leg cannot be fused"),
        ("tune", ["--dense-model", "x", "DENSE"], "either --dense-model or --dense-vectors"),
        ("tune", ["--folds", "1", "DENSE"], "folds must be between 2 and"),
        ("tune", ["--beir", "FEW", "DENSE"], "at least 20 judged queries, but there are only 5"),
    ],
)
def test_mistakes_in_measuring_are_sentences(
    run: Run,
    folder: Path,
    vectors: Path,
    tmp_path: Path,
    command: str,
    options: list[str],
    sentence: str,
) -> None:
    fewer = tmp_path / "fewer"
    (fewer / "qrels").mkdir(parents=True)
    (fewer / "queries.jsonl").write_bytes((SAMPLE / "queries.jsonl").read_bytes())
    ids = list(read_beir(SAMPLE).queries)[:5]
    (fewer / "qrels" / "test.tsv").write_text("".join(f"{id}\tx\t1\n" for id in ids))
    places = {"DENSE": ["--dense-vectors", str(vectors)], "FEW": [str(fewer)]}
    given = [part for option in options for part in places.get(option, [option])]
    done = run(command, f"edge:{folder}", "--beir", SAMPLE, *given)
    assert done.code == 2
    assert sentence in done.err, done.err
