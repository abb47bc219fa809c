"""The reference for fused rankings, with exactly the freedom that equal scores leave to a store.

Two hits of a leg whose scores are equal may stand in either order, and the last place of a window
may go to either: who fuses then gives either of them the better rank. So a fused score is exact
but for ties, and between two bounds where there is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splade_connectors.documents import DocumentId
from splade_connectors.fusion.reference import LegRanking, contributions, leg_ranking
from splade_connectors.fusion.spec import Fusion, Rrf, weights_of
from splade_connectors.testing.oracle import TOLERANCE

# Scores this close count as equal: stores add up 32-bit floats, in an order of their own.
TIE = 1e-6

Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class ExactWindow:
    """What a leg must find.

    Attributes:
        ranking: best first; beyond the window's end it holds what is tied with its last hit.
        first: int[n]; the best rank that each hit may have.
        last: int[n]; the worst one.
        size: hits in the window.
    """

    ranking: LegRanking
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    size: int

    def cut(self) -> LegRanking:
        """The window with ties in their defined order, as `fuse` takes it."""
        found = self.ranking
        return LegRanking(
            name=found.name, ids=found.ids[: self.size], scores=found.scores[: self.size]
        )

    @property
    def is_free(self) -> NDArray[np.bool_]:
        """bool[n]: hits that stand within the window by a tie only."""
        return self.last > self.size


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """How far a ranking agrees with the reference.

    Attributes:
        rows: hits compared.
        tied: those whose exact score a tie leaves open.
        largest: largest difference of the others, relative to the score where that is above 1.
    """

    rows: int
    tied: int
    largest: float


def exact_window(
    name: str, ids: Sequence[DocumentId], scores: Values, candidates: int | None
) -> ExactWindow:
    """The window of a leg.

    Args:
        name: of the leg.
        ids: of all documents.
        scores: float64[n], their exact scores; what is not above 0 is not found.
        candidates: size of the window, None for all.
    """
    kept = np.flatnonzero(scores > 0)
    whole = leg_ranking(name, [ids[at] for at in kept.tolist()], scores[kept].tolist())
    falls = -np.diff(whole.scores) > TIE * np.maximum(1.0, np.abs(whole.scores[1:]))
    group = np.concatenate([[0], np.cumsum(falls)]) if len(whole.ids) else np.zeros(0, np.int64)
    first = np.searchsorted(group, group, "left") + 1
    last = np.searchsorted(group, group, "right")
    size = len(whole.ids) if candidates is None else min(candidates, len(whole.ids))
    reach = int(last[size - 1]) if size else 0
    return ExactWindow(
        ranking=LegRanking(name=name, ids=whole.ids[:reach], scores=whole.scores[:reach]),
        first=first[:reach],
        last=last[:reach],
        size=size,
    )


def fused_bounds(
    fusion: Fusion, windows: Sequence[ExactWindow]
) -> dict[DocumentId, tuple[float, float]]:
    """The least and the largest exact score of every document that may be found."""
    found: dict[DocumentId, tuple[float, float]] = {}
    parts = contributions(fusion, [window.cut() for window in windows])
    for at, window in enumerate(windows):
        if not window.size:
            continue
        if isinstance(fusion, Rrf):
            weight = weights_of(fusion, len(windows))[at]
            high = weight / (fusion.k + window.first)
            low = weight / (fusion.k + window.last)
        else:
            tied = np.full(len(window.ranking.ids) - window.size, parts[at][-1])
            high = low = np.concatenate([parts[at], tied])
        free = window.is_free
        low = np.where(free, np.minimum(low, 0.0), low)
        high = np.where(free, np.maximum(high, 0.0), high)
        for id, least, most in zip(window.ranking.ids, low.tolist(), high.tolist(), strict=True):
            before = found.get(id, (0.0, 0.0))
            found[id] = (before[0] + least, before[1] + most)
    return found


def assert_same_fusion(
    found: Sequence[tuple[DocumentId, float]],
    fusion: Fusion,
    windows: Sequence[ExactWindow],
    limit: int,
    tolerance: float = TOLERANCE,
) -> Agreement:
    """Check fused hits against the definition, on every row.

    Each score must be within `tolerance` of the exact one (relative above 1, and for reciprocal
    ranks, which are small, always), the order must be that of the exact scores but for ties, and
    no document that is missing may belong above the last hit.

    Args:
        found: (id, score) of each hit, best first.
        fusion: of all legs.
        windows: of the legs, exact.
        limit: how many hits were asked for.
        tolerance: of scores.

    Raises:
        AssertionError: naming the first row that is wrong.
    """
    bounds = fused_bounds(fusion, windows)
    sure = {
        id
        for window in windows
        for id, free in zip(window.ranking.ids, window.is_free.tolist(), strict=True)
        if not free
    }
    assert min(limit, len(sure)) <= len(found) <= min(limit, len(bounds)), f"{len(found)} hits"
    assert len({id for id, _ in found}) == len(found), "a document was found twice"
    lows = sorted((low for low, _ in bounds.values()), reverse=True)
    highs = sorted((high for _, high in bounds.values()), reverse=True)
    floor = 1e-4 if isinstance(fusion, Rrf) else 1.0
    tied, largest = 0, 0.0
    for rank, (id, score) in enumerate(found):
        assert id in bounds, f"row {rank + 1}: {id!r} is in no window"
        low, high = bounds[id]
        unit = max(floor, abs(score))
        wrong = max(low - score, score - high) / unit
        assert wrong <= tolerance, f"row {rank + 1}: {id!r} {score} is not {low} to {high}"
        allowed = TIE * unit
        assert lows[rank] - high <= allowed, f"row {rank + 1}: {id!r} {high} is below {lows[rank]}"
        assert low - highs[rank] <= allowed, f"row {rank + 1}: {id!r} {low} is above {highs[rank]}"
        if high > low:
            tied += 1
        else:
            largest = max(largest, wrong)
    return Agreement(rows=len(found), tied=tied, largest=largest)
