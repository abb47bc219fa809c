"""nDCG@10 of many weight settings at once, over candidate windows that were searched before.

Every fusion is linear in its weights, so each leg's contributions are computed once per query (by
`contributions`, the definition) and only the weighted sums differ. The chosen setting is measured
again with `fuse` and ir-measures before anything is reported.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splade_connectors.errors import ConfigurationError
from splade_connectors.evaluate.windows import LegRun, Windows
from splade_connectors.fusion.reference import contributions
from splade_connectors.fusion.spec import Fusion, Weights

Values = NDArray[np.float64]

CUTOFF = 10
_DISCOUNTS = 1 / np.log2(np.arange(2, CUTOFF + 2))
# Number of legs -> number of steps from weight 0 to 1.
_STEPS = {2: 20, 3: 10}


def weight_grid(legs: int) -> list[Weights]:
    """Return weights that sum to 1, in steps of 0.05 for two legs and 0.1 for three.

    The most even weights come first, so that they win ties.

    Raises:
        ConfigurationError: for any other number of legs.
    """
    if legs not in _STEPS:
        raise ConfigurationError(f"tuning needs two or three legs, not {legs}")
    steps = _STEPS[legs]
    whole = [
        counts
        for counts in itertools.product(range(steps + 1), repeat=legs)
        if sum(counts) == steps
    ]
    whole.sort(key=lambda counts: (sum((count - steps / legs) ** 2 for count in counts), counts))
    return [tuple(count / steps for count in counts) for counts in whole]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Query:
    """One query's candidates, prepared for summing.

    Attributes:
        legs: candidate windows of the legs.
        places: per leg, positions of its candidates among all candidates, sorted by id as text.
        gains: gain of each candidate.
        ideal: DCG@10 of the best possible ranking.
    """

    legs: Windows
    places: tuple[NDArray[np.intp], ...]
    gains: Values
    ideal: float


class Grid:
    """nDCG@10 of every weight setting for every query of a run.

    Args:
        run: candidate windows of all legs.
        qrels: query -> document -> grade.
        weights: weight settings to evaluate.
    """

    def __init__(
        self, run: LegRun, qrels: Mapping[str, Mapping[str, int]], weights: Sequence[Weights]
    ) -> None:
        self._queries = [_query(found, qrels[id]) for id, found in run.windows.items()]
        self._weights = np.array(weights, np.float64)

    def quality(self, fusion: Fusion) -> Values:
        """Return float64[queries, settings] for a fusion without weights of its own.

        nDCG as defined by trec_eval: see `metrics.measure`. Ties are ordered by id, as in `fuse`.
        """
        return np.array([self._of_query(fusion, query) for query in self._queries])

    def _of_query(self, fusion: Fusion, query: _Query) -> Values:
        if not query.gains.any():
            return np.zeros(len(self._weights))
        totals = np.zeros((len(self._weights), len(query.gains)))
        parts = contributions(fusion, query.legs)
        for at, (places, values) in enumerate(zip(query.places, parts, strict=True)):
            totals[:, places] += self._weights[:, at, None] * values
        best = np.argsort(-totals, axis=1, kind="stable")[:, :CUTOFF]
        gains: Values = query.gains[best] @ _DISCOUNTS[: best.shape[1]]
        return gains / query.ideal


def _query(legs: Windows, grades: Mapping[str, int]) -> _Query:
    ids = sorted({str(id) for leg in legs for id in leg.ids})
    at = {id: place for place, id in enumerate(ids)}
    ideal = np.array(sorted((max(grade, 0) for grade in grades.values()), reverse=True)[:CUTOFF])
    return _Query(
        legs=legs,
        places=tuple(np.array([at[str(id)] for id in leg.ids], np.intp) for leg in legs),
        gains=np.array([max(grades.get(id, 0), 0) for id in ids], np.float64),
        ideal=float(ideal @ _DISCOUNTS[: len(ideal)]),
    )
