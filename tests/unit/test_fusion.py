"""The definitions of the fusions, against arithmetic by hand; and what they refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_connectors.errors import ConfigurationError
from splade_connectors.fusion import (
    DenseLeg,
    DistributionBased,
    Fusion,
    LegRanking,
    LegScore,
    Rrf,
    SparseLeg,
    WeightedSum,
    fuse,
    parse_fusion,
)
from splade_connectors.fusion.legs import check_page, dense_vector
from splade_connectors.fusion.reference import leg_ranking
from splade_connectors.operations.hybrid import resolve_legs, without_legs


def leg(name: str, **scores: float) -> LegRanking:
    return leg_ranking(name, list(scores), list(scores.values()))


SPARSE = leg("sparse", a=12.0, b=9.0, c=3.0)
DENSE = leg("dense", c=0.9, a=0.8, d=0.2)


def totals(fusion: Fusion) -> dict[object, float]:
    return {hit.id: hit.score for hit in fuse(fusion, [SPARSE, DENSE])}


def test_rrf_counts_ranks_from_one() -> None:
    found = totals(Rrf(k=60))
    assert found == pytest.approx(
        {"a": 1 / 61 + 1 / 62, "b": 1 / 62, "c": 1 / 63 + 1 / 61, "d": 1 / 63}
    )


def test_rrf_weights_multiply() -> None:
    found = totals(Rrf(k=10, weights=(2, 0.5)))
    assert found["a"] == pytest.approx(2 / 11 + 0.5 / 12)
    assert found["d"] == pytest.approx(0.5 / 13)


def test_a_weighted_sum_of_scaled_scores() -> None:
    found = totals(WeightedSum(weights=(1, 3), scale=(12, 0.9)))
    assert found["a"] == pytest.approx(12 / 12 + 3 * 0.8 / 0.9)
    assert found["b"] == pytest.approx(9 / 12)
    assert found["d"] == pytest.approx(3 * 0.2 / 0.9)


def test_minmax_over_the_window() -> None:
    found = totals(WeightedSum(normalize="minmax"))
    assert found["a"] == pytest.approx(1 + (0.8 - 0.2) / 0.7)
    assert found["c"] == pytest.approx(0 + 1)
    equal = leg_ranking("sparse", ["x", "y"], [4.0, 4.0])
    assert [hit.score for hit in fuse(WeightedSum(normalize="minmax"), [equal])] == [1, 1]


def test_theoretical_minmax_counts_from_zero() -> None:
    found = totals(WeightedSum(normalize="theoretical-minmax"))
    assert found["a"] == pytest.approx(12 / 12 + 0.8 / 0.9)
    assert found["c"] == pytest.approx(3 / 12 + 1)


def test_distribution_based_is_a_score_in_six_sample_deviations() -> None:
    found = totals(DistributionBased(weights=(1, 2)))
    sparse, dense = np.array([12.0, 9.0, 3.0]), np.array([0.9, 0.8, 0.2])

    def place(value: float, window: np.ndarray) -> float:
        low = window.mean() - 3 * window.std(ddof=1)
        return float((value - low) / (6 * window.std(ddof=1)))

    assert found["a"] == pytest.approx(place(12, sparse) + 2 * place(0.8, dense))
    assert found["b"] == pytest.approx(place(9, sparse))


@pytest.mark.parametrize("scores", [[5.0], [5.0, 5.0, 5.0]])
def test_distribution_based_without_a_distribution_counts_half(scores: list[float]) -> None:
    window = leg_ranking("sparse", [str(at) for at in range(len(scores))], scores)
    assert {hit.score for hit in fuse(DistributionBased(), [window])} == {0.5}


def test_ties_are_broken_by_id_and_places_are_kept() -> None:
    left = leg("sparse", z=1.0, a=1.0)
    assert list(left.ids) == ["a", "z"]
    hits = fuse(Rrf(), [left, leg("dense", z=0.5, a=0.4)])
    assert [hit.id for hit in hits] == ["a", "z"]
    assert hits[0].legs == {
        "sparse": LegScore(rank=1, score=1.0),
        "dense": LegScore(rank=2, score=0.4),
    }


@given(
    st.lists(st.floats(0.001, 50), min_size=1, max_size=30),
    st.lists(st.floats(0.001, 1), min_size=1, max_size=30),
)
def test_fusion_does_not_depend_on_the_order_of_legs(left: list[float], right: list[float]) -> None:
    one = leg_ranking("one", [f"d{at}" for at in range(len(left))], left)
    two = leg_ranking("two", [f"d{at * 2}" for at in range(len(right))], right)
    for fusion, turned in [
        (Rrf(weights=(1, 2)), Rrf(weights=(2, 1))),
        (WeightedSum(weights=(1, 2)), WeightedSum(weights=(2, 1))),
        (DistributionBased(weights=(1, 2)), DistributionBased(weights=(2, 1))),
    ]:
        first = {hit.id: hit.score for hit in fuse(fusion, [one, two])}
        second = {hit.id: hit.score for hit in fuse(turned, [two, one])}
        assert first == pytest.approx(second)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Rrf(k=0), "k of Rrf must be greater than 0, not 0"),
        (lambda: Rrf(k=math.nan), "k of Rrf"),
        (lambda: Rrf(weights=(1, -1)), "finite and >= 0"),
        (lambda: Rrf(weights=(1, math.nan)), "finite"),
        (lambda: WeightedSum(weights=(0, 0)), "at least one weight"),
        (lambda: WeightedSum(scale=(1, 0)), "a scale must be greater than 0"),
        (lambda: WeightedSum(normalize="l2"), "normalize must be 'minmax' or 'theoretical"),
        (lambda: DistributionBased(weights=(math.inf, 1)), "finite"),
        (lambda: fuse(Rrf(weights=(1, 2, 3)), [SPARSE, DENSE]), "3 weights for 2 legs"),
        (lambda: fuse(WeightedSum(scale=(1,)), [SPARSE, DENSE]), "1 scale for 2 legs"),
        (lambda: fuse(Rrf(), []), "at least one leg"),
        (lambda: parse_fusion("borda"), "one of rrf, sum, dbsf, not 'borda'"),
        (lambda: parse_fusion("rrf:j=3"), "rrf takes the settings k, weights, not 'j=3'"),
        (lambda: parse_fusion("rrf:k=many"), "does not consist of numbers"),
        (lambda: SparseLeg(candidates=0), "candidates must be at least 1"),
        (
            lambda: check_page([SparseLeg(candidates=20)], 15, 10),
            "the sparse leg has a window of 20",
        ),
        (lambda: resolve_legs([SparseLeg()], [1.0]), "either dense"),
        (lambda: resolve_legs([], None), "legs must not be empty"),
        (lambda: resolve_legs(["sparse"], None), "not str"),  # type: ignore[list-item]
        (lambda: resolve_legs([SparseLeg(), SparseLeg()], None), "two legs are named 'sparse'"),
        (lambda: dense_vector([1.0, math.nan], ""), "NaN"),
        (lambda: dense_vector([], ""), "empty"),
        (lambda: dense_vector([[1.0, 2.0]], ""), "not a vector"),
        (lambda: dense_vector(np.ones((1, 2)), ""), "not a vector"),
        (lambda: dense_vector(b"text", ""), "got text"),
        (lambda: dense_vector(lambda text: [math.inf], ""), "infinity"),
        (lambda: dense_vector("text", ""), "not a vector"),
        (lambda: without_legs(Rrf(weights=(1, 0)), [1], 2), "weight 0"),
    ],
)
def test_what_is_refused(make: object, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make()  # type: ignore[operator]


def test_short_forms() -> None:
    assert parse_fusion("rrf") == Rrf()
    assert parse_fusion("rrf:k=10,weights=2:1") == Rrf(k=10, weights=(2, 1))
    assert parse_fusion("sum:weights=0.3:0.7,scale=20:1") == WeightedSum(
        weights=(0.3, 0.7), scale=(20, 1)
    )
    assert parse_fusion("sum:normalize=minmax") == WeightedSum(normalize="minmax")
    assert parse_fusion("dbsf:weights=1:2") == DistributionBased(weights=(1, 2))


def test_a_leg_that_is_left_out_takes_its_weight_along() -> None:
    assert without_legs(Rrf(weights=(1, 2, 3)), [0, 2], 3) == Rrf(weights=(1, 3))
    fusion = WeightedSum(weights=(1, 2), scale=(3, 4))
    assert without_legs(fusion, [1], 2) == WeightedSum(weights=(2,), scale=(4,))


class Encodes:
    def encode(self, text: str) -> list[float]:
        return [float(len(text)), 1.0]


class Embeds:
    def query_embed(self, text: str) -> list[list[float]]:
        return [[float(len(text)), 2.0]]


@pytest.mark.parametrize(
    ("source", "vector"),
    [
        ((1, 2), [1.0, 2.0]),
        (np.array([0.5, 1.5], np.float32), [0.5, 1.5]),
        (lambda text: [len(text)], [3.0]),
        (Encodes(), [3.0, 1.0]),
        (Embeds(), [3.0, 2.0]),
    ],
)
def test_what_makes_a_dense_vector(source: object, vector: list[float]) -> None:
    assert dense_vector(source, "abc") == vector


def test_the_default_legs() -> None:
    assert resolve_legs(None, None) == (SparseLeg(),)
    assert resolve_legs(None, [1.0]) == (SparseLeg(), DenseLeg(vector=[1.0]))
