"""Tuning without a store: grids of weights, scales, folds, and the record of what was found."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_connectors import SparseEncoder
from splade_connectors.errors import ConfigurationError
from splade_connectors.evaluate import Judged, LegRun, Tuning, calibrate, read_tuning, write_tuning
from splade_connectors.evaluate.compare import MAIN, measure_ranked, ranked
from splade_connectors.evaluate.grid import Grid, weight_grid
from splade_connectors.evaluate.language import language_warning
from splade_connectors.evaluate.settings import families, split_folds
from splade_connectors.fusion import (
    DenseLeg,
    Fusion,
    LegRanking,
    Rrf,
    SparseLeg,
    TextLeg,
    WeightedSum,
)
from splade_connectors.fusion.legs import Leg
from splade_connectors.fusion.reference import leg_ranking
from splade_connectors.fusion.tuning import Against, Settings, tuned


def some_leg(draw: np.random.Generator, name: str, scale: float) -> LegRanking:
    count = int(draw.integers(0, 40))
    ids = draw.choice(60, count, replace=False)
    # Few different scores, so that there are ties.
    scores = draw.integers(1, 12, count) * scale
    return leg_ranking(name, [f"d{id}" for id in ids], scores.tolist())


def some_run(seed: int, legs: int = 2, queries: int = 12) -> tuple[LegRun, Judged]:
    draw = np.random.default_rng(seed)
    names = ("sparse", "dense", "text")[:legs]
    windows = {
        f"q{at}": tuple(some_leg(draw, name, 10.0**-place) for place, name in enumerate(names))
        for at in range(queries)
    }
    qrels = {
        id: {f"d{document}": int(draw.integers(0, 4)) for document in draw.choice(60, 15)}
        for id in windows
    }
    run = LegRun(names=names, windows=windows)
    return run, Judged(queries=dict.fromkeys(windows, "text"), qrels=qrels)


@pytest.mark.parametrize(("legs", "settings"), [(2, 21), (3, 66)])
def test_weights_lie_on_the_simplex(legs: int, settings: int) -> None:
    grid = weight_grid(legs)
    assert len(set(grid)) == settings
    assert all(sum(weights) == pytest.approx(1) and min(weights) >= 0 for weights in grid)
    assert max(grid[0]) - min(grid[0]) <= 0.11  # the most even one comes first
    assert len(set(grid[-1])) == 2  # and one leg alone last
    assert max(grid[-1]) == 1


@pytest.mark.parametrize("legs", [0, 1, 4])
def test_other_numbers_of_legs_are_refused(legs: int) -> None:
    with pytest.raises(ConfigurationError, match=f"two or three legs, not {legs}"):
        weight_grid(legs)


@pytest.mark.parametrize("legs", [2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_the_grid_measures_what_the_definition_and_ir_measures_do(seed: int, legs: int) -> None:
    run, judged = some_run(seed, legs)
    weights = weight_grid(legs)[:: 7 if legs == 2 else 23]
    grid = Grid(run, judged.qrels, weights)
    for fusions in families(calibrate(run)).values():
        for fusion in fusions:
            found, expected = grid.quality(fusion).T, plainly(fusion, run, judged, weights)
            assert np.allclose(found, expected, rtol=0, atol=1e-9)


def plainly(fusion: Fusion, run: LegRun, judged: Judged, weights: Any) -> Any:
    found = []
    for setting in weights:
        hits = ranked(dataclasses.replace(fusion, weights=setting), run)
        found.append(list(measure_ranked(judged, hits)[MAIN].values()))
    return np.array(found)


def test_scales_are_means_of_the_best_scores() -> None:
    run = LegRun(
        names=("sparse", "dense", "text"),
        windows={
            "q1": (
                leg_ranking("sparse", ["a", "b"], [20.0, 1.0]),
                leg_ranking("dense", ["a"], [0.8]),
                leg_ranking("text", [], []),
            ),
            "q2": (
                leg_ranking("sparse", ["a"], [30.0]),
                leg_ranking("dense", ["b"], [0.912345]),
                leg_ranking("text", [], []),
            ),
            "q3": (
                leg_ranking("sparse", [], []),
                leg_ranking("dense", ["b"], [0.9]),
                leg_ranking("text", [], []),
            ),
        },
    )
    assert calibrate(run) == (25.0, 0.8708, 1.0)
    WeightedSum(scale=calibrate(run))  # it takes them


@given(st.integers(20, 120), st.integers(2, 20), st.integers(0, 1000))
def test_every_query_is_in_one_fold(queries: int, folds: int, seed: int) -> None:
    ids = [str(id) for id in range(queries)]
    parts = split_folds(ids, folds, seed)
    assert sorted(id for part in parts for id in part) == sorted(ids)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert parts == split_folds(ids[::-1], folds, seed)


def test_another_seed_deals_otherwise() -> None:
    ids = [str(id) for id in range(40)]
    assert split_folds(ids, 2, 0) != split_folds(ids, 2, 1)


@pytest.mark.parametrize("queries", [0, 1, 19])
def test_too_few_queries_are_refused(queries: int) -> None:
    with pytest.raises(
        ConfigurationError, match=f"at least 20 judged queries, but there are only {queries}"
    ):
        split_folds([str(id) for id in range(queries)], 2, 0)


@pytest.mark.parametrize("folds", [-1, 0, 1, 26])
def test_folds_that_cannot_be_are_refused(folds: int) -> None:
    with pytest.raises(ConfigurationError, match=f"folds must be between 2 and 25, not {folds}"):
        split_folds([str(id) for id in range(25)], folds, 0)


TUNING = Tuning(
    fusion="sum:weights=0.3:0.7,scale=21.4:0.86",
    legs=("sparse", "dense"),
    candidates=100,
    max_query_terms=None,
    held_out=0.7,
    against={"sparse": Against(ndcg=0.64, difference=0.06, p=0.001)},
    model="splade-tiny",
    dataset="scifact/test",
    queries=300,
    folds=2,
    seed=0,
)


def test_a_tuning_survives_json(tmp_path: Path) -> None:
    assert Tuning.from_json(json.loads(json.dumps(TUNING.to_json()))) == TUNING
    write_tuning(TUNING, tmp_path / "tuning.json")
    assert read_tuning(tmp_path / "tuning.json") == TUNING
    assert TUNING.to_fusion() == WeightedSum(weights=(0.3, 0.7), scale=(21.4, 0.86))


def test_a_tuning_is_recommended_only_if_it_beats_every_leg() -> None:
    against = {
        "sparse": Against(ndcg=0.64, difference=0.06, p=0.001),
        "dense": Against(ndcg=0.7, difference=0.0, p=1.0),
    }
    assert TUNING.is_better
    assert not dataclasses.replace(TUNING, against=against).is_better
    assert dataclasses.replace(TUNING, against=against, held_out=0.7001).is_better


def test_queries_are_told_apart_by_their_texts() -> None:
    one = Judged(queries={"a": "x", "b": "y"}, qrels={})
    assert one.fingerprint() == Judged(queries={"1": "y", "2": "x"}, qrels={}).fingerprint()
    assert one.fingerprint() != Judged(queries={"a": "x"}, qrels={}).fingerprint()


GERMAN = ["Wie funktionieren Impfstoffe gegen Grippe?", "Warum geht der Teig auf?"]
FRENCH = ["Comment fonctionnent les vaccins contre la grippe ?", "Pourquoi la pâte lève-t-elle ?"]
RUSSIAN = ["Как работают вакцины от гриппа?", "Почему поднимается тесто?"]
ENGLISH = ["how do vaccines against influenza work", "why does a dough rise"]
CODES = ["ISO 9001 certification", "vitamin B12 deficiency in C57BL/6 mice", "x y z in R"]


@pytest.mark.parametrize("queries", [GERMAN, FRENCH, RUSSIAN])
def test_another_language_than_the_models_is_warned_of(
    encoder: SparseEncoder, queries: list[str]
) -> None:
    warning = language_warning(encoder, queries)
    assert warning is not None
    assert re.match(
        r"splade-tiny splits these queries into \d\.\d pieces per word, of which \d+% are", warning
    )


@pytest.mark.parametrize("queries", [ENGLISH, CODES, [], ["?"]])
def test_the_models_own_language_is_not(encoder: SparseEncoder, queries: list[str]) -> None:
    assert language_warning(encoder, queries) is None


def test_entries_of_later_versions_are_ignored() -> None:
    assert Tuning.from_json(TUNING.to_json() | {"later": [1]}) == TUNING


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        ({}, "not a tuning: it lacks 'fusion', 'legs'"),
        (TUNING.to_json() | {"format": 2}, "the tuning has format 2, .* pip install -U"),
        (TUNING.to_json() | {"against": {"sparse": {}}}, "not a tuning"),
        (TUNING.to_json() | {"against": 3}, "not a tuning"),
        ([], "not a tuning|does not contain a JSON object"),
        (TUNING.to_json() | {"legs": "sparse"}, "not a tuning: legs is 'sparse'"),
        (TUNING.to_json() | {"legs": [1, 2]}, r"not a tuning: legs is \[1, 2\]"),
        (TUNING.to_json() | {"candidates": "200"}, "not a tuning: candidates is '200'"),
        (TUNING.to_json() | {"candidates": 1.5}, r"not a tuning: candidates is 1\.5"),
        (TUNING.to_json() | {"candidates": 0}, "at least 1"),
        (
            TUNING.to_json() | {"max_query_terms": True},
            "not a tuning: max_query_terms is True",
        ),
        (TUNING.to_json() | {"held_out": None}, "not a tuning: held_out is None"),
        (TUNING.to_json() | {"fusion": 5}, "not a tuning: fusion is 5"),
        (TUNING.to_json() | {"against": {"sparse": 5}}, "not a tuning: 'sparse' is 5"),
        (TUNING.to_json() | {"fusion": "best"}, "must be one of rrf, sum, dbsf, not 'best'"),
        (TUNING.to_json() | {"fusion": "rrf:weights=1:2:3"}, "3 weights for 2 legs"),
    ],
)
def test_what_is_no_tuning_is_refused(raw: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        Tuning.from_json(raw)
    path = tmp_path / "tuning.json"
    path.write_text(json.dumps(raw))
    with pytest.raises(ConfigurationError, match=rf"tuning\.json: .*{sentence}"):
        read_tuning(path)


BOTH = (SparseLeg(), DenseLeg(vector=[1.0]))


def test_without_a_fusion_the_tuning_gives_what_was_left_open() -> None:
    tuning = dataclasses.replace(TUNING, candidates=50, max_query_terms=16)
    found = tuned(tuning, BOTH)
    assert found.fusion == tuning.to_fusion()
    assert [leg.candidates for leg in found.legs] == [50, 50]
    assert found.max_query_terms == 16
    assert found.note == f"fusion from the index's tuning: {tuning.fusion}, window 50, " + (
        "at most 16 query terms"
    )


def test_what_the_caller_chose_stays() -> None:
    tuning = dataclasses.replace(TUNING, candidates=50, max_query_terms=16)
    # 200 is the default too: a window that was asked for is told from one that was not.
    wide = (SparseLeg(candidates=200), DenseLeg(vector=[1.0], candidates=80))
    found = tuned(tuning, wide, 4)
    assert [leg.candidates for leg in found.legs] == [200, 80]
    assert found.max_query_terms == 4


@pytest.mark.parametrize(
    "legs",
    [
        (SparseLeg(),),
        (DenseLeg(vector=[1.0]), SparseLeg()),
        (SparseLeg(), TextLeg()),
        (*BOTH, TextLeg()),
        (SparseLeg(name="splade"), DenseLeg(vector=[1.0])),
    ],
    ids=["one", "another order", "others", "more", "other names"],
)
def test_a_tuning_of_other_legs_is_not_used_and_the_plan_says_so(legs: tuple[Leg, ...]) -> None:
    found = tuned(TUNING, legs)
    assert found.fusion == Rrf()
    assert found.legs == legs
    (warning,) = found.warnings
    assert "is for the legs sparse, dense, not for" in warning
    assert warning.endswith(": rrf:k=60 instead")


def test_without_a_tuning_reciprocal_ranks_are_fused() -> None:
    assert tuned(None, BOTH, 8) == Settings(fusion=Rrf(), legs=BOTH, max_query_terms=8)
