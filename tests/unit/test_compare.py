"""Fusions side by side: leg runs, significance, TREC files, the short form of a fusion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from splade_connectors.errors import ConfigurationError
from splade_connectors.evaluate import Judged, LegRun, QueryVectors, write_run
from splade_connectors.evaluate.compare import measure_ranked, ranked
from splade_connectors.evaluate.metrics import as_run, measure, measure_each
from splade_connectors.evaluate.significance import randomization_test
from splade_connectors.fusion import (
    DistributionBased,
    Fusion,
    Rrf,
    WeightedSum,
    format_fusion,
    fuse,
    parse_fusion,
)
from splade_connectors.fusion.reference import leg_ranking

POSITIVE = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
WEIGHTS = st.none() | st.lists(st.floats(min_value=0, allow_infinity=False), min_size=1).filter(
    any
).map(tuple)
FUSIONS: st.SearchStrategy[Fusion] = st.one_of(
    st.builds(Rrf, k=POSITIVE, weights=WEIGHTS),
    st.builds(
        WeightedSum,
        weights=WEIGHTS,
        scale=st.none() | st.lists(POSITIVE, min_size=1).map(tuple),
        normalize=st.sampled_from([None, "minmax", "theoretical-minmax"]),
    ),
    st.builds(DistributionBased, weights=WEIGHTS),
)


@given(FUSIONS)
def test_the_short_form_is_read_back(fusion: Fusion) -> None:
    assert parse_fusion(format_fusion(fusion)) == fusion


@pytest.mark.parametrize(
    ("fusion", "text"),
    [
        (Rrf(), "rrf:k=60"),
        (Rrf(k=0.5, weights=(2, 1)), "rrf:k=0.5,weights=2:1"),
        (WeightedSum(), "sum"),
        (
            WeightedSum(weights=(0.3, 0.7), scale=(21.4, 0.86)),
            "sum:weights=0.3:0.7,scale=21.4:0.86",
        ),
        (WeightedSum(normalize="minmax"), "sum:normalize=minmax"),
        (DistributionBased(weights=(1, 0)), "dbsf:weights=1:0"),
    ],
)
def test_the_short_form_is_short(fusion: Fusion, text: str) -> None:
    assert format_fusion(fusion) == text


def pairs(seed: int, queries: int, shift: float) -> tuple[Any, Any]:
    draw = np.random.default_rng(seed)
    left = draw.uniform(0, 1, queries)
    return left, np.clip(left + draw.normal(shift, 0.2, queries), 0, 1)


@pytest.mark.parametrize("shift", [0.0, 0.05, 0.2])
@pytest.mark.parametrize("seed", range(3))
def test_few_queries_are_tested_exactly(seed: int, shift: float) -> None:
    left, right = pairs(seed, 11, shift)
    expected = stats.permutation_test(
        (left, right),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf,
    )
    assert randomization_test(left, right) == pytest.approx(expected.pvalue, abs=1e-9)


@pytest.mark.parametrize("shift", [0.0, 0.02, 0.05])
@pytest.mark.parametrize("seed", range(3))
def test_many_queries_agree_with_sampling_and_with_the_t_test(seed: int, shift: float) -> None:
    left, right = pairs(seed, 150, shift)
    found = randomization_test(left, right)
    expected = stats.permutation_test(
        (left, right),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=20_000,
        rng=np.random.default_rng(1),
    )
    # Four standard errors of the coarser of the two estimates.
    error = 4 * np.sqrt(found * (1 - found) / 20_000) + 1e-4
    assert found == pytest.approx(expected.pvalue, abs=error)
    assert found == pytest.approx(stats.ttest_rel(left, right).pvalue, abs=0.02)


def test_the_test_is_two_sided_and_repeatable() -> None:
    left, right = pairs(5, 60, 0.05)
    assert randomization_test(left, right) == randomization_test(left, right)
    assert randomization_test(left, right) == pytest.approx(randomization_test(right, left))


def test_equal_systems_do_not_differ() -> None:
    assert randomization_test([0.1, 0.9], [0.1, 0.9]) == 1.0
    assert randomization_test([], []) == 1.0
    # Queries that do not differ change nothing.
    assert randomization_test([1, 1, 1, 0.5], [0, 0, 0, 0.5]) == 2 / 8


@pytest.mark.parametrize("seed", range(10))
def test_means_of_single_queries_are_the_measures(seed: int) -> None:
    draw = np.random.default_rng(seed)
    pool = [f"d{number}" for number in range(40)]
    qrels = {
        f"q{at}": {id: int(draw.integers(0, 3)) for id in pool[at : at + 9]} for at in range(6)
    }
    for grades in qrels.values():
        grades["d39"] = 1
    rankings = {f"q{at}": draw.permutation(pool)[:30].tolist() for at in range(5)}
    each = measure_each(qrels, as_run(rankings))
    assert {name: float(np.mean(list(values.values()))) for name, values in each.items()} == (
        pytest.approx(measure(qrels, as_run(rankings)))
    )
    assert each["nDCG@10"]["q5"] == 0.0  # it found nothing


RUN = LegRun(
    names=("sparse", "dense"),
    windows={
        "q1": (
            leg_ranking("sparse", ["a", "b", "c"], [9.0, 5.0, 1.0]),
            leg_ranking("dense", ["c", "d"], [0.9, 0.8]),
        ),
        "q2": (leg_ranking("sparse", [], []), leg_ranking("dense", [7], [0.7])),
    },
)


def test_runs_are_cut_and_parted() -> None:
    cut = RUN.cut(1)
    assert [list(leg.ids) for leg in cut.windows["q1"]] == [["a"], ["c"]]
    assert [leg.scores.tolist() for leg in cut.windows["q1"]] == [[9.0], [0.9]]
    assert RUN.of(["q2"]).windows == {"q2": RUN.windows["q2"]}
    assert RUN.only("dense").windows["q1"] == (RUN.windows["q1"][1],)
    swapped = RUN.with_leg("sparse", RUN.only("dense"))
    assert swapped.windows["q1"] == (RUN.windows["q1"][1], RUN.windows["q1"][1])


def test_a_run_is_ranked_by_the_definition_of_the_fusion() -> None:
    found = ranked(Rrf(), RUN)
    expected = {
        id: [(hit.id, hit.score) for hit in fuse(Rrf(), w)] for id, w in RUN.windows.items()
    }
    assert found == expected
    assert [id for id, _ in found["q1"]] == ["c", "a", "b", "d"]
    assert ranked(WeightedSum(), RUN, "dense")["q1"] == [("c", 0.9), ("d", 0.8)]


def test_ties_are_measured_in_the_order_of_the_ranking() -> None:
    judged = Judged(queries={"q": "x"}, qrels={"q": {"z": 1}})
    assert measure_ranked(judged, {"q": [("a", 1.0), ("z", 1.0)]})["MRR@10"] == {"q": 0.5}
    assert measure_ranked(judged, {"q": [("z", 1.0), ("a", 1.0)]})["MRR@10"] == {"q": 1.0}


def test_a_trec_run_has_six_columns(tmp_path: Path) -> None:
    write_run(tmp_path / "run", {"q1": [("a", 1.5), (7, 0.25)], "q2": []}, "rrf-k-60")
    assert (tmp_path / "run").read_text() == "q1 Q0 a 1 1.5 rrf-k-60\nq1 Q0 7 2 0.25 rrf-k-60\n"


@pytest.mark.parametrize("id", ["a b", "", "a\tb", " a"])
def test_ids_that_trec_files_cannot_hold_are_refused(tmp_path: Path, id: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be written to a TREC run file"):
        write_run(tmp_path / "run", {"q": [(id, 1.0)]}, "tag")
    assert not (tmp_path / "run").exists()


def test_a_run_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot write .*nowhere.*No such file"):
        write_run(tmp_path / "nowhere" / "run", {}, "tag")


JUDGED = Judged(queries={"1": "one", "2": "two"}, qrels={"1": {"a": 1}, "2": {"b": 1}})


def test_query_vectors_go_by_the_query(tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", ids=np.array([2, 1, 3]), vectors=np.eye(3))
    vectors = QueryVectors(tmp_path / "v.npz", JUDGED)
    assert list(vectors("one")) == [0.0, 1.0, 0.0]
    assert list(vectors("two")) == [1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"ids": ["1"], "vectors": [[1.0]]}, "no vector for 1 of 2 judged queries, .* '2'"),
        ({"vectors": [[1.0]]}, "cannot read .* ids"),
        ({"ids": ["1", "2"], "vectors": [[1.0]]}, "vectors must have one row per id"),
        ({"ids": ["1", "2"], "vectors": [1.0, 2.0]}, "vectors must have one row per id"),
        ({"ids": np.array(["1", {}]), "vectors": [[1.0], [2.0]]}, "cannot read"),
    ],
)
def test_files_without_the_vectors_are_refused(
    tmp_path: Path, arrays: dict[str, Any], sentence: str
) -> None:
    np.savez(tmp_path / "v.npz", **{name: np.array(of) for name, of in arrays.items()})
    with pytest.raises(ConfigurationError, match=sentence):
        QueryVectors(tmp_path / "v.npz", JUDGED)


def test_what_is_no_npz_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "v.npz").write_text("no archive")
    with pytest.raises(ConfigurationError, match="cannot read"):
        QueryVectors(tmp_path / "v.npz", JUDGED)
    with pytest.raises(ConfigurationError, match="cannot read"):
        QueryVectors(tmp_path / "nowhere.npz", JUDGED)
