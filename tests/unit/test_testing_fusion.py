"""The reference that stores are held to: it accepts every order that ties leave, and nothing else.

What is accepted and refused is decided here a second time, by fusing every order of every tie.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splade_connectors.fusion import Fusion, LegRanking, Rrf, WeightedSum, format_fusion, fuse
from splade_connectors.fusion.reference import FusedHit
from splade_connectors.testing.fusion import ExactWindow, assert_same_fusion, exact_window
from tests.integration.hybrid_places import WEIGHTS, fusions

Hits = list[tuple[str, float]]

FUSIONS = [fusion for weights in WEIGHTS for fusion in fusions(weights)]
every_fusion = pytest.mark.parametrize("fusion", FUSIONS, ids=format_fusion)


@dataclass(frozen=True)
class Case:
    """Two legs over the same documents.

    Attributes:
        sparse: document -> score; 0 is not found.
        dense: the same.
        candidates: size of each window.
    """

    sparse: dict[str, float]
    dense: dict[str, float]
    candidates: tuple[int | None, int | None]

    @property
    def legs(self) -> list[tuple[str, dict[str, float], int | None]]:
        """Name, scores and size of the window of each leg."""
        return [
            ("sparse", self.sparse, self.candidates[0]),
            ("dense", self.dense, self.candidates[1]),
        ]

    def windows(self) -> list[ExactWindow]:
        return [
            exact_window(name, list(scores), np.array([*scores.values()], float), size)
            for name, scores, size in self.legs
        ]

    def orders(self) -> Iterator[list[LegRanking]]:
        """Both legs in every order that their ties leave."""
        for orders in itertools.product(*(_orders(scores) for _, scores, _ in self.legs)):
            yield [
                _ranking(name, order[:size], scores)
                for order, (name, scores, size) in zip(orders, self.legs, strict=True)
            ]

    def as_stored(self, fusion: Fusion, limit: int, seed: int) -> Hits:
        """What a store finds that leaves all ties to chance, those of fused scores included."""
        shuffled = random.Random(seed)
        legs = []
        for name, scores, size in self.legs:
            ids = [id for id, score in scores.items() if score > 0]
            shuffled.shuffle(ids)
            legs.append(_ranking(name, sorted(ids, key=lambda id: -scores[id])[:size], scores))
        hits = [(str(hit.id), hit.score) for hit in fuse(fusion, legs)]
        shuffled.shuffle(hits)
        return sorted(hits, key=lambda hit: -round(hit[1], 12))[:limit]


def _ranking(name: str, ids: Sequence[str], scores: dict[str, float]) -> LegRanking:
    return LegRanking(name=name, ids=list(ids), scores=np.array([scores[id] for id in ids], float))


def _orders(scores: dict[str, float]) -> Iterator[list[str]]:
    found = sorted((id for id in scores if scores[id] > 0), key=lambda id: -scores[id])
    groups = [list(tied) for _, tied in itertools.groupby(found, key=lambda id: scores[id])]
    for parts in itertools.product(*map(itertools.permutations, groups)):
        yield [id for part in parts for id in part]


def accepts(case: Case, fusion: Fusion, hits: Hits, limit: int) -> bool:
    try:
        assert_same_fusion(hits, fusion, case.windows(), limit)
    except AssertionError:
        return False
    return True


def is_right(case: Case, fusion: Fusion, hits: Hits, limit: int) -> bool:
    """The same decision, by fusing every order of every tie."""
    return any(_equal(fuse(fusion, legs), fusion, hits, limit) for legs in case.orders())


def _equal(expected: Sequence[FusedHit], fusion: Fusion, hits: Hits, limit: int) -> bool:
    exact = {hit.id: hit.score for hit in expected}
    best = sorted(exact.values(), reverse=True)[:limit]
    ids = [id for id, _ in hits]
    if len(hits) != len(best) or len(set(ids)) != len(ids) or not exact.keys() >= set(ids):
        return False
    floor = 0.0 if isinstance(fusion, Rrf) else 1.0
    return all(
        abs(score - exact[id]) <= 1e-5 * max(floor, abs(exact[id]))
        and abs(exact[id] - best[rank]) <= 1e-6 * max(floor, abs(exact[id]))
        for rank, (id, score) in enumerate(hits)
    )


def cases(most: int, scores: Sequence[float]) -> st.SearchStrategy[Case]:
    """Collections with few different scores, so that ties are everywhere."""
    sizes = st.one_of(st.none(), st.integers(1, most))
    legs = st.lists(
        st.tuples(st.sampled_from(scores), st.sampled_from(scores)), min_size=1, max_size=most
    )
    return st.builds(
        lambda rows, sparse, dense: Case(
            {f"d{at}": row[0] for at, row in enumerate(rows)},
            {f"d{at}": row[1] for at, row in enumerate(rows)},
            (sparse, dense),
        ),
        legs,
        sizes,
        sizes,
    )


SCORES = [0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 3.0, 12.0]


@given(cases(40, SCORES), st.sampled_from(FUSIONS), st.integers(1, 45), st.integers(0, 2**32))
@settings(max_examples=200, deadline=None)
def test_ties_may_stand_in_any_order(case: Case, fusion: Fusion, limit: int, seed: int) -> None:
    hits = case.as_stored(fusion, limit, seed)
    agreement = assert_same_fusion(hits, fusion, case.windows(), limit)
    assert agreement.rows == len(hits)
    assert agreement.largest <= 1e-12


@every_fusion
def test_the_definition_itself_is_accepted(fusion: Fusion) -> None:
    case = distinct()
    windows = case.windows()
    expected = fuse(fusion, [window.cut() for window in windows])
    for limit in (1, 20, len(expected), 100):
        hits = [(hit.id, hit.score) for hit in expected[:limit]]
        agreement = assert_same_fusion(hits, fusion, windows, limit)
        assert (agreement.rows, agreement.tied) == (len(hits), 0)


def distinct() -> Case:
    """Without any tie; 12 of 40 documents are in no window."""
    values = np.random.default_rng(3).permutation(np.linspace(0.4, 1.0, 80)).tolist()
    ids = [f"d{at}" for at in range(40)]
    return Case(
        {id: 20 * value for id, value in zip(ids, values[:40], strict=True)},
        dict(zip(ids, values[40:], strict=True)),
        (20, 20),
    )


def _off(hits: Hits, row: int, tolerances: float, fusion: Fusion) -> Hits:
    """One score off, by that many tolerances: of the score itself where ranks are fused."""
    changed = list(hits)
    id, score = hits[row]
    unit = max(1e-9 if isinstance(fusion, Rrf) else 1.0, abs(score))
    changed[row] = (id, score + tolerances * 1e-5 * unit)
    return changed


def _swapped(hits: Hits) -> Hits:
    """The first two neighbours that are not tied, each with its own score."""
    row = next(at for at in range(len(hits)) if hits[at][1] > hits[at + 1][1] * 1.001)
    return [*hits[:row], hits[row + 1], hits[row], *hits[row + 2 :]]


def _exchanged(hits: Hits) -> Hits:
    """The same two, the scores in their places."""
    swapped = _swapped(hits)
    return [(id, score) for (id, _), (_, score) in zip(swapped, hits, strict=True)]


MUTATIONS: dict[str, Callable[[Hits, Fusion], Hits]] = {
    "the best score too high": lambda hits, fusion: _off(hits, 0, 1.1, fusion),
    "a score too low": lambda hits, fusion: _off(hits, 5, -1.1, fusion),
    "the last score too low": lambda hits, fusion: _off(hits, len(hits) - 1, -1.1, fusion),
    "not a number": lambda hits, _: [(hits[0][0], float("nan")), *hits[1:]],
    "infinite": lambda hits, _: [(hits[0][0], float("inf")), *hits[1:]],
    "two hits swapped": lambda hits, _: _swapped(hits),
    "two documents exchanged": lambda hits, _: _exchanged(hits),
    "the best is missing": lambda hits, _: hits[1:],
    "a document twice": lambda hits, _: [*hits[:4], hits[3], *hits[5:]],
    "a document from no window": lambda hits, _: [*hits[:-1], ("nowhere", hits[-1][1])],
    "a hit too few": lambda hits, _: hits[:-1],
    "a hit too many": lambda hits, _: [*hits, ("nowhere", hits[-1][1])],
    "nothing": lambda hits, _: [],
}


@pytest.mark.parametrize("mutation", MUTATIONS)
@pytest.mark.parametrize("limit", [10, 100])
def test_what_is_wrong_is_refused(limit: int, mutation: str) -> None:
    case = distinct()
    for fusion in FUSIONS:
        whole = case.as_stored(fusion, 100, seed=1)
        hits = whole[:limit]
        assert accepts(case, fusion, _off(hits, 5, 0.9, fusion), limit)
        assert not accepts(case, fusion, MUTATIONS[mutation](hits, fusion), limit), fusion


def test_the_next_documents_do_not_make_up_for_a_missing_one() -> None:
    case = distinct()
    for fusion in FUSIONS:
        whole = case.as_stored(fusion, 100, seed=1)
        assert not accepts(case, fusion, whole[:3] + whole[4:11], 10), fusion
        assert not accepts(case, fusion, whole[:11], 10), fusion


# Tied in the only leg that has any: a before b and c, of which its window takes two.
TIED = Case({"a": 3.0, "b": 1.0, "c": 1.0}, {"a": 0, "b": 0, "c": 0}, (2, 2))
A, B = 1 / 61, 1 / 62


@pytest.mark.parametrize(
    ("hits", "right"),
    [
        ([("a", A), ("b", B)], True),
        ([("a", A), ("c", B)], True),
        ([("a", A)], False),
        ([("a", A), ("b", B), ("c", B)], False),
        ([("a", A), ("b", B / 2)], False),
        ([("b", A), ("a", B)], False),
    ],
)
def test_the_last_place_of_a_window_goes_to_one_of_those_that_are_tied(
    hits: Hits, right: bool
) -> None:
    assert accepts(TIED, Rrf(), hits, 10) == right
    sums = [(id, {A: 3.0, B: 1.0}.get(score, 0.5)) for id, score in hits]
    assert accepts(TIED, WeightedSum(), sums, 10) == right


def test_of_those_that_are_tied_each_has_a_rank_of_its_own() -> None:
    case = Case({"a": 1.0, "b": 1.0}, {"a": 0, "b": 0}, (None, None))
    assert accepts(case, Rrf(), [("b", A), ("a", B)], 10)
    assert not accepts(case, Rrf(), [("b", A), ("a", A)], 10)
    assert not accepts(case, Rrf(), [("b", (A + B) / 2), ("a", (A + B) / 2)], 10)


def test_ranks_of_two_legs_belong_to_one_order_each() -> None:
    """Each score alone may be: a first in one leg only, but nobody else is first in the other."""
    case = Case({"a": 0.5, "b": 0.5}, {"a": 0.5, "b": 0.5}, (1, 1))
    assert accepts(case, Rrf(), [("a", 2 * A)], 10)
    assert accepts(case, Rrf(), [("b", A), ("a", A)], 10)
    assert not accepts(case, Rrf(), [("a", A)], 10)


def test_a_window_ends_with_what_is_tied_there() -> None:
    window = exact_window("text", ["d", "c", "b", "a", "none"], np.array([2, 2, 2, 9, 0.0]), 2)
    assert list(window.ranking.ids) == ["a", "b", "c", "d"]
    assert (window.first.tolist(), window.last.tolist()) == ([1, 2, 2, 2], [1, 4, 4, 4])
    assert window.is_free.tolist() == [False, True, True, True]
    assert list(window.cut().ids) == ["a", "b"]
    whole = exact_window("text", ["d", "c"], np.array([2.0, 2.0]), None)
    assert whole.size == 2
    assert not whole.is_free.any()


small = cases(4, [0.0, 0.5, 1.0])


@st.composite
def mutated(draw: st.DrawFn) -> tuple[Case, Fusion, Hits, int]:
    """A ranking that may be right, changed in one way."""
    case, fusion = draw(small), draw(st.sampled_from(FUSIONS))
    limit = draw(st.integers(1, 6))
    hits = case.as_stored(fusion, limit, draw(st.integers(0, 2**32)))
    if not hits:
        return case, fusion, [("d0", 1.0)], limit
    row, other = (draw(st.integers(0, len(hits) - 1)) for _ in range(2))
    changed = list(hits)
    match draw(st.integers(0, 6)):
        case 0:
            changed[row] = (hits[row][0], hits[row][1] * draw(st.sampled_from([0.99, 1.0001])))
        case 1:  # the score of another hit
            changed[row] = (hits[row][0], hits[other][1])
        case 2:
            changed[row], changed[other] = hits[other], hits[row]
        case 3:  # another document
            changed[row] = (draw(st.sampled_from([*case.sparse])), hits[row][1])
        case 4:
            del changed[row]
        case 5:
            changed.insert(row, (draw(st.sampled_from([*case.sparse])), hits[row][1]))
        case 6:  # the scores of the other documents, in order
            changed = [(id, score) for (id, _), (_, score) in zip(hits[::-1], hits, strict=True)]
    return case, fusion, changed, limit


@given(mutated())
@settings(max_examples=250, deadline=None)
def test_what_is_accepted_is_the_fusion_of_some_order(
    given: tuple[Case, Fusion, Hits, int],
) -> None:
    assert accepts(*given) == is_right(*given)
